import { nextId } from "../doc/ids.js";
import { isObject, pair } from "../doc/schema.js";
import { parseJson } from "../format/json.js";
import { connect } from "./links.js";
import { insertNode } from "./nodes.js";

/**
 * Parts of a graph as JSON text, so that they travel between tabs, windows and machines.
 *
 * @typedef {{latentLoom: "nodes", nodes: any[], links: [unknown, number, unknown, number][], groups: any[]}} Clip
 *   links: origin id, origin slot, target id, target slot, in the ids of the clip; an origin may be outside of it
 */

/**
 * @param {import("../doc/document.js").Document} document
 * @returns {Clip | null} the selected nodes and groups, null when nothing is selected
 */
export function copySelection({ graph, selection }) {
  const nodes = [...graph.nodes].filter(([id]) => selection.has(id)).map(([, node]) => node);
  const groups = [...graph.groups].filter(([id]) => selection.has(`group:${id}`)).map(([, group]) => group);
  if (!nodes.length && !groups.length) return null;
  const ids = new Set(nodes.map((node) => String(node.id)));
  const links = [...graph.links.values()].filter((link) => ids.has(String(link.target_id)));
  return {
    latentLoom: "nodes",
    nodes: nodes.map((node) => unlinked(structuredClone(node))),
    links: links.map((link) => [link.origin_id, link.origin_slot, link.target_id, link.target_slot]),
    groups: structuredClone(groups),
  };
}

/** @param {any} node */
function unlinked(node) {
  for (const input of node.inputs ?? []) input.link = null;
  for (const output of node.outputs ?? []) output.links = null;
  return node;
}

/**
 * @param {string} text
 * @returns {Clip | null}
 */
export function readClip(text) {
  if (!text.startsWith("{")) return null;
  try {
    const clip = parseJson(text);
    return isObject(clip) && clip.latentLoom === "nodes" && Array.isArray(clip.nodes)
      ? /** @type {Clip} */ (clip)
      : null;
  } catch {
    return null;
  }
}

/**
 * Put a clip into a document around a point.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {Clip} clip
 * @param {[number, number] | null} at the new top left; null keeps the places, moved a little
 * @param {{outerLinks?: boolean}} [options] outerLinks: also join to the nodes outside that fed the originals
 * @returns {string[]} the keys of what was put in
 */
export function paste(tx, clip, at, { outerLinks = false } = {}) {
  const [dx, dy] = offset(clip, at);
  const made = new Map();
  for (const record of structuredClone(clip.nodes)) {
    const [x, y] = pair(record.pos, [0, 0]);
    const old = String(record.id);
    record.pos = [x + dx, y + dy];
    made.set(old, insertNode(tx, record).id);
  }
  for (const [originId, originSlot, targetId, targetSlot] of clip.links ?? []) {
    const target = made.get(String(targetId));
    const origin = made.get(String(originId)) ?? (outerLinks ? originId : undefined);
    if (target === undefined || origin === undefined || !tx.graph.node(/** @type {any} */ (origin))) continue;
    connect(tx, { node: /** @type {any} */ (origin), slot: originSlot }, { node: target, slot: targetSlot });
  }
  const groups = (clip.groups ?? []).map((group) => pasteGroup(tx, structuredClone(group), dx, dy));
  return [...[...made.values()].map(String), ...groups];
}

/**
 * @param {import("../doc/transact.js").Transaction} tx
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
 */
function offset(clip, at) {
  if (!at) return [40, 40];
  const corners = [
    ...clip.nodes.map((node) => pair(node.pos, [0, 0])),
    ...(clip.groups ?? []).map((group) => [group.bounding[0], group.bounding[1]]),
  ];
  return [
    Math.round(at[0] - Math.min(...corners.map(([x]) => x))),
    Math.round(at[1] - Math.min(...corners.map(([, y]) => y))),
  ];
}
