import { nextId, uuid } from "../doc/ids.js";
import { isBorder, isObject, pair } from "../doc/schema.js";
import { parseJson, stringifyJson } from "../format/json.js";
import { connect } from "./links.js";
import { insertNode } from "./nodes.js";
import { pointsOf } from "./reroutes.js";

/**
 * Parts of a graph as JSON text, so that they travel between tabs, windows and programs: the shape is the one that
 * ComfyUI's editor puts on the clipboard.
 *
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").RerouteRecord} RerouteRecord
 * @typedef {{id: number, origin_id: any, origin_slot: number, target_id: any, target_slot: number, type: any,
 *   parentId?: number}} ClipLink in the ids of the clip; the origin may be outside of it
 * @typedef {{nodes: any[], links: ClipLink[], groups: any[], reroutes: RerouteRecord[], subgraphs: any[],
 *   groupNodes?: Record<string, any>}} Clip subgraphs: the definitions of the instances among the nodes
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 */

/**
 * @param {{graph: import("../doc/graph.js").Graph, selection: ReadonlySet<string>}} document
 * @returns {Clip | null} the selected nodes and groups, null when nothing is selected
 */
export function copySelection({ graph, selection }) {
  const nodes = [...graph.nodes.values()].filter((node) => selection.has(String(node.id)) && !isBorder(node));
  const groups = [...graph.groups].filter(([id]) => selection.has(`group:${id}`)).map(([, group]) => group);
  if (!nodes.length && !groups.length) return null;
  const ids = new Set(nodes.map((node) => String(node.id)));
  const links = [...graph.links.values()].filter((link) => ids.has(String(link.target_id)));
  const inside = links.filter((link) => ids.has(String(link.origin_id)));
  const points = new Set(inside.flatMap((link) => pointsOf(graph, link)));
  return structuredClone({
    nodes: nodes.map(unlinked),
    links: links.map(({ id, origin_id, origin_slot, target_id, target_slot, type, parentId }) => ({
      id,
      origin_id,
      origin_slot,
      target_id,
      target_slot,
      type,
      ...(parentId == null ? {} : { parentId }),
    })),
    groups,
    reroutes: [...points],
    subgraphs: definitionsOf(nodes, graph.subgraphs),
    ...groupNodesOf(nodes, graph.record.extra),
  });
}

/** @param {NodeRecord} node */
function unlinked(node) {
  const copy = structuredClone(node);
  for (const input of copy.inputs ?? []) {
    input.link = null;
    delete input.muted_link;
  }
  for (const output of copy.outputs ?? []) output.links = null;
  return copy;
}

/**
 * The definitions that nodes are instances of, and those inside of these.
 * @param {NodeRecord[]} nodes
 * @param {Map<string, import("../doc/graph.js").Graph>} graphs
 * @returns {any[]}
 */
function definitionsOf(nodes, graphs) {
  /** @type {Map<string, any>} */
  const found = new Map();
  const collect = (/** @type {Iterable<NodeRecord>} */ some) => {
    for (const { type } of some) {
      const inner = graphs.get(type);
      if (!inner || found.has(type)) continue;
      found.set(type, inner.toRecord());
      collect(inner.nodes.values());
    }
  };
  collect(nodes);
  return [...found.values()];
}

/**
 * @param {NodeRecord[]} nodes
 * @param {any} extra
 * @returns {{groupNodes?: Record<string, any>}} what the group nodes among them are made of
 */
function groupNodesOf(nodes, extra) {
  const names = nodes.map(({ type }) => /^workflow[>/](.+)$/s.exec(type)?.[1]);
  const used = names.filter((name) => name !== undefined && isObject(extra?.groupNodes?.[name]));
  return used.length
    ? { groupNodes: Object.fromEntries(used.map((name) => [name, extra.groupNodes[String(name)]])) }
    : {};
}

/**
 * @param {string} text
 * @returns {Clip | null} null where it is no copied part of a graph
 */
