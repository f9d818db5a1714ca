import { isObject } from "../doc/schema.js";
import { compatible, typeName } from "../graph/slot_types.js";

/**
 * @typedef {import("./definitions.js").WidgetDef} WidgetDef
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {WidgetDef & {path: (string | number)[]}} Widget a widget and where its value is in the node's record
 */

/**
 * The widgets of a node with the places of their values. Values are stored as a list in widget order, or, by some packs,
 * as an object by name.
 * @param {NodeRecord} node
 * @param {NodeDef | undefined} def
 * @returns {Widget[]}
 */
export function widgetsOf(node, def) {
  if (!def) return [];
  const byName = isObject(node.widgets_values);
  return def.widgets.map((widget, index) => ({ ...widget, path: ["widgets_values", byName ? widget.name : index] }));
}

/**
 * A widget's value: the stored one, or the default where nothing is stored.
 * @param {NodeRecord} node
 * @param {Widget} widget
 * @returns {unknown}
 */
export function widgetValue(node, widget) {
  const stored = /** @type {any} */ (node.widgets_values)?.[widget.path[1]];
  return stored === undefined || stored === null ? defaultValue(widget) : stored;
}

/**
 * @param {WidgetDef} widget
 * @returns {unknown}
 */
export function defaultValue(widget) {
  const given = widget.options.default;
  if (widget.kind === "control") return "randomize";
  if (widget.kind === "upload") return "image";
  if (widget.kind === "combo") {
    const choices = widget.choices ?? [];
    return given !== undefined && choices.includes(given) ? given : (choices[0] ?? null);
  }
  if (given !== undefined) return given;
  if (widget.kind === "int" || widget.kind === "float") return Math.max(0, widget.options.min ?? 0);
  return widget.kind === "boolean" ? false : "";
}

/**
 * The stored values of a new node.
 * @param {NodeDef} def
 */
export function defaultValues(def) {
  return def.widgets.map(defaultValue);
}

/**
 * The index of the input slot that belongs to a widget, or -1 while it has none.
 * @param {NodeRecord} node
 * @param {string} name
 */
export function widgetSlot(node, name) {
  return (node.inputs ?? []).findIndex((input) => input.widget?.name === name);
}

/**
 * Whether a link feeds the widget, so that its own value is not used.
 * @param {NodeRecord} node
 * @param {string} name
 */
export function widgetLinked(node, name) {
  const slot = widgetSlot(node, name);
  return slot >= 0 && node.inputs?.[slot]?.link != null;
}

/**
 * The type of the socket that a widget offers; null for widgets of the editor's own, which take no link.
 * @param {WidgetDef} widget
 * @param {NodeDef} def
 */
export function widgetType(widget, def) {
  if (widget.owner !== null || def.virtual) return null;
  return def.inputs.find((input) => input.name === widget.name)?.type ?? null;
}

/**
 * The first input or widget of a class that takes an output type: what a dropped link joins on a new node.
 * @param {NodeDef} def
 * @param {unknown} type
 */
export function firstInputFor(def, type) {
  const exact = def.inputs.find((input) => typeName(input.type) === typeName(type));
  return exact ?? def.inputs.find((input) => compatible(type, input.type));
}
