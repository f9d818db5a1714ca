import { nextId } from "../doc/ids.js";
import { isBorder, MODE, pair } from "../doc/schema.js";
import { grownDefinition } from "../nodes/dynamic.js";
import { layoutNode } from "../nodes/layout.js";
import { defaultValues } from "../nodes/widgets.js";
import { disconnect, dissolve } from "./links.js";
import { holds } from "./subgraphs.js";

/**
 * Edits of nodes.
 *
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/schema.js").NodeId} NodeId
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 */

const ROOMY = Object.freeze({ text: 190, media: 340 });
const REROUTE_WIDTH = 76;
const PICTURE_NODES = new Set(["SaveImage", "PreviewImage", "LoadImage", "LoadImageMask"]);

/**
 * A new node's record, not yet in a document.
 * @param {NodeDef} declared
 * @param {[number, number]} pos
 * @returns {NodeRecord}
 */
export function blankNode(declared, pos) {
  const def = grownDefinition(declared, { id: 0, type: declared.id, pos: [0, 0] });
  /** @type {NodeRecord} */
  const node = {
    id: 0,
    type: def.id,
    pos: [Math.round(pos[0]), Math.round(pos[1])],
    size: [def.widgets.some((widget) => widget.kind === "text") ? 320 : 260, 0],
    flags: {},
    order: 0,
    mode: MODE.ALWAYS,
    inputs: def.inputs
      .filter((input) => !input.widget)
      .map((input) => ({
        name: input.name,
        type: input.type,
        link: null,
        ...(input.optional ? { shape: 7 } : {}),
      })),
    outputs: def.outputs.map((output, slot_index) => ({
      name: output.name,
      type: output.type,
      links: null,
      slot_index,
      ...(output.isList ? { shape: 6 } : {}),
    })),
    properties: def.virtual ? {} : { "Node name for S&R": def.id },
    widgets_values: defaultValues(def),
  };
  const { minimum } = layoutNode(node, def);
  let height = minimum[1];
  if (def.widgets.some((widget) => widget.kind === "text")) height = Math.max(height, ROOMY.text);
  if (PICTURE_NODES.has(def.id)) height = Math.max(height, ROOMY.media);
  node.size = [def.id === "Reroute" ? REROUTE_WIDTH : pair(node.size, [260, 0])[0], height];
  return node;
}

/**
 * @param {Transaction} tx
 * @param {NodeDef} def
 * @param {[number, number]} pos
 * @returns {NodeRecord}
 */
export function addNode(tx, def, pos) {
  return insertNode(tx, blankNode(def, pos));
}

/**
 * Give a record the next id and put it into the document.
 * @param {Transaction} tx
 * @param {NodeRecord} node
 * @throws {RangeError} where a subgraph would get into itself
 */
export function insertNode(tx, node) {
  const { record, nodes, subgraphs } = tx.graph;
  if (tx.id !== undefined && holds(tx.graph, node.type, tx.id)) {
    const title = node.title || subgraphs.get(node.type)?.record.name || node.type;
    throw new RangeError(`A subgraph cannot hold itself: ${title} contains the one that is open.`);
  }
  const id = nextId(nodes.keys(), record.last_node_id ?? record.state?.lastNodeId);
  node.id = id;
  node.order = nodes.size;
  tx.insert("node", id, node);
  tx.set("root", "", record.state ? ["state", "lastNodeId"] : ["last_node_id"], id);
  return node;
}

/**
 * @param {Transaction} tx
 * @param {NodeId[]} ids
 * @param {{keepChain?: boolean}} [options]
 */
export function removeNodes(tx, ids, { keepChain = false } = {}) {
  for (const id of ids) {
    if (isBorder(tx.graph.node(id))) continue;
    if (keepChain) dissolve(tx, id);
    for (const link of [...tx.graph.links.values()]) {
      if (String(link.origin_id) === String(id) || String(link.target_id) === String(id)) disconnect(tx, link.id);
    }
    tx.remove("node", id);
  }
}

/**
 * Mute or bypass nodes, or wake them all when all of them are in that mode already.
 * @param {Transaction} tx
 * @param {NodeId[]} ids
 * @param {number} mode
 */
export function toggleMode(tx, ids, mode) {
  const own = ids.filter((id) => !isBorder(tx.graph.node(id)));
  const already = own.every((id) => tx.graph.node(id)?.mode === mode);
  for (const id of own) tx.set("node", id, ["mode"], already ? MODE.ALWAYS : mode);
}

/**
 * @param {Transaction} tx
 * @param {NodeId[]} ids
 * @param {"collapsed" | "pinned" | "unused_hidden"} flag
 */
export function toggleFlag(tx, ids, flag) {
  const own = ids.filter((id) => !isBorder(tx.graph.node(id)));
  const already = own.every((id) => tx.graph.node(id)?.flags?.[flag]);
  for (const id of own) tx.set("node", id, ["flags", flag], already ? undefined : true);
}

/**
 * The node's name on screen.
 * @param {NodeRecord} node
 * @param {NodeDef | undefined} def
 */
export function titleOf(node, def) {
  return node.title || def?.title || String(node.type);
}
