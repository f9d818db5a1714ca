import { portsOf } from "../doc/borders.js";
import { uuid } from "../doc/ids.js";
import { isBorder, MODE, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { followPacked } from "../nodes/shown_fields.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { addDefinition } from "./clipboard.js";
import { joinBy } from "./links.js";
import { insertNode, removeNodes } from "./nodes.js";
import { pointsOf, sharedPoints } from "./reroutes.js";
import { typeName } from "./slot_types.js";
import { promotedSockets } from "./subgraphs.js";

/**
 * Nodes into a subgraph of their own.
 *
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").LinkRecord} LinkRecord
 * @typedef {import("../geometry/viewport.js").Bounds} Bounds
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {(node: NodeRecord) => NodeDef | undefined} DefinitionOf
 * @typedef {import("./links.js").End} End
 * @typedef {import("../doc/schema.js").RerouteRecord} Point
 * @typedef {{port: any, end: End, links: LinkRecord[], shared: Point[], rest: Map<number, Point[]>}} Way through the
 *   border; end: the output that feeds it; shared: the points before the border, rest: those behind it, by link
 */

const BORDER_WIDTH = 140;
const GAP = 100;
const INSTANCE_WIDTH = 240;

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
  const inBounds = pointInside(keys, bounds);
  const outside = (/** @type {Point} */ point) => !inBounds(point);
  for (const way of ins) partPoints(graph, way, (points) => points.findLastIndex(outside) + 1);
  for (const way of outs)
    partPoints(graph, way, (points) => (points.some(outside) ? points.findIndex(outside) : points.length));
  nameWays(graph, ins, "target");
  nameWays(graph, outs, "origin");
  const record = definitionOfNodes(graph, nodes, keys, { name, bounds, ins, outs });
  const groups = [...graph.groups.keys()].filter((id) => keys.includes(`group:${id}`));
  removeNodes(tx, [...inside]);
  for (const id of groups) tx.remove("group", id);
  addDefinition(tx, record);
  const instance = insertNode(tx, instanceOf(record, bounds, promotedValues(tx, record.id, definitionOf)));
  for (const [slot, { end, shared }] of ins.entries()) joinBy(tx, end, { node: instance.id, slot }, shared);
  for (const [slot, way] of outs.entries())
    for (const { id, target_id, target_slot } of way.links)
      joinBy(tx, { node: instance.id, slot }, { node: target_id, slot: target_slot }, way.rest.get(id) ?? []);
  followPacked(tx, inside, instance);
  return instance;
}

/**
 * Whether a point goes with the nodes: where it is selected, or lies among them.
 * @param {string[]} keys
 * @param {Bounds} bounds
 * @returns {(point: Point) => boolean}
 */
function pointInside(keys, [left, top, width, height]) {
  return ({ id, pos: [x, y] }) =>
    keys.includes(`reroute:${id}`) || (x >= left && x <= left + width && y >= top && y <= top + height);
}

/**
 * Part the points of a way's links at the border: one link alone is on its near side, so only what all have in common
 * can be there.
 * @param {Graph} graph
 * @param {Way} way is written to
 * @param {(points: Point[]) => number} near how many of a link's are on the side of its origin
 */
function partPoints(graph, way, near) {
  const all = way.links.map((link) => pointsOf(graph, link));
  way.shared = sharedPoints(all.map((points) => points.slice(0, near(points))));
  way.rest = new Map(way.links.map(({ id }, at) => [id, all[at].slice(way.shared.length)]));
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
    /** @type {Way} */
    const way = ways.get(key) ?? {
      port: { id: uuid(), name: "", type },
      end,
      links: [],
      shared: [],
      rest: new Map(),
    };
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
  for (const input of copies.flatMap((node) => node.inputs ?? [])) {
    const muted = /** @type {any} */ (input.muted_link);
    if (muted && !ids.has(String(muted.origin_id))) delete input.muted_link;
  }
  const { within, entering, leaving } = linksInside(graph, ids, ins, outs);
  const all = [...within, ...entering, ...leaving];
  const points = pointsWithin([
    ...within.map((link) => /** @type {const} */ ([link, pointsOf(graph, link)])),
    ...entering.map((link) => /** @type {const} */ ([link, ins[link.origin_slot].rest.get(link.id) ?? []])),
    ...leaving.map((link) => /** @type {const} */ ([link, outs[link.target_slot].shared])),
  ]);
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
      lastRerouteId: Math.max(0, ...points.map(({ id }) => Number(id))),
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
    ...(points.length ? { reroutes: points } : {}),
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
  const through = (/** @type {Point[] | undefined} */ points) =>
    points?.length ? { parentId: points[points.length - 1].id } : {};
  const entering = ins.flatMap(({ port, links, rest }, origin_slot) =>
    links.map(({ parentId: _, ...link }) => ({
      ...link,
      origin_id: SUBGRAPH_INPUT,
      origin_slot,
      type: port.type,
      ...through(rest.get(link.id)),
    })),
  );
  const top = Math.max(0, ...graph.links.keys());
  const leaving = outs.map(({ port, end, shared }, target_slot) => ({
    id: top + 1 + target_slot,
    origin_id: end.node,
    origin_slot: end.slot,
    target_id: SUBGRAPH_OUTPUT,
    target_slot,
    type: port.type,
    ...through(shared),
  }));
  return { within, entering: /** @type {LinkRecord[]} */ (entering), leaving };
}

/**
 * The points of a new definition, with the links that go through them there.
 * @param {(readonly [LinkRecord, Point[]])[]} ways
 * @returns {Point[]} copies
 */
function pointsWithin(ways) {
  /** @type {Map<number, Point>} */
  const made = new Map();
  for (const [{ id: link }, points] of ways)
    for (const [at, point] of points.entries()) {
      const { parentId: _, ...copy } = structuredClone(point);
      const parent = at ? { parentId: points[at - 1].id } : {};
      const present = made.get(point.id) ?? { ...copy, ...parent, linkIds: [] };
      present.linkIds = [...(present.linkIds ?? []), Number(link)];
      made.set(point.id, present);
    }
  return [...made.values()];
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
