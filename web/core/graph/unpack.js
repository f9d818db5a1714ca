import { portsOf } from "../doc/borders.js";
import { nextId } from "../doc/ids.js";
import { isBorder, MODE, pair, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { followUnpacked } from "../nodes/shown_fields.js";
import { setWidget, widgetsOf, widgetValue } from "../nodes/widgets.js";
import { copySelection, pasteParts } from "./clipboard.js";
import { disconnect, joinBy } from "./links.js";
import { removeNodes } from "./nodes.js";
import { pointsOf } from "./reroutes.js";

/**
 * The nodes of a subgraph in the place of one of its instances.
 *
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").LinkRecord} LinkRecord
 * @typedef {import("../doc/schema.js").RerouteRecord} Point
 * @typedef {import("./pack.js").DefinitionOf} DefinitionOf
 * @typedef {import("./links.js").End} End
 */

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
  const shift = shiftTo(instance, clip);
  const { keys, made, points } = pasteParts(tx, clip, shift);
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
  joinOutside(tx, instance, inner, made, pointsOutside(tx, inner, points, shift));
  followUnpacked(tx, instance, made);
  removeNodes(tx, [id]);
  return keys;
}

/**
 * The points of a link inside as they are outside.
 * @param {Transaction} tx
 * @param {Graph} inner
 * @param {Map<number, number>} pasted ids outside by those inside, of the points that came with the nodes
 * @param {[number, number]} shift of the places
 * @returns {(link: LinkRecord) => Point[]}
 */
function pointsOutside(tx, inner, pasted, [dx, dy]) {
  const ids = new Map(pasted);
  const first = nextId(tx.graph.reroutes.keys(), tx.graph.record.state?.lastRerouteId);
  const idOf = (/** @type {number} */ id) => {
    if (!ids.has(id)) ids.set(id, first + ids.size);
    return /** @type {number} */ (ids.get(id));
  };
  return (link) =>
    pointsOf(inner, link).map((point) => {
      const [x, y] = pair(point.pos, [0, 0]);
      return { ...point, id: idOf(Number(point.id)), pos: [x + dx, y + dy] };
    });
}

/**
 * Join what came out of an instance to what the instance was joined to.
 * @param {Transaction} tx
 * @param {NodeRecord} instance
 * @param {Graph} inner
 * @param {Map<string, import("../doc/schema.js").NodeId>} made the new nodes by their ids inside
 * @param {(link: LinkRecord) => Point[]} pointsAlong a link inside, as they are outside
 */
function joinOutside(tx, instance, inner, made, pointsAlong) {
  const { graph } = tx;
  const at = (/** @type {unknown} */ old) => /** @type {import("../doc/schema.js").NodeId} */ (made.get(String(old)));
  const sources = instanceSources(graph, instance, inner);
  const source = (/** @type {LinkRecord} */ link) => {
    const inside = { node: at(link.origin_id), slot: link.origin_slot, points: /** @type {Point[]} */ ([]) };
    const from = Number(link.origin_id) === SUBGRAPH_INPUT ? sources[link.origin_slot] : inside;
    return from && { ...from, points: [...from.points, ...pointsAlong(link)] };
  };
  const leaves = [...graph.links.values()].filter((link) => String(link.origin_id) === String(instance.id));
  const leading = [...inner.links.values()].filter(({ target_id }) => Number(target_id) === SUBGRAPH_OUTPUT);
  const outer = leading.flatMap((link) => {
    const ends = leaves.filter((end) => end.origin_slot === link.target_slot);
    return ends.map((end) => ({ from: source(link), end, points: pointsOf(graph, end) }));
  });
  for (const { end } of outer) disconnect(tx, end.id); // all before any is joined anew: they share points
  for (const { from, end, points } of outer)
    if (from) joinBy(tx, from, { node: end.target_id, slot: end.target_slot }, [...from.points, ...points]);
  for (const link of inner.links.values()) {
    if (Number(link.origin_id) !== SUBGRAPH_INPUT || Number(link.target_id) === SUBGRAPH_OUTPUT) continue;
    const from = source(link);
    if (from) joinBy(tx, from, { node: at(link.target_id), slot: link.target_slot }, from.points);
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
 * @returns {((End & {points: Point[]}) | null)[]} points: of the link that comes from there
 */
function instanceSources(graph, instance, inner) {
  return portsOf(inner).inputs.map(({ name }) => {
    const slot = (instance.inputs ?? []).findIndex((input) => input.name === name);
    const link = slot < 0 ? undefined : graph.linkInto(instance.id, slot);
    return link ? { node: link.origin_id, slot: link.origin_slot, points: pointsOf(graph, link) } : null;
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
