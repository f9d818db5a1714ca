import { isBorder, SUBGRAPH_INPUT } from "../doc/schema.js";
import { parseJson } from "../format/json.js";
import { instancesOf, promotedSockets } from "../graph/subgraphs.js";
import { portsOf } from "../doc/borders.js";
import { grownDefinition } from "./dynamic.js";
import { primitiveDefinition } from "./instances.js";
import { widgetSlot, widgetsOf } from "./widgets.js";

/**
 * Fields of nodes inside that an instance of a subgraph shows beside its own. The node inside keeps the value: it is one
 * value for all instances. Files list them in the instance's `properties.proxyWidgets` as [id inside, name of the widget];
 * what such a list names that is not there is kept and not shown.
 *
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("./definitions.js").WidgetDef} WidgetDef
 * @typedef {import("./widgets.js").Widget} Widget
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").NodeId} NodeId
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {(type: string) => NodeDef | undefined} DefinitionOf
 * @typedef {[string, string]} Entry
 * @typedef {{entry: Entry, label: string, shown: boolean}} Field that can be shown; label: with the node's title
 */

/** The widget that stands for a place in the order of an instance's own ones; it needs no showing. */
const OWN = "-1";

/**
 * The class as it is on one node: with the inputs that it has grown, as what a primitive feeds, with the fields that an
 * instance shows.
 * @param {NodeRecord} node
 * @param {Graph} graph in which it is
 * @param {DefinitionOf} definitionOf
 * @param {Map<NodeRecord, NodeDef | undefined>} [made] those that are known, or being made
 * @returns {NodeDef | undefined}
 */
export function definitionOn(node, graph, definitionOf, made = new Map()) {
  if (made.has(node)) return made.get(node);
  const plain = definitionOf(node.type);
  made.set(node, plain); // a definition that holds itself ends here
  const def =
    plain && node.type === "PrimitiveNode"
      ? primitiveDefinition(plain, node, graph, definitionOf)
      : plain && withShown(grownDefinition(plain, node), node, graph, definitionOf, made);
  made.set(node, def);
  return def;
}

/**
 * @param {NodeRecord} node
 * @returns {Entry[]} what its record says it shows, whether it is there or not
 */
export function shownEntries(node) {
  return storedEntries(node).map(entryOf);
}

/** @param {any[]} stored @returns {Entry} */
function entryOf([id, name]) {
  return [String(id), String(name)];
}

/** @param {NodeRecord} node @returns {any[][]} as the file has them, which may say more in each */
function storedEntries({ properties }) {
  let list = properties?.proxyWidgets;
  if (typeof list === "string") {
    try {
      list = parseJson(list);
    } catch {
      return [];
    }
  }
  return Array.isArray(list) ? list.filter((entry) => Array.isArray(entry) && entry.length > 1) : [];
}

/**
 * @param {NodeDef} def
 * @param {NodeRecord} node
 * @param {Graph} graph
 * @param {DefinitionOf} definitionOf
 * @param {Map<NodeRecord, NodeDef | undefined>} made
 * @returns {NodeDef}
 */
function withShown(def, node, graph, definitionOf, made) {
  const inner = node.properties?.proxyWidgets ? graph.subgraphs.get(node.type) : undefined;
  if (!inner) return def;
  const widgets = [...def.widgets];
  for (const [id, name] of shownEntries(node)) {
    const owner = id === OWN ? undefined : inner.node(id);
    const ownerDef = owner && !isBorder(owner) ? definitionOn(owner, inner, definitionOf, made) : undefined;
    const widget = owner && widgetNamed(owner, ownerDef, name);
    if (!owner || !ownerDef || !widget || portAbove(inner, owner, widget.name)) continue;
    const source = { graph: String(inner.record.id), node: owner, widget, def: definitionOf(owner.type) };
    const shown = asShown(widget, source, ownerDef);
    if (widgets.some((other) => other.name === shown.name)) continue;
    // What becomes of a seed in the next run stands below the seed, also where that is a field of the instance's own.
    const above = widget.owner === null ? null : portAbove(inner, owner, widget.owner);
    const at = widgets.findIndex((other) => other.name === (above ?? shown.owner));
    if (above !== null) shown.owner = above;
    widgets.splice(at < 0 ? widgets.length : at + 1, 0, shown);
  }
  return { ...def, widgets: withLabels(widgets) };
}

