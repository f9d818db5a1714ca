import { portsOf } from "../doc/borders.js";
import { uuid } from "../doc/ids.js";
import { isBorder, MODE, pair, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { followPacked, followUnpacked } from "../nodes/shown_fields.js";
import { setWidget, widgetsOf, widgetValue } from "../nodes/widgets.js";
import { addDefinition, copySelection, pasteParts } from "./clipboard.js";
import { connect, disconnect } from "./links.js";
import { insertNode, removeNodes } from "./nodes.js";
import { pointsOf } from "./reroutes.js";
import { typeName } from "./slot_types.js";
import { promotedSockets } from "./subgraphs.js";

/**
 * Nodes into a subgraph of their own, and out of it again.
 *
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").LinkRecord} LinkRecord
 * @typedef {import("../geometry/viewport.js").Bounds} Bounds
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {(node: NodeRecord) => NodeDef | undefined} DefinitionOf
 * @typedef {import("./links.js").End} End
 * @typedef {{port: any, end: End, links: LinkRecord[]}} Way through the border; end: the output that feeds it
 */

const BORDER_WIDTH = 140;
const GAP = 100;
const INSTANCE_WIDTH = 240;
const KEPT = Object.freeze({ anyType: true });

/**
 * Put nodes into a new subgraph. Their places, links, groups and reroute points go with them; an instance joins what
 * they were joined to.
 * @param {Transaction} tx
 * @param {string[]} keys the selection: nodes, and groups and points that go with them
 * @param {{name: string, bounds: Bounds, definitionOf: DefinitionOf}} options bounds: of the nodes
 * @returns {NodeRecord} the instance
 * @throws {RangeError} where there are no nodes, or one outside would both feed them and be fed by them
 */
export function packNodes(tx, keys, { name, bounds, definitionOf }) {
  const { graph } = tx;
  const nodes = [...graph.nodes.values()].filter((node) => keys.includes(String(node.id)) && !isBorder(node));
  if (!nodes.length) throw new RangeError("A subgraph needs nodes: select some first.");
  const inside = new Set(nodes.map((node) => String(node.id)));
  refuseRings(graph, inside, definitionOf);
  /** @typedef {"origin_id" | "target_id"} Ends */
  const crossing = (/** @type {Ends} */ within, /** @type {Ends} */ without) =>
    [...graph.links.values()].filter((link) => inside.has(String(link[within])) && !inside.has(String(link[without])));
  const ins = waysOf(graph, crossing("target_id", "origin_id"));
  const outs = waysOf(graph, crossing("origin_id", "target_id"));
  nameWays(graph, ins, "target");
  nameWays(graph, outs, "origin");
  const record = definitionOfNodes(graph, nodes, keys, { name, bounds, ins, outs });
  const groups = [...graph.groups.keys()].filter((id) => keys.includes(`group:${id}`));
  removeNodes(tx, [...inside]);
  for (const id of groups) tx.remove("group", id);
  addDefinition(tx, record);
  const instance = insertNode(tx, instanceOf(record, bounds, promotedValues(tx, record.id, definitionOf)));
  for (const [slot, { end }] of ins.entries()) connect(tx, end, { node: instance.id, slot }, KEPT);
  for (const [slot, way] of outs.entries())
    for (const { target_id, target_slot } of way.links)
      connect(tx, { node: instance.id, slot }, { node: target_id, slot: target_slot }, KEPT);
  followPacked(tx, inside, instance);
  return instance;
}

/**
 * @param {Graph} graph
 * @param {Set<string>} inside
 * @param {DefinitionOf} definitionOf
 */
function refuseRings(graph, inside, definitionOf) {
  const seen = new Set();
  const waiting = [...inside];
  for (const id of waiting) {
    for (const [slot] of (graph.node(id)?.outputs ?? []).entries()) {
      for (const { target_id } of graph.linksOutOf(id, slot)) {
        const next = String(target_id);
        if (inside.has(next) && !inside.has(id)) {
          const node = /** @type {NodeRecord} */ (graph.node(id));
          const title = node.title || definitionOf(node)?.title || node.type;
          const way = "select it too, or leave one end out.";
          throw new RangeError(`${title} (${id}) lies between the selected nodes: ${way}`);
        }
        if (!inside.has(next) && !seen.has(next)) waiting.push(next);
        seen.add(next);
      }
    }
  }
}

/**
 * The links that cross the border, by the outputs that they come from.
 * @param {Graph} graph
 * @param {LinkRecord[]} links
 * @returns {Way[]}
 */
function waysOf(graph, links) {
  /** @type {Map<string, Way>} */
  const ways = new Map();
  for (const link of links) {
    const key = `${link.origin_id}:${link.origin_slot}`;
    const type = typeName(graph.node(link.origin_id)?.outputs?.[link.origin_slot]?.type ?? link.type);
    const end = { node: link.origin_id, slot: link.origin_slot };
    const way = ways.get(key) ?? { port: { id: uuid(), name: "", type }, end, links: [] };
    way.links.push(link);
    ways.set(key, way);
  }
  return [...ways.values()];
}

/**
 * Inputs are called as the socket inside is, outputs too; names are given once.
 * @param {Graph} graph
 * @param {Way[]} ways
 * @param {"origin" | "target"} inner which end of the links is inside
 */
function nameWays(graph, ways, inner) {
  const taken = new Set();
  for (const { port, links } of ways) {
    const [link] = links;
    const slot = /** @type {any} */ (
      inner === "target"
        ? graph.node(link.target_id)?.inputs?.[link.target_slot]
        : graph.node(link.origin_id)?.outputs?.[link.origin_slot]
    );
    const wanted = slot?.widget?.name || slot?.name || port.type.toLowerCase();
    port.name = wanted;
    for (let count = 1; taken.has(port.name); count += 1) port.name = `${wanted}_${count}`;
    taken.add(port.name);
    if (slot?.label) port.label = slot.label;
    if (port.type === "*" && slot) port.type = typeName(slot.type);
  }
}

/**
 * @param {Graph} graph
 * @param {NodeRecord[]} nodes
 * @param {string[]} keys
 * @param {{name: string, bounds: Bounds, ins: Way[], outs: Way[]}} parts
 * @returns {any} the record of the definition
 */
function definitionOfNodes(graph, nodes, keys, { name, bounds: [x, y, width, height], ins, outs }) {
  const copies = structuredClone(nodes);
  const ids = new Set(copies.map((node) => String(node.id)));
  const { within, entering, leaving } = linksInside(graph, ids, ins, outs);
  const points = new Set(within.flatMap((link) => pointsOf(graph, link)));
  const kept = new Set(within.map((link) => link.id));
  const all = [...within, ...entering, ...leaving];
  for (const node of copies)
    for (const [slot, output] of (node.outputs ?? []).entries()) {
      const own = all.filter((link) => String(link.origin_id) === String(node.id) && link.origin_slot === slot);
      output.links = own.length ? own.map((link) => Number(link.id)) : null;
    }
  const groups = [...graph.groups].filter(([id]) => keys.includes(`group:${id}`)).map(([, group]) => group);
  const side = (/** @type {number} */ at, /** @type {number} */ count) => {
    const tall = 60 + 20 * count;
    return [at, Math.round(y + height / 2 - tall / 2), BORDER_WIDTH, tall];
  };
  return {
    id: uuid(),
    version: 1,
    state: {
      lastGroupId: 0,
      lastNodeId: Math.max(0, ...[...ids].map(Number).filter(Number.isSafeInteger)),
      lastLinkId: Math.max(0, ...all.map(({ id }) => Number(id))),
      lastRerouteId: Math.max(0, ...[...points].map(({ id }) => Number(id))),
    },
    revision: 0,
    config: {},
    name,
    inputNode: { id: SUBGRAPH_INPUT, bounding: side(Math.round(x - GAP - BORDER_WIDTH), ins.length) },
    outputNode: { id: SUBGRAPH_OUTPUT, bounding: side(Math.round(x + width + GAP), outs.length) },
    inputs: ins.map(({ port }, slot) => ({
      ...port,
      linkIds: entering.filter((link) => link.origin_slot === slot).map(({ id }) => id),
    })),
    outputs: outs.map(({ port }, slot) => ({ ...port, linkIds: [leaving[slot].id] })),
    widgets: [],
    nodes: copies,
    groups: structuredClone(groups),
    links: all,
    ...(points.size ? { reroutes: pointsWithin(points, kept) } : {}),
    extra: {},
  };
}

/**
 * The links of a new definition: those between its nodes, those from its inputs and those to its outputs.
 * @param {Graph} graph
 * @param {Set<string>} ids of the nodes
 * @param {Way[]} ins
 * @param {Way[]} outs
 * @returns {{within: LinkRecord[], entering: LinkRecord[], leaving: LinkRecord[]}} copies
 */
function linksInside(graph, ids, ins, outs) {
  const within = [...graph.links.values()]
    .filter((link) => ids.has(String(link.target_id)) && ids.has(String(link.origin_id)))
    .map((link) => ({ ...link }));
  const entering = ins.flatMap(({ port, links }, origin_slot) =>
    links.map(({ parentId: _, ...link }) => ({ ...link, origin_id: SUBGRAPH_INPUT, origin_slot, type: port.type })),
  );
  const top = Math.max(0, ...graph.links.keys());
  const leaving = outs.map(({ port, end }, target_slot) => ({
    id: top + 1 + target_slot,
    origin_id: end.node,
    origin_slot: end.slot,
    target_id: SUBGRAPH_OUTPUT,
    target_slot,
    type: port.type,
  }));
  return { within, entering: /** @type {LinkRecord[]} */ (entering), leaving };
}

/**
 * @param {Set<import("../doc/schema.js").RerouteRecord>} points
 * @param {Set<number>} kept the links inside
 */
function pointsWithin(points, kept) {
  return [...points].map((point) => ({
    ...structuredClone(point),
    linkIds: (point.linkIds ?? []).filter((id) => kept.has(id)),
  }));
}

/**
 * @param {any} definition
 * @param {Bounds} bounds
 * @param {Map<string, unknown>} values of what is a widget of the instance
 * @returns {NodeRecord}
 */
function instanceOf({ id, inputs, outputs }, [x, y, width, height], values) {
  const slot = (/** @type {any} */ { name, label, type }) => ({ name, ...(label ? { label } : {}), type });
  return {
    id: 0,
    type: id,
    pos: [Math.round(x + width / 2 - INSTANCE_WIDTH / 2), Math.round(y + height / 2)],
    size: [INSTANCE_WIDTH, 60],
    flags: {},
    order: 0,
    mode: MODE.ALWAYS,
    inputs: inputs.map((/** @type {any} */ port) => ({
      ...slot(port),
      ...(values.has(port.name) ? { widget: { name: port.name } } : {}),
      link: null,
    })),
    outputs: outputs.map((/** @type {any} */ port) => ({ ...slot(port), links: null })),
    properties: {},
    widgets_values: [...values.values()],
  };
}

/**
 * The values that an instance has for the widgets inside that its inputs lead to.
 * @param {Transaction} tx
 * @param {string} id
 * @param {DefinitionOf} definitionOf
 * @returns {Map<string, unknown>} by input
 */
function promotedValues(tx, id, definitionOf) {
  const inner = /** @type {Graph} */ (tx.graph.subgraphs.get(id));
  const { inputs } = portsOf(inner);
  return new Map(
    [...promotedSockets(inner)].map(([slot, socket]) => {
      const name = socket.node.inputs?.[socket.slot]?.widget?.name;
      const widget = widgetsOf(socket.node, definitionOf(socket.node)).find((each) => each.name === name);
      return [inputs[slot].name, widget ? widgetValue(socket.node, widget) : null];
    }),
  );
}

/**
 * Put what is in a subgraph in the place of one of its instances.
 * @param {Transaction} tx
 * @param {string} id the instance
 * @param {DefinitionOf} definitionOf
 * @returns {string[]} the keys of what came out
 * @throws {RangeError} where the node is no instance of a subgraph
 */
export function unpackInstance(tx, id, definitionOf) {
  const { graph } = tx;
  const instance = graph.node(id);
  const inner = instance && graph.subgraphs.get(instance.type);
  if (!instance || !inner) throw new RangeError(`Node ${id} is no subgraph: there is nothing to unpack.`);
  const clip = contentOf(inner);
  const values = heldValues(instance, inner, definitionOf);
  const { keys, made } = pasteParts(tx, clip, shiftTo(instance, clip));
  for (const [{ node, slot }, value] of values) {
    const copy = graph.node(String(made.get(String(node.id))));
    const def = copy && definitionOf(copy);
    const name = copy?.inputs?.[slot]?.widget?.name;
    const widget = copy && widgetsOf(copy, def).find((each) => each.name === name);
    if (copy && widget) setWidget(tx, copy.id, widget, value, def);
  }
  const mode = Number(instance.mode);
  if (mode === MODE.MUTED || mode === MODE.BYPASS)
    for (const node of made.values()) tx.set("node", node, ["mode"], mode);
  joinOutside(tx, instance, inner, made);
  followUnpacked(tx, instance, made);
  removeNodes(tx, [id]);
  return keys;
}

/**
 * Join what came out of an instance to what the instance was joined to.
 * @param {Transaction} tx
 * @param {NodeRecord} instance
 * @param {Graph} inner
 * @param {Map<string, import("../doc/schema.js").NodeId>} made the new nodes by their ids inside
 */
function joinOutside(tx, instance, inner, made) {
  const { graph } = tx;
  const at = (/** @type {unknown} */ old) => /** @type {import("../doc/schema.js").NodeId} */ (made.get(String(old)));
  const sources = instanceSources(graph, instance, inner);
  const leading = [...inner.links.values()].filter(({ target_id }) => Number(target_id) === SUBGRAPH_OUTPUT);
  const leaves = [...graph.links.values()].filter((link) => String(link.origin_id) === String(instance.id));
  const outer = leading.map((link) => ({ link, ends: leaves.filter((end) => end.origin_slot === link.target_slot) }));
  const source = (/** @type {LinkRecord} */ { origin_id, origin_slot }) =>
    Number(origin_id) === SUBGRAPH_INPUT ? sources[origin_slot] : { node: at(origin_id), slot: origin_slot };
  for (const { link, ends } of outer)
    for (const { id: outside, target_id, target_slot } of ends) {
      const from = source(link);
      disconnect(tx, outside);
      if (from) connect(tx, from, { node: target_id, slot: target_slot }, KEPT);
    }
  for (const link of inner.links.values()) {
    if (Number(link.origin_id) !== SUBGRAPH_INPUT || Number(link.target_id) === SUBGRAPH_OUTPUT) continue;
    const from = sources[link.origin_slot];
    if (from) connect(tx, from, { node: at(link.target_id), slot: link.target_slot }, KEPT);
  }
}

/** All that is in a definition, but for its borders. @param {Graph} inner @returns {import("./clipboard.js").Clip} */
function contentOf(inner) {
  const selection = new Set([
    ...[...inner.nodes.values()].filter((node) => !isBorder(node)).map((node) => String(node.id)),
    ...[...inner.groups.keys()].map((id) => `group:${id}`),
  ]);
  /** @type {import("./clipboard.js").Clip} */
  const empty = { nodes: [], links: [], groups: [], reroutes: [], subgraphs: [] };
  const clip = copySelection({ graph: inner, selection }) ?? empty;
  // The definitions of instances inside are in the workflow already.
  return { ...clip, links: clip.links.filter((link) => Number(link.origin_id) !== SUBGRAPH_INPUT), subgraphs: [] };
}

/**
 * So that the middle of what comes out is where the instance was.
 * @param {NodeRecord} instance
 * @param {import("./clipboard.js").Clip} clip
 * @returns {[number, number]}
 */
function shiftTo(instance, clip) {
  const boxes = [
    ...clip.nodes.map((node) => [...pair(node.pos, [0, 0]), ...pair(node.size, [0, 0])]),
    ...clip.groups.map(({ bounding }) => bounding),
  ];
  if (!boxes.length) return [0, 0];
  const [left, top] = [Math.min(...boxes.map(([x]) => x)), Math.min(...boxes.map(([, y]) => y))];
  const right = Math.max(...boxes.map(([x, , width]) => x + width));
  const bottom = Math.max(...boxes.map(([, y, , height]) => y + height));
  const [x, y] = pair(instance.pos, [0, 0]);
  const [width, height] = pair(instance.size, [0, 0]);
  return [Math.round(x + width / 2 - (left + right) / 2), Math.round(y + height / 2 - (top + bottom) / 2)];
}

/**
 * What feeds each input of a definition from outside of one instance.
 * @param {Graph} graph
 * @param {NodeRecord} instance
 * @param {Graph} inner
 * @returns {(End | null)[]}
 */
function instanceSources(graph, instance, inner) {
  return portsOf(inner).inputs.map(({ name }) => {
    const slot = (instance.inputs ?? []).findIndex((input) => input.name === name);
    const link = slot < 0 ? undefined : graph.linkInto(instance.id, slot);
    return link ? { node: link.origin_id, slot: link.origin_slot } : null;
  });
}

/**
 * The values that an instance holds for widgets inside, with all the sockets to which its inputs lead.
 * @param {NodeRecord} instance
 * @param {Graph} inner
 * @param {DefinitionOf} definitionOf
 * @returns {[import("./subgraphs.js").InnerSocket, unknown][]}
 */
function heldValues(instance, inner, definitionOf) {
  const { inputs } = portsOf(inner);
  const widgets = widgetsOf(instance, definitionOf(instance));
  return [...inner.links.values()].flatMap((link) => {
    if (Number(link.origin_id) !== SUBGRAPH_INPUT) return [];
    const node = inner.node(link.target_id);
    const widget = widgets.find(({ name }) => name === inputs[link.origin_slot]?.name);
    if (!node?.inputs?.[link.target_slot]?.widget || !widget) return [];
    return [[{ node, slot: link.target_slot }, widgetValue(instance, widget)]];
  });
}
