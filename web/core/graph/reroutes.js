import { nextId } from "../doc/ids.js";

/**
 * Reroute points on links. A link names the last point before its target; each point names the one before it.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/schema.js").RerouteRecord} RerouteRecord
 * @typedef {import("../doc/schema.js").LinkRecord} LinkRecord
 */

/**
 * The points of a link, from its origin to its target.
 * @param {Graph} graph
 * @param {LinkRecord} link
 * @returns {RerouteRecord[]}
 */
export function pointsOf(graph, link) {
  if (link.parentId == null) return [];
  const points = [];
  const seen = new Set();
  /** @type {number | undefined} */
  let id = link.parentId;
  while (id !== undefined && id !== null && !seen.has(id)) {
    seen.add(id);
    const point = graph.reroutes.get(id);
    if (!point) break;
    points.push(point);
    id = point.parentId;
  }
  return points.reverse();
}

/**
 * Put a point on a link, after the given number of its points.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {number} linkId
 * @param {[number, number]} pos
 * @param {number} after
 * @returns {string} its selection key
 */
export function addReroute(tx, linkId, pos, after) {
  const { graph } = tx;
  const link = /** @type {LinkRecord} */ (graph.links.get(linkId));
  const points = pointsOf(graph, link);
  const id = nextId(graph.reroutes.keys(), graph.record.state?.lastRerouteId);
  const parent = points[after - 1];
  /** @type {RerouteRecord} */
  const record = { id, pos: [Math.round(pos[0]), Math.round(pos[1])], linkIds: [linkId] };
  if (parent) record.parentId = parent.id;
  tx.insert("reroute", id, record);
  const next = points[after];
  if (next) tx.set("reroute", next.id, ["parentId"], id);
  else tx.set("link", linkId, ["parentId"], id);
  return `reroute:${id}`;
}

/**
 * Take a point away; what hung on it hangs on the one before.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {number} id
 */
export function removeReroute(tx, id) {
  const { graph } = tx;
  const gone = graph.reroutes.get(id);
  if (!gone) return;
  for (const other of graph.reroutes.values()) {
    if (other.parentId === id) tx.set("reroute", other.id, ["parentId"], gone.parentId);
  }
  for (const link of graph.links.values()) {
    if (link.parentId === id) tx.set("link", link.id, ["parentId"], gone.parentId);
  }
  tx.remove("reroute", id);
}

/**
 * Lead a link through points. Those that the graph has in this order are shared; those that it lacks are made.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {number} linkId a link without points
 * @param {RerouteRecord[]} points from its origin to its target
 */
export function leadThrough(tx, linkId, points) {
  /** @type {number | undefined} */
  let parent;
  for (const { floating: _, ...point } of points) {
    const present = tx.graph.reroutes.get(point.id);
    if (present && (present.parentId ?? undefined) === parent) {
      tx.set("reroute", present.id, ["linkIds"], [...(present.linkIds ?? []), linkId]);
      parent = present.id;
      continue;
    }
    const id = present ? nextId(tx.graph.reroutes.keys(), tx.graph.record.state?.lastRerouteId) : point.id;
    /** @type {RerouteRecord} */
    const made = { ...point, id, pos: [...point.pos], linkIds: [linkId] };
    if (parent === undefined) delete made.parentId;
    else made.parentId = parent;
    tx.insert("reroute", id, made);
    parent = id;
  }
  if (parent !== undefined) tx.set("link", linkId, ["parentId"], parent);
}

/**
 * What several ways through points have in common at their beginning.
 * @param {RerouteRecord[][]} ways
 * @returns {RerouteRecord[]}
 */
export function sharedPoints([first = [], ...others]) {
  const end = first.findIndex((point, at) => others.some((way) => way[at]?.id !== point.id));
  return end < 0 ? first : first.slice(0, end);
}
