import { isObject } from "../doc/schema.js";
import { readDefinition, widgetsOfInput } from "./definitions.js";

/**
 * Inputs that depend on the node: those that grow with their links ("images.image0", "images.image1", …), and choices that
 * bring inputs of their own ("mode" and "mode.strength"). The class declares them, the node's record says which there are.
 *
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("./definitions.js").InputDef} InputDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {{node: NodeRecord, at: number, depth: number}} Reader at: the place of the next widget's value in the node's list
 */

const GROWING = "COMFY_AUTOGROW_V3";
const CHOOSING = "COMFY_DYNAMICCOMBO_V3";
const MOST = 100;
const DEPTH = 8;

/** @param {string} type */
export function isDynamic(type) {
  return type === GROWING || type === CHOOSING;
}

/**
 * The class as it is on one node: every dynamic input as those that it stands for.
 * @param {NodeDef} def
 * @param {NodeRecord} node
 * @returns {NodeDef}
 */
export function grownDefinition(def, node) {
  if (!def.inputs.some((input) => isDynamic(input.type))) return def;
  const inputs = expand(def.inputs, { node, at: 0, depth: 0 });
  return { ...def, inputs, widgets: inputs.flatMap(widgetsOfInput) };
}

/**
 * @param {InputDef[]} inputs
 * @param {Reader} reader moved on by the widgets of the inputs
 * @returns {InputDef[]}
 */
function expand(inputs, reader) {
  return inputs.flatMap((input) => {
    if (input.type === GROWING) return grown(input, reader.node);
    if (input.type === CHOOSING && reader.depth < DEPTH) return chosen(input, reader);
    reader.at += widgetsOfInput(input).length;
    return [input];
  });
}

/**
 * As many as are linked and one more, within the declared limits.
 * @param {InputDef} input
 * @param {NodeRecord} node
 * @returns {InputDef[]}
 */
function grown(input, node) {
  const template = isObject(input.options.template) ? input.options.template : {};
  const [each] = readDefinition("", { input: template.input ?? {} }).inputs;
  if (!each) return [];
  const names = namesOf(template);
  const links = names.map((name) => node.inputs?.find((slot) => slot.name === `${input.name}.${name}`)?.link ?? null);
  const last = links.findLastIndex((link) => link !== null);
  const least = Number(template.min ?? 1);
  const count = Math.min(Math.max(least, last + 2, 1), names.length);
  return names.slice(0, count).map((name, index) => ({
    ...each,
    name: `${input.name}.${name}`,
    optional: input.optional || each.optional || index >= least,
    widget: null,
    tooltip: each.tooltip || input.tooltip,
  }));
}

/** @param {Record<string, any>} template @returns {string[]} */
function namesOf({ names, prefix = "", max = 10 }) {
  if (Array.isArray(names)) return names.map(String).slice(0, MOST);
  return Array.from({ length: Math.min(Math.max(Number(max) || 1, 1), MOST) }, (_, index) => `${prefix}${index}`);
}

/**
 * The choice as a combo, and the inputs of what is chosen.
 * @param {InputDef} input
 * @param {Reader} reader
 * @returns {InputDef[]}
 */
function chosen(input, reader) {
  const options = (Array.isArray(input.options.options) ? input.options.options : []).filter(isObject);
  const choices = options.map((option) => option.key);
  const stored = storedValue(reader.node, input.name, reader.at);
  const key = choices.includes(stored) ? stored : (input.options.default ?? choices[0]);
  reader.at += 1;
  const { options: _, ...rest } = input.options;
  const combo = {
    ...input,
    type: "COMBO",
    widget: {
      name: input.name,
      kind: /** @type {const} */ ("combo"),
      options: { ...rest, dynamic: true, socketless: true },
      choices,
      owner: null,
      serialised: true,
    },
  };
  const inner = readDefinition("", { input: options.find((option) => option.key === key)?.inputs ?? {} }).inputs;
  const named = inner.map((each) => ({
    ...each,
    name: `${input.name}.${each.name}`,
    options: { label: each.name, ...each.options },
    widget: each.widget && {
      ...each.widget,
      name: `${input.name}.${each.name}`,
      options: { label: each.name, ...each.widget.options },
    },
  }));
  const deeper = { ...reader, depth: reader.depth + 1 };
  const all = [combo, ...expand(named, deeper)];
  reader.at = deeper.at;
  return all;
}

/**
 * @param {NodeRecord} node
 * @param {string} name
 * @param {number} at
 * @returns {unknown}
 */
function storedValue({ widgets_values: values, widgets_values_named: named }, name, at) {
  if (isObject(named) && Object.hasOwn(named, name)) return named[name];
  return Array.isArray(values) ? values[at] : values?.[name];
}