export function readClip(text) {
  if (!text.startsWith("{")) return null;
  let data;
  try {
    data = parseJson(text);
  } catch {
    return null;
  }
  // A whole workflow has nodes and links too.
  if (!isObject(data) || !Array.isArray(data.nodes) || "version" in data || "last_node_id" in data) return null;
  const nodes = data.nodes.filter((node) => isObject(node) && typeof node.type === "string");
  if (!nodes.length && !list(data.groups).length) return null;
  return {
    nodes,
    links: objects(list(data.links).map((link, at) => (Array.isArray(link) ? oldLink(link, at, nodes) : link))),
    groups: list(data.groups).filter((group) => isObject(group) && list(group.bounding).length === 4),
    reroutes: objects(list(data.reroutes)),
    subgraphs: list(data.subgraphs).filter((definition) => isObject(definition) && definition.id != null),
    ...(isObject(data.groupNodes) ? { groupNodes: data.groupNodes } : {}),
  };
}

/**
 * Older editors wrote a link as the places of its nodes in the list, and the origin's id for one outside of it.
 * @param {any[]} link
 * @param {number} at
 * @param {any[]} nodes
 * @returns {ClipLink | null}
 */
function oldLink([origin, origin_slot, target, target_slot, origin_id], at, nodes) {
  const from = nodes[origin]?.id ?? origin_id;
  const to = nodes[target]?.id;
  return from === undefined || to === undefined
    ? null
    : { id: at + 1, origin_id: from, origin_slot, target_id: to, target_slot, type: "*" };
}

/** @param {any[]} values @returns {any[]} */
function objects(values) {
  return values.filter(isObject);
}

/** @param {unknown} value @returns {any[]} */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * Put a clip into a document around a point.
 * @param {Transaction} tx
 * @param {Clip} clip
 * @param {[number, number] | null} at the new top left; null keeps the places, moved a little
 * @param {{outerLinks?: boolean}} [options] outerLinks: also join to the nodes outside that fed the originals
 * @returns {string[]} the keys of what was put in
 */
export function paste(tx, clip, at, { outerLinks = false } = {}) {
  return pasteParts(tx, clip, offset(clip, at), outerLinks).keys;
}

/**
 * @param {Transaction} tx
 * @param {Clip} clip
 * @param {[number, number]} shift of the places
 * @param {boolean} [outerLinks]
 * @returns {{keys: string[], made: Map<string, import("../doc/schema.js").NodeId>, points: Map<number, number>}} made,
 *   points: the new ids of nodes and reroute points by the clip's
 * @throws {RangeError} where a subgraph would get into itself
 */
export function pasteParts(tx, clip, [dx, dy], outerLinks = false) {
  const renamed = pasteDefinitions(tx, clip);
  const made = new Map();
  for (const record of structuredClone(clip.nodes)) {
    const [x, y] = pair(record.pos, [0, 0]);
    const old = String(record.id);
    record.pos = [x + dx, y + dy];
    record.type = renamed.get(record.type) ?? record.type;
    made.set(old, insertNode(tx, unlinked(record)).id);
  }
  /** @type {Map<number, import("../doc/schema.js").LinkRecord>} */
  const joined = new Map();
  for (const { id, origin_id, origin_slot, target_id, target_slot } of clip.links) {
    const target = made.get(String(target_id));
    const origin = made.get(String(origin_id)) ?? (outerLinks ? origin_id : undefined);
    if (target === undefined || origin === undefined || !tx.graph.node(origin)) continue;
    const ends = /** @type {const} */ ([{ node: origin, slot: origin_slot }, { node: target, slot: target_slot }]);
    const link = connect(tx, ...ends, { anyType: true });
    if (link && made.has(String(origin_id))) joined.set(Number(id), link);
  }
  const points = pasteReroutes(tx, clip, joined, dx, dy);
  const groups = clip.groups.map((group) => pasteGroup(tx, structuredClone(group), dx, dy));
  return { keys: [...[...made.values()].map(String), ...groups, ...[...points.values()].map((id) => `reroute:${id}`)], made, points };
}

/**
 * Definitions that the document lacks come with the nodes; one that it has under the same id, but otherwise, stays, and
 * the clip's gets an id of its own.
 * @param {Transaction} tx
 * @param {Clip} clip
 * @returns {Map<string, string>} ids that changed
 */