/**
 * @param {NodeRecord} node
 * @param {NodeDef | undefined} def
 * @param {string} name as files call it: what an instance shows goes by the name that it has inside
 * @returns {Widget | undefined}
 */
function widgetNamed(node, def, name) {
  const widgets = widgetsOf(node, def);
  return widgets.find((widget) => widget.name === name) ?? widgets.find((widget) => innermost(widget) === name);
}

/** @param {WidgetDef} widget @returns {string} */
function innermost(widget) {
  return widget.source ? innermost(widget.source.widget) : widget.name;
}

/**
 * @param {Widget} widget
 * @param {NonNullable<WidgetDef["source"]>} source
 * @param {NodeDef} def
 * @returns {WidgetDef}
 */
function asShown({ path: _, ...widget }, source, def) {
  const { node } = source;
  const title = node.title || def.title;
  const help = def.inputs.find((input) => input.name === widget.name)?.tooltip || widget.options.tooltip;
  const label = widget.options.label ?? node.inputs?.[widgetSlot(node, widget.name)]?.label ?? widget.name;
  return {
    ...widget,
    name: `${node.id}:${widget.name}`,
    owner: widget.owner === null ? null : `${node.id}:${widget.owner}`,
    options: {
      ...widget.options,
      socketless: true,
      label,
      title,
      tooltip: `${help ? `${help}\n` : ""}From ${title} inside; all instances share it.`,
    },
    source,
  };
}

/** Fields of the same name say of which node they are. @param {WidgetDef[]} widgets @returns {WidgetDef[]} */
function withLabels(widgets) {
  const label = (/** @type {WidgetDef} */ { options, name }) => String(options.label ?? name);
  const count = (/** @type {string} */ wanted) => widgets.filter((widget) => label(widget) === wanted).length;
  return widgets.map((widget) =>
    widget.source && widget.owner === null && count(label(widget)) > 1
      ? { ...widget, options: { ...widget.options, label: `${widget.options.title} ${label(widget)}` } }
      : widget,
  );
}

/**
 * @param {Graph} inner
 * @param {NodeRecord} node
 * @param {string} name
 * @returns {string | null} the input of the definition that feeds a widget inside, which is the instance's own field then
 */
function portAbove(inner, node, name) {
  const slot = widgetSlot(node, name);
  const link = slot < 0 ? undefined : inner.linkInto(node.id, slot);
  if (!link || Number(link.origin_id) !== SUBGRAPH_INPUT) return null;
  return portsOf(inner).inputs[link.origin_slot]?.name ?? null;
}

/**
 * The fields inside that an instance shows or could show. What becomes of a seed goes with the seed.
 * @param {NodeRecord} instance
 * @param {Graph} graph in which the instance is
 * @param {DefinitionOf} definitionOf
 * @param {NodeId} [only] of one node inside
 * @returns {Field[]} in the order of the nodes inside
 */
export function fieldsInside(instance, graph, definitionOf, only) {
  const inner = graph.subgraphs.get(instance.type);
  const entries = shownEntries(instance).map(([id, name]) => `${id}:${name}`);
  if (!inner) return [];
  const nodes = [...inner.nodes.values()].filter(({ id }) => only === undefined || String(id) === String(only));
  return nodes.flatMap((node) => {
    const def = isBorder(node) ? undefined : definitionOn(node, inner, definitionOf);
    if (!def || (def.virtual && node.type !== "PrimitiveNode")) return [];
    const title = node.title || def.title;
    return widgetsOf(node, def).flatMap((widget) => {
      const follows = widget.owner !== null && portAbove(inner, node, widget.owner) === null;
      if (widget.options.hidden || follows || portAbove(inner, node, widget.name) !== null) return [];
      const name = innermost(widget);
      const plain = widget.owner === null ? (widget.options.label ?? name) : `${widget.owner}, next run`;
      const words = String(plain).replaceAll("_", " ");
      const shown = entries.includes(`${node.id}:${name}`);
      return [{ entry: /** @type {Entry} */ ([String(node.id), name]), label: `${title} ${node.id}: ${words}`, shown }];
    });
  });
}

