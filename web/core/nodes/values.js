import { isObject } from "../doc/schema.js";

/**
 * Which stored value belongs to which widget. The list in a file follows the order of the widgets; nodes of newer files
 * also name their values, and a list of the same length then has the names' order.
 *
 * @typedef {import("./definitions.js").WidgetDef} WidgetDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 */

const CONTROLS = new Set(["fixed", "increment", "decrement", "randomize", "increment-wrap"]);
const UPLOADS = new Set(["image", "video", "audio", "upload", "file"]);
/** Widgets that editors add to a node for themselves; the engine knows none of them. */
const EDITORS_OWN = new Set(["control_after_generate", "control_filter_list", "upload", "refresh"]);

/**
 * @param {NodeRecord} node
 * @returns {string[] | null} the names of the listed values, null where the file does not say
 */
function namesOf(node) {
  const { widgets_values: values, widgets_values_named: named } = node;
  if (!Array.isArray(values) || !isObject(named)) return null;
  const names = Object.keys(named);
  // A key such as "3" would have lost its place: JavaScript puts those first.
  return names.length === values.length && !names.some((name) => /^\d+$/.test(name)) ? names : null;
}

/**
 * The index of each widget's value in the node's list; -1 where the list has none for it.
 * @param {NodeRecord} node
 * @param {WidgetDef[]} widgets
 * @returns {number[]}
 */
export function valuePlaces(node, widgets) {
  const names = namesOf(node);
  if (names && widgets.some((widget) => names.includes(widget.name)))
    return widgets.map((widget) => names.indexOf(widget.name));
  const values = Array.isArray(node.widgets_values) ? node.widgets_values : [];
  let at = 0;
  let controlled = true;
  return widgets.map((widget, index) => {
    if (widget.owner === null || at >= values.length) return at++;
    // Old files and other programs leave the editor's own widgets out.
    const next = widgets.slice(index + 1).find((other) => other.owner === null);
    const present = isExtra(widget, values[at], next) && (controlled || widget.name !== "control_filter_list");
    if (widget.kind === "control") controlled = present;
    return present ? at++ : -1;
  });
}

/**
 * Could the value be that of a widget of the editor's own, and not of the node's next one?
 * @param {WidgetDef} widget
 * @param {unknown} value
 * @param {WidgetDef | undefined} next
 */
function isExtra(widget, value, next) {
  if (value === null || value === undefined) return true;
  if (widget.kind === "control") return typeof value === "boolean" || CONTROLS.has(/** @type {string} */ (value));
  if (fits(next, value)) return false;
  return widget.kind === "upload" ? UPLOADS.has(/** @type {string} */ (value)) : typeof value === "string";
}

/**
 * @param {WidgetDef | undefined} widget
 * @param {unknown} value
 */
function fits(widget, value) {
  if (widget?.kind === "combo") return !widget.choices?.length || widget.choices.includes(value);
  return (widget?.kind === "string" || widget?.kind === "text") && typeof value === "string";
}

/**
 * What the file itself says of the values of a node whose class nobody here knows, by input name.
 * @param {NodeRecord} node
 * @returns {Record<string, unknown>}
 */
export function statedValues(node) {
  const { widgets_values: values, widgets_values_named: named } = node;
  const names = namesOf(node);
  /** @type {[string, unknown][]} */
  let entries;
  if (isObject(values)) entries = Object.entries(values);
  else if (names) entries = names.map((name, at) => [name, /** @type {any} */ (values)[at]]);
  else if (isObject(named)) entries = Object.entries(named);
  else entries = bySockets(node);
  return Object.fromEntries(
    entries.filter(([name, value]) => !EDITORS_OWN.has(name) && value !== null && value !== undefined),
  );
}

/**
 * @param {NodeRecord} node
 * @returns {[string, unknown][]} the values in the order of the sockets of widgets, past the words of controls
 */
function bySockets(node) {
  const values = Array.isArray(node.widgets_values) ? node.widgets_values : [];
  const names = (node.inputs ?? []).flatMap((input) => (input.widget ? [input.name] : []));
  let at = 0;
  return names.map((name) => {
    if (at > 0 && typeof values[at - 1] === "number" && CONTROLS.has(/** @type {string} */ (values[at]))) at += 1;
    return [name, values[at++]];
  });
}

/**
 * The values of inputs that a class grows while it is edited, such as "size.width" under "size"; only named files tell.
 * @param {NodeRecord} node
 * @param {import("./definitions.js").NodeDef} def
 * @returns {Record<string, unknown>}
 */
export function grownValues(node, def) {
  if (!isObject(node.widgets_values_named)) return {};
  const declared = new Set(def.inputs.map((input) => input.name));
  const grown = Object.entries(statedValues(node)).filter(([name]) => {
    const dot = name.indexOf(".");
    return dot > 0 && !declared.has(name) && declared.has(name.slice(0, dot));
  });
  return Object.fromEntries(grown);
}
