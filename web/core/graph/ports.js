import { freshPort, portsOf } from "../doc/borders.js";
import { uuid } from "../doc/ids.js";
import { isBorder, isObject, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { disconnect } from "./links.js";
import { typeName } from "./slot_types.js";
import { faceOf, instancesOf, promotedSockets } from "./subgraphs.js";

/**
 * The inputs and outputs of subgraphs, and what a change of them means for the instances: their sockets, links and
 * values follow in the same step. An instance knows an input by its name, which therefore never changes; what a person
 * calls it is its label.
 *
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("./subgraphs.js").Face} Face
 * @typedef {(node: NodeRecord) => NodeDef | undefined} DefinitionOf
 * @typedef {"inputs" | "outputs"} Side of the definition
 * @typedef {{id: number, slots: "inputs" | "outputs"}} Border a border node, and where its record has the ports
 */

const ROUNDS = 64;

/** @type {Record<Side, Border>} */
const BORDERS = {
  inputs: { id: SUBGRAPH_INPUT, slots: "outputs" },
  outputs: { id: SUBGRAPH_OUTPUT, slots: "inputs" },
};

/**
 * The port at a socket of a border node.
 * @param {NodeRecord | undefined} node
 * @param {number} slot
 * @returns {{side: Side, slot: number, port: any} | null} null where there is none, and for the fresh socket
 */
export function portAt(node, slot) {
  if (!node || !isBorder(node)) return null;
  const side = Number(node.id) === SUBGRAPH_INPUT ? "inputs" : "outputs";
  const port = /** @type {any} */ (node[BORDERS[side].slots])?.[slot];
  return port && !port.fresh ? { side, slot, port } : null;
}

/**
 * Bring the definitions that a transaction changed, and their instances, in line.
 * @param {Transaction} top
 * @param {DefinitionOf} definitionOf
 */
export function settlePorts(top, definitionOf) {
  /** @type {Map<string, Face>} */
  const settled = new Map();
  let changed = true;
  // An instance that loses a socket may take one from the definition that it is in.
  for (let round = 0; changed && round < ROUNDS; round += 1) {
    changed = false;
    for (const [id, before] of top.faces) {
      const part = top.within(id);
      grow(part, "inputs");
      grow(part, "outputs");
      const [was, now] = [settled.get(id) ?? before, faceOf(part.graph)];
      if (JSON.stringify(was) === JSON.stringify(now)) continue;
      settled.set(id, now);
      changed = true;
      for (const { id: where, nodes } of instancesOf(top.graph, id))
        for (const node of nodes) conform(where === undefined ? top : top.within(where), node, was, now, definitionOf);
    }
  }
}

/**
 * A fresh socket that was joined becomes a port, and there is a fresh one again.
 * @param {Transaction} tx inside of the definition
 * @param {Side} side
 */
function grow(tx, side) {
  const { id, slots } = BORDERS[side];
  const all = /** @type {any[]} */ (tx.graph.node(id)?.[slots] ?? []);
  const at = all.length - 1;
  const fresh = all[at];
  const link = fresh?.fresh ? tx.graph.links.get(Number(fresh.links?.[0] ?? fresh.link ?? NaN)) : undefined;
  if (!link) return;
  const other = /** @type {any} */ (
    side === "inputs"
      ? tx.graph.node(link.target_id)?.inputs?.[link.target_slot]
      : tx.graph.node(link.origin_id)?.outputs?.[link.origin_slot]
  );
  const wanted = other?.widget?.name || other?.name || typeName(link.type).toLowerCase();
  const { links, link: into } = fresh;
  tx.set("node", id, [slots, at], {
    id: uuid(),
    name: freeName(wanted === "*" ? "value" : wanted, tx.graph, side),
    type: typeName(link.type),
    ...(other?.label && !other.fresh ? { label: other.label } : {}),
    ...(links ? { links } : { link: into }),
  });
  tx.set("node", id, [slots, at + 1], freshPort(side === "inputs" ? "input" : "output"));
}

/**
 * @param {string} wanted
 * @param {import("../doc/graph.js").Graph} graph
 * @param {Side} side
 * @returns {string}
 */
function freeName(wanted, graph, side) {
  const taken = new Set(portsOf(graph)[side].map(({ name }) => name));
  let name = wanted;
  for (let count = 1; taken.has(name); count += 1) name = `${wanted}_${count}`;
  return name;
}

/**
 * @param {Transaction} tx inside of the definition
 * @param {Side} side
 * @param {number} slot
 * @param {string} label "" for the port's own name
 */
export function renamePort(tx, side, slot, label) {
  const { id, slots } = BORDERS[side];
  const port = portsOf(tx.graph)[side][slot];
  if (port) tx.set("node", id, [slots, slot, "label"], label && label !== port.name ? label : undefined);
}

/**
 * Take a port away, with its links inside and those of all instances.
 * @param {Transaction} tx inside of the definition
 * @param {Side} side
 * @param {number} slot
 */
export function removePort(tx, side, slot) {
  const port = portsOf(tx.graph)[side][slot];
  if (!port) return;
  for (const link of [...(port.links ?? (port.link == null ? [] : [port.link]))]) disconnect(tx, Number(link));
  const all = slotsOf(tx, side);
  order(tx, side, [...all.slice(0, slot), ...all.slice(slot + 1)]);
}

/**
 * @param {Transaction} tx inside of the definition
 * @param {Side} side
 * @param {number} slot
 * @param {number} to its new place
 */
export function movePort(tx, side, slot, to) {
  const all = slotsOf(tx, side);
  if (to < 0 || to > all.length - 2) return; // the fresh one stays the last
  const [moved] = all.splice(slot, 1);
  all.splice(to, 0, moved);
  order(tx, side, all);
}

/** @param {Transaction} tx @param {Side} side @returns {any[]} a copy of the list */
function slotsOf(tx, side) {
  const { id, slots } = BORDERS[side];
  return [.../** @type {any[]} */ (tx.graph.node(id)?.[slots] ?? [])];
}

/**
 * @param {Transaction} tx
 * @param {Side} side
 * @param {any[]} all the slots in their new order
 */
function order(tx, side, all) {
  const { id, slots } = BORDERS[side];
  tx.set("node", id, [slots], all);
  for (const [slot, { links, link }] of all.entries()) {
    for (const each of links ?? []) place(tx, each, "origin_slot", slot);
    if (link != null) place(tx, link, "target_slot", slot);
  }
}

/**
 * @param {Transaction} tx
 * @param {unknown} link
 * @param {"origin_slot" | "target_slot"} end
 * @param {number} slot
 */
function place(tx, link, end, slot) {
  const record = tx.graph.links.get(Number(link));
  if (record && record[end] !== slot) tx.set("link", record.id, [end], slot);
}

/**
 * Bring an instance in line with its definition.
 * @param {Transaction} tx of the graph in which the instance is
 * @param {NodeRecord} node
 * @param {Face} was
 * @param {Face} now
 * @param {DefinitionOf} definitionOf
 */
function conform(tx, node, was, now, definitionOf) {
  conformValues(tx, node, was, now, definitionOf);
  conformInputs(tx, node, was, now);
  conformOutputs(tx, node, was, now);
}

/**
 * @param {Transaction} tx
 * @param {NodeRecord} node
 * @param {Face} was
 * @param {Face} now
 */
function conformInputs(tx, node, was, now) {
  const names = new Set(now.inputs.map(({ name }) => name));
  for (const { name, link } of node.inputs ?? []) if (!names.has(name) && link != null) disconnect(tx, Number(link));
  const next = now.inputs.flatMap((port) => {
    const before = was.inputs.find(({ name }) => name === port.name);
    const present = node.inputs?.find(({ name }) => name === port.name);
    // Files may leave out the sockets of widgets that have no link.
    if (!present && before?.widget && port.widget) return [];
    const { widget: _, ...slot } = /** @type {any} */ (present ?? { name: port.name, type: port.type, link: null });
    if (before?.label !== port.label) renameSlot(slot, port.label);
    return [{ ...slot, type: port.type, ...(port.widget ? { widget: { name: port.name } } : {}) }];
  });
  if (JSON.stringify(next) === JSON.stringify(node.inputs ?? [])) return;
  tx.set("node", node.id, ["inputs"], next);
  for (const [slot, { link }] of next.entries()) if (link != null) place(tx, link, "target_slot", slot);
}

/**
 * Outputs go by their places.
 * @param {Transaction} tx
 * @param {NodeRecord} node
 * @param {Face} was
 * @param {Face} now
 */
function conformOutputs(tx, node, was, now) {
  const places = new Map(was.outputs.map(({ key }, slot) => [key, slot]));
  const keys = new Set(now.outputs.map(({ key }) => key));
  for (const [slot, { key }] of was.outputs.entries())
    if (!keys.has(key)) for (const link of tx.graph.linksOutOf(node.id, slot)) disconnect(tx, link.id);
  const next = now.outputs.map(({ key, name, label, type }, slot_index) => {
    const before = places.get(key);
    const present = before === undefined ? undefined : node.outputs?.[before];
    const slot = present ? { ...present, type } : { name, type, links: null };
    if (before === undefined || was.outputs[before].label !== label) renameSlot(slot, label);
    return /** @type {any} */ ("slot_index" in slot || !present ? { ...slot, slot_index } : slot);
  });
  if (JSON.stringify(next) === JSON.stringify(node.outputs ?? [])) return;
  tx.set("node", node.id, ["outputs"], next);
  for (const [slot, { links }] of next.entries())
    for (const link of links ?? []) place(tx, link, "origin_slot", slot);
}

/** @param {any} slot is written to @param {unknown} label */
function renameSlot(slot, label) {
  if (label) slot.label = label;
  else delete slot.label;
}

/**
 * The values of an instance are listed in the order of its widgets. What becomes a widget begins with the value inside.
 * @param {Transaction} tx
 * @param {NodeRecord} node
 * @param {Face} was
 * @param {Face} now
 * @param {DefinitionOf} definitionOf
 */
function conformValues(tx, node, was, now, definitionOf) {
  const [before, after] = [was, now].map((face) =>
    face.inputs.filter(({ widget }) => widget).map(({ name }) => name),
  );
  if (before.join("\u0000") === after.join("\u0000")) return;
  const { widgets_values: values, widgets_values_named: named } = node;
  const old = Array.isArray(values) ? values : before.map((name) => /** @type {any} */ (values)?.[name]);
  const next = after.map((name) => {
    const at = before.indexOf(name);
    return (at < 0 ? insideValue(tx, node.type, name, definitionOf) : old[at]) ?? null;
  });
  while (next.length && next[next.length - 1] === null) next.pop();
  const byName = isObject(values);
  const entries = after.map((name, at) => [name, next[at] ?? null]);
  tx.set("node", node.id, ["widgets_values"], byName ? Object.fromEntries(entries) : next);
  if (isObject(named)) tx.set("node", node.id, ["widgets_values_named"], Object.fromEntries(entries));
}

/**
 * @param {Transaction} tx
 * @param {string} type
 * @param {string} name
 * @param {DefinitionOf} definitionOf
 * @returns {unknown} what the widget inside that an input leads to has stored; undefined where nobody knows
 */
function insideValue(tx, type, name, definitionOf) {
  const inner = tx.graph.subgraphs.get(type);
  const slot = inner ? portsOf(inner).inputs.findIndex((port) => port.name === name) : -1;
  const socket = inner && promotedSockets(inner).get(slot);
  const wanted = socket?.node.inputs?.[socket.slot]?.widget?.name;
  const widget = socket && widgetsOf(socket.node, definitionOf(socket.node)).find((each) => each.name === wanted);
  return widget ? widgetValue(socket.node, widget) : undefined;
}