/**
 * Show a field of a node inside on an instance, or show it no longer.
 * @param {Transaction} tx of the graph in which the instance is
 * @param {NodeRecord} instance
 * @param {Entry} entry
 * @param {boolean} shown
 * @param {DefinitionOf} definitionOf
 */
export function showField(tx, instance, [id, name], shown, definitionOf) {
  const inner = tx.graph.subgraphs.get(instance.type);
  const node = inner?.node(id);
  const def = inner && node && definitionOn(node, inner, definitionOf);
  const widgets = node ? widgetsOf(node, def) : [];
  const own = node && widgetNamed(node, def, name);
  const followers = widgets.filter((widget) => widget.owner !== null && widget.owner === own?.name);
  const wanted = [name, ...followers.map(innermost)].map((each) => /** @type {Entry} */ ([id, each]));
  const isWanted = (/** @type {Entry} */ entry) => wanted.some(([, each]) => entry[0] === id && entry[1] === each);
  const others = storedEntries(instance).filter((stored) => !isWanted(entryOf(stored)));
  writeEntries(tx, instance, shown ? [...others, ...wanted] : others);
}

/**
 * @param {Transaction} tx
 * @param {NodeRecord} instance
 * @param {any[][]} entries
 */
function writeEntries(tx, instance, entries) {
  tx.set("node", instance.id, ["properties", "proxyWidgets"], entries.length ? entries : undefined);
}

/**
 * Nodes inside went into a subgraph of their own: what instances show of them is shown by way of the new one.
 * @param {Transaction} tx inside of the definition
 * @param {Set<string>} packed ids
 * @param {NodeRecord} made the new instance
 */
export function followPacked(tx, packed, made) {
  const entries = entriesAbove(tx).filter(([id]) => packed.has(id));
  if (!entries.length) return;
  writeEntries(tx, made, [...new Map([...shownEntries(made), ...entries].map((each) => [each.join(":"), each])).values()]);
  renameEntries(tx, ([id, name]) => (packed.has(id) ? [String(made.id), name] : [id, name]));
}

/**
 * An instance inside was unpacked: what was shown of it is shown of what came out.
 * @param {Transaction} tx inside of the definition
 * @param {NodeRecord} gone
 * @param {Map<string, NodeId>} made the new nodes by their ids in the instance
 */
export function followUnpacked(tx, gone, made) {
  const inner = tx.graph.subgraphs.get(gone.type);
  if (!inner || !entriesAbove(tx).some(([id]) => id === String(gone.id))) return;
  const own = shownEntries(gone);
  const { inputs } = portsOf(inner);
  const sockets = promotedSockets(inner);
  renameEntries(tx, ([id, name]) => {
    if (id !== String(gone.id)) return [id, name];
    const socket = sockets.get(inputs.findIndex((port) => port.name === name));
    const within = socket ? String(socket.node.id) : own.find((entry) => entry[1] === name)?.[0];
    const next = within === undefined ? undefined : made.get(within);
    return next === undefined ? [id, name] : [String(next), socket?.node.inputs?.[socket.slot]?.widget?.name ?? name];
  });
}

/** What instances of the definition show. @param {Transaction} tx inside of the definition @returns {Entry[]} */
function entriesAbove(tx) {
  if (tx.id === undefined) return [];
  return instancesOf(tx.graph, tx.id).flatMap(({ nodes }) => nodes.flatMap(shownEntries));
}

/** @param {Transaction} tx inside of the definition @param {(entry: Entry) => Entry} rename */
function renameEntries(tx, rename) {
  for (const { id, nodes } of instancesOf(tx.graph, String(tx.id)))
    for (const node of nodes) {
      const before = storedEntries(node);
      const after = before.map((stored) => [...rename(entryOf(stored)), ...stored.slice(2)]);
      const where = id === undefined ? tx.top : tx.top.within(id);
      if (JSON.stringify(before) !== JSON.stringify(after)) writeEntries(where, node, after);
    }
}
