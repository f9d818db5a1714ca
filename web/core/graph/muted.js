import { isObject } from "../doc/schema.js";
import { connect, disconnect, feeds } from "./links.js";
import { leadThrough, pointsOf } from "./reroutes.js";

/**
 * Muted links. One is taken out of the graph, so that any program runs what is to be seen, and is noted at the input that
 * it fed as `muted_link`, from where it comes back. Joining something else to the input is the end of it.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/schema.js").NodeId} NodeId
 * @typedef {import("../doc/schema.js").RerouteRecord} Point
 * @typedef {{origin_id: NodeId, origin_slot: number, type: unknown, points?: Point[]}} Muted
 */

/**
 * @param {Transaction} tx
 * @param {number} id of a link
 */
export function muteLink(tx, id) {
  const link = tx.graph.links.get(id);
  if (!link) return;
  const { origin_id, origin_slot, target_id, target_slot, type } = link;
  const points = structuredClone(pointsOf(tx.graph, link));
  disconnect(tx, id);
  /** @type {Muted} */
  const noted = { origin_id, origin_slot, type, ...(points.length ? { points } : {}) };
  tx.set("node", target_id, ["inputs", target_slot, "muted_link"], noted);
}

/**
 * @param {Transaction} tx
 * @param {NodeId} id of the node that the link fed
 * @param {number} slot
 * @returns {boolean} false where there is none, or where it would make a ring by now
 */
export function wakeLink(tx, id, slot) {
  const muted = mutedInto(tx.graph, id, slot);
  if (!muted) return false;
  const from = { node: muted.origin_id, slot: muted.origin_slot };
  const link = connect(tx, from, { node: id, slot }, { anyType: true });
  if (link) leadThrough(tx, link.id, muted.points ?? []);
  return link !== null;
}

/**
 * The muted link of an input, where what it came from is still there.
 * @param {Graph} graph
 * @param {NodeId} id
 * @param {number} slot
 * @returns {Muted | null}
 */
export function mutedInto(graph, id, slot) {
  const input = graph.node(id)?.inputs?.[slot];
  const muted = input?.link == null ? input?.muted_link : undefined;
  if (!isObject(muted) || !graph.node(muted.origin_id)?.outputs?.[muted.origin_slot]) return null;
  const points = (Array.isArray(muted.points) ? muted.points : []).filter(
    (point) => isObject(point) && Array.isArray(point.pos),
  );
  return { origin_id: muted.origin_id, origin_slot: muted.origin_slot, type: muted.type, points };
}

/**
 * The inputs of a node that have a muted link.
 * @param {Graph} graph
 * @param {NodeId} id
 * @returns {{slot: number, muted: Muted}[]}
 */
export function mutedInputs(graph, id) {
  return (graph.node(id)?.inputs ?? []).flatMap((input, slot) => {
    const muted = "muted_link" in input ? mutedInto(graph, id, slot) : null;
    return muted ? [{ slot, muted }] : [];
  });
}

/**
 * Mute what feeds an input, or wake what is muted there.
 * @param {Transaction} tx
 * @param {NodeId} id
 * @param {number} slot
 * @returns {"muted" | "woken" | null} null where there is neither
 */
export function toggleLink(tx, id, slot) {
  const link = tx.graph.linkInto(id, slot);
  if (link) {
    muteLink(tx, link.id);
    return "muted";
  }
  const muted = mutedInto(tx.graph, id, slot);
  return muted && !feeds(tx.graph, id, muted.origin_id) && wakeLink(tx, id, slot) ? "woken" : null;
}
