import { isObject } from "../doc/schema.js";
import { readDefinition, widgetsOfInput } from "./definitions.js";

/**
 * Inputs that depend on the node: those that grow with their links ("images.image0", "images.image1", …), choices and
 * linked sockets that bring inputs of their own ("mode" and "mode.strength"), rows of equal inputs ("loras.0.name"). The
 * class declares them, the node's record says which there are.
 *
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("./definitions.js").InputDef} InputDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {{node: NodeRecord, at: number, depth: number}} Reader at: the place of the next widget's value in the node's list
 */

const GROWING = "COMFY_AUTOGROW_V3";
const CHOOSING = "COMFY_DYNAMICCOMBO_V3";
const OPENING = "COMFY_DYNAMICSLOT_V3";
const REPEATING = "COMFY_DYNAMICGROUP_V3";
const DYNAMIC = new Set([GROWING, CHOOSING, OPENING, REPEATING]);
const MOST = 100;
const DEPTH = 8;

/** @param {string} type */
export function isDynamic(type) {
  return DYNAMIC.has(type);
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
    if (input.type === OPENING && reader.depth < DEPTH) return opened(input, reader);
    if (input.type === REPEATING && reader.depth < DEPTH) return repeated(input, reader);
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
  return [combo, ...brought(input.name, options.find((option) => option.key === key)?.inputs, reader)];
}

/**
 * A socket, and what it brings once it is linked.
 * @param {InputDef} input
 * @param {Reader} reader
 * @returns {InputDef[]}
 */
function opened(input, reader) {
  const { inputs, slotType, ...options } = input.options;
  const socket = { ...input, type: String(slotType ?? "*"), options, widget: null };
  const linked = reader.node.inputs?.some((slot) => slot.name === input.name && slot.link !== null);
  return linked ? [socket, ...brought(input.name, inputs, reader)] : [socket];
}

/**
 * The number of rows, which is for the editor alone, and the inputs of each.
 * @param {InputDef} input
 * @param {Reader} reader
 * @returns {InputDef[]}
 */
function repeated(input, reader) {
  const { template, min = 0, max = 50, group_name: label } = input.options;
  const least = Math.min(Math.max(Number(min) || 0, 0), MOST);
  const stored = Number(storedValue(reader.node, input.name, reader.at));
  const count = stored >= 0 && stored <= MOST ? Math.max(least, Math.floor(stored)) : least;
  reader.at += 1;
  const options = { label: label ?? input.name, default: least, min: least, max, dynamic: true, socketless: true };
  const kind = /** @type {const} */ ("int");
  const widget = { name: input.name, kind, options, choices: null, owner: null, serialised: false };
  const rows = { ...input, type: "INT", widget };
  return [rows, ...Array.from({ length: count }, (_, row) => brought(`${input.name}.${row}`, template, reader)).flat()];
}

/**
 * Inputs that another one declares, by their full names.
 * @param {string} prefix
 * @param {unknown} inputs
 * @param {Reader} reader moved on
 * @returns {InputDef[]}
 */
function brought(prefix, inputs, reader) {
  const named = readDefinition("", { input: inputs ?? {} }).inputs.map((each) => ({
    ...each,
    name: `${prefix}.${each.name}`,
    options: { label: each.name, ...each.options },
    widget: each.widget && {
      ...each.widget,
      name: `${prefix}.${each.name}`,
      options: { label: each.name, ...each.widget.options },
    },
  }));
  const deeper = { ...reader, depth: reader.depth + 1 };
  const all = expand(named, deeper);
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