function pasteDefinitions(tx, { subgraphs, groupNodes }) {
  const { top } = tx;
  const present = top.graph.subgraphs;
  const renamed = new Map();
  const differs = (/** @type {any} */ definition) => {
    const mine = present.get(definition.id);
    return mine !== undefined && stringifyJson(mine.toRecord()) !== stringifyJson(definition);
  };
  // What holds a renamed definition is another one too, and what holds that.
  for (let count = -1; count !== renamed.size;) {
    count = renamed.size;
    for (const definition of subgraphs) {
      const changed = differs(definition) || list(definition.nodes).some((node) => renamed.has(node?.type));
      if (changed && !renamed.has(definition.id)) renamed.set(definition.id, uuid());
    }
  }
  const fresh = subgraphs.filter(({ id }) => renamed.has(id) || !present.has(id));
  for (const definition of structuredClone(fresh)) {
    addDefinition(tx, {
      ...definition,
      id: renamed.get(definition.id) ?? definition.id,
      nodes: list(definition.nodes).map((node) => ({ ...node, type: renamed.get(node.type) ?? node.type })),
    });
  }
  for (const [name, definition] of Object.entries(groupNodes ?? {})) {
    if (!top.graph.record.extra?.groupNodes?.[name])
      top.set("root", "", ["extra", "groupNodes", name], structuredClone(definition));
  }
  return renamed;
}

/**
 * Put a definition into the workflow.
 * @param {Transaction} tx
 * @param {any} record
 */
export function addDefinition({ top }, record) {
  const count = list(top.graph.record.definitions?.subgraphs).length;
  top.set("root", "", ["definitions", "subgraphs", count], record);
}

/**
 * The points of links that were pasted whole.
 * @param {Transaction} tx
 * @param {Clip} clip
 * @param {Map<number, import("../doc/schema.js").LinkRecord>} joined new links by the clip's ids
 * @param {number} dx
 * @param {number} dy
 * @returns {Map<number, number>} the new ids by the clip's
 */
function pasteReroutes(tx, clip, joined, dx, dy) {
  const first = nextId(tx.graph.reroutes.keys(), tx.graph.record.state?.lastRerouteId);
  const used = clip.reroutes.filter((point) => list(point.linkIds).some((id) => joined.has(Number(id))));
  const ids = new Map(used.map((point, at) => [Number(point.id), first + at]));
  for (const point of structuredClone(used)) {
    const id = /** @type {number} */ (ids.get(Number(point.id)));
    const [x, y] = pair(point.pos, [0, 0]);
    const parent = ids.get(Number(point.parentId));
    const linkIds = list(point.linkIds).flatMap((link) => joined.get(Number(link))?.id ?? []);
    tx.insert("reroute", id, {
      id,
      ...(parent === undefined ? {} : { parentId: parent }),
      pos: [x + dx, y + dy],
      linkIds,
    });
  }
  for (const { id, parentId } of clip.links) {
    const link = joined.get(Number(id));
    const parent = ids.get(Number(parentId));
    if (link && parent !== undefined) tx.set("link", link.id, ["parentId"], parent);
  }
  return ids;
}

/**
 * @param {Transaction} tx
 * @param {any} group
 * @param {number} dx
 * @param {number} dy
 */
function pasteGroup(tx, group, dx, dy) {
  const [x, y, width, height] = group.bounding;
  const id = nextId(tx.graph.groups.keys(), 0);
  tx.insert("group", id, { ...group, bounding: [x + dx, y + dy, width, height] });
  return `group:${id}`;
}

/**
 * @param {Clip} clip
 * @param {[number, number] | null} at
 * @returns {[number, number]}
 */
function offset(clip, at) {
  if (!at) return [40, 40];
  const corners = [
    ...clip.nodes.map((node) => pair(node.pos, [0, 0])),
    ...clip.groups.map((group) => [group.bounding[0], group.bounding[1]]),
  ];
  return [
    Math.round(at[0] - Math.min(...corners.map(([x]) => x))),
    Math.round(at[1] - Math.min(...corners.map(([, y]) => y))),
  ];
}
