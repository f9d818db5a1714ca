import { isObject } from "../doc/schema.js";
import { compatible, typeName } from "../graph/slot_types.js";
import { grownDefinition } from "./dynamic.js";
import { valuePlaces } from "./values.js";

/**
 * @typedef {import("./definitions.js").WidgetDef} WidgetDef
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {WidgetDef & {path: [string, string | number]}} Widget a widget and where its value is in the node's record;
 *   -1 where the record has no place for it
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
  const grown = grownDefinition(def, node);
  const widgets = grown === def ? def.widgets : [...grown.widgets, ...def.widgets.filter(({ source }) => source)];
  const own = widgets.filter(({ source }) => !source);
  const places = isObject(node.widgets_values) ? null : valuePlaces(node, own);
  return widgets.map((widget) => {
    const place = widget.source ? -1 : (places?.[own.indexOf(widget)] ?? widget.name);
    return { ...widget, path: ["widgets_values", place] };
  });
}

/**
 * A widget's value: the stored one, or the default where nothing is stored.
 * @param {NodeRecord} node
 * @param {Widget} widget
 * @returns {unknown}
 */
export function widgetValue(node, widget) {
  if (widget.source) return widgetValue(widget.source.node, widget.source.widget);
  const stored = /** @type {any} */ (node.widgets_values)?.[widget.path[1]];
  if (widget.kind === "control") {
    if (typeof stored === "boolean") return stored ? "randomize" : "fixed";
    if (widget.path[1] === -1) return "fixed";
  }
  if (stored === undefined || stored === null) return widget.inherited ?? defaultValue(widget);
  // Old files wrote the names of samplers with a prefix.
  return widget.name === "sampler_name" && typeof stored === "string" ? stored.replace(/^sample_/, "") : stored;
}

/**
 * Store a widget's value, wherever the node's record has it. A list that lacks the widget is written anew in order.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {import("../doc/schema.js").NodeId} id
 * @param {Widget} widget
 * @param {unknown} value
 * @param {NodeDef | undefined} def
 */
export function setWidget(tx, id, widget, value, def) {
  const node = tx.graph.node(id);
  if (!node) return;
  const { source } = widget;
  if (source) return setWidget(tx.top.within(source.graph), source.node.id, source.widget, value, source.def);
  if (widget.options.dynamic && def) return setChoice(tx, node, widget.name, value, def);
  let { path } = widget;
  if (path[1] === -1) {
    const all = widgetsOf(node, def).filter((other) => !other.source);
    const values = all.map((other) => widgetValue(node, other));
    tx.set("node", id, ["widgets_values"], values);
    if (isObject(node.widgets_values_named)) {
      const named = Object.fromEntries(all.map((other, index) => [other.name, values[index]]));
      tx.set("node", id, ["widgets_values_named"], named);
    }
    path = ["widgets_values", all.findIndex((other) => other.name === widget.name)];
  }
  tx.set("node", id, path, value);
  if (isObject(node.widgets_values_named)) tx.set("node", id, ["widgets_values_named", widget.name], value);
}

/**
 * Store a choice that brings inputs of its own: the values of what stays are kept, what comes has its defaults.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {NodeRecord} node
 * @param {string} name
 * @param {unknown} value
 * @param {NodeDef} def its class as declared
 */
function setChoice(tx, node, name, value, def) {
  const before = new Map(widgetsOf(node, def).map((widget) => [widget.name, widgetValue(node, widget)]));
  before.set(name, value);
  // The choice alone tells which widgets there are; those behind it follow one by one, as each may be a choice too.
  const known = Object.fromEntries(before);
  const { widgets } = grownDefinition(def, { ...node, widgets_values: known, widgets_values_named: undefined });
  const after = widgets.map((widget) => [widget.name, before.get(widget.name) ?? defaultValue(widget)]);
  const byName = isObject(node.widgets_values);
  tx.set("node", node.id, ["widgets_values"], byName ? Object.fromEntries(after) : after.map(([, stored]) => stored));
  if (isObject(node.widgets_values_named)) tx.set("node", node.id, ["widgets_values_named"], Object.fromEntries(after));
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
    return given !== undefined && (!choices.length || choices.includes(given)) ? given : (choices[0] ?? null);
  }
  if (given !== undefined) return given;
  if (widget.kind === "int" || widget.kind === "float")
    return Math.min(Math.max(0, widget.options.min ?? 0), widget.options.max ?? Infinity);
  return widget.kind === "boolean" ? false : "";
}

/**
 * The stored values of a new node; an instance of a subgraph begins with what is stored inside.
 * @param {NodeDef} def
 */
export function defaultValues(def) {
  return def.widgets.map((widget) => widget.inherited ?? defaultValue(widget));
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
 * Whether a link feeds what a widget shows, here or inside.
 * @param {NodeRecord} node
 * @param {WidgetDef} widget
 * @returns {boolean}
 */
export function isLinked(node, { name, source }) {
  return source ? isLinked(source.node, source.widget) : widgetLinked(node, name);
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
