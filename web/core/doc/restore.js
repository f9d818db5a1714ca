import { faceOf } from "../graph/subgraphs.js";
import { Graph } from "./graph.js";

/**
 * A workflow as it was, as one step that can be undone.
 *
 * @typedef {import("./transact.js").Transaction} Transaction
 */

const KINDS = /** @type {const} */ (["link", "reroute", "node", "group"]);
const COLLECTIONS = Object.freeze({ link: "links", reroute: "reroutes", node: "nodes", group: "groups" });
/** What the collections are written to, and what only says where one looked. */
const APART = new Set(["nodes", "links", "groups", "reroutes", "inputNode", "outputNode", "inputs", "outputs"]);

/**
 * @param {Transaction} tx of the whole workflow
 * @param {Record<string, any>} record as it was; is kept: pass a copy
 */
export function restoreRecord(tx, record) {
  const wanted = new Graph(record);
  const present = new Set(tx.graph.subgraphs.keys());
  replace(tx, wanted);
  for (const [id, inner] of wanted.subgraphs) {
    if (!present.has(id) || !tx.graph.subgraphs.has(id)) continue; // what was not there came with its inside
    const part = tx.within(id);
    replace(part, inner);
    // The instances are restored as well: nothing of this change is left for them to follow.
    tx.top.faces.set(id, faceOf(part.graph));
  }
}

/**
 * @param {Transaction} tx of one graph
 * @param {Graph} wanted
 */
function replace(tx, wanted) {
  for (const kind of KINDS) {
    const records = /** @type {Map<any, any>} */ (tx.graph[COLLECTIONS[kind]]);
    const next = /** @type {Map<any, any>} */ (wanted[COLLECTIONS[kind]]);
    if (same([...records], [...next])) continue;
    for (const id of [...records.keys()].reverse()) tx.remove(kind, id);
    for (const [id, each] of next) tx.insert(kind, id, each);
  }
  for (const key of new Set([...Object.keys(tx.graph.record), ...Object.keys(wanted.record)])) {
    if (APART.has(key) || same(tx.graph.record[key], wanted.record[key])) continue;
    tx.set("root", "", [key], wanted.record[key]);
  }
}

/** @param {unknown} a @param {unknown} b */
function same(a, b) {
  const plain = (/** @type {string} */ _, /** @type {unknown} */ value) => (typeof value === "bigint" ? `${value}n` : value);
  return JSON.stringify(a, plain) === JSON.stringify(b, plain);
}
