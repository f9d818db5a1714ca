import { isBorder, MODE, pair } from "../doc/schema.js";
import { definitionOn } from "../nodes/shown_fields.js";
import { statedValues } from "../nodes/values.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { titleOf } from "./nodes.js";

/**
 * What is different between two states of a workflow, in words that a person reads.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {(type: string) => NodeDef | undefined} DefinitionOf
 * @typedef {{kind: "added" | "removed" | "changed", graph: string | undefined, node: string, title: string,
 *   changes: {name: string, before: string, after: string}[]}} Difference of one node; graph: the definition in whose
 *   inside it is, undefined at the top
 * @typedef {{key: string, text: string}} Fact what is compared, and what a person reads
 * @typedef {{nodes: Difference[], moved: number}} Differences moved: how many nodes only stand elsewhere
 */

const MOST = 60;

/**
 * @param {Graph} before
 * @param {Graph} after
 * @param {DefinitionOf} definitionOf
 * @returns {Differences}
 */
export function differences(before, after, definitionOf) {
  const found = between(before, after, undefined, definitionOf);
  for (const [id, inner] of after.subgraphs) {
    const old = before.subgraphs.get(id);
    if (!old) continue; // a new one shows as its instances, which are new too
    const { nodes, moved } = between(old, inner, id, definitionOf);
    found.nodes.push(...nodes);
    found.moved += moved;
  }
  return found;
}

/**
 * @param {Graph} before
 * @param {Graph} after
 * @param {string | undefined} graph
 * @param {DefinitionOf} definitionOf
 * @returns {Differences}
 */
function between(before, after, graph, definitionOf) {
  /** @type {Difference[]} */
  const nodes = [];
  let moved = 0;
  const name = (/** @type {NodeRecord} */ node) => titleOf(node, definitionOf(node.type));
  const tell = (/** @type {Difference["kind"]} */ kind, /** @type {string} */ id, /** @type {NodeRecord} */ node) =>
    nodes.push({ kind, graph, node: id, title: name(node), changes: [] });
  for (const [id, node] of before.nodes) if (after.node(id)?.type !== node.type) tell("removed", id, node);
  for (const [id, node] of after.nodes) {
    const old = before.node(id);
    if (isBorder(node)) continue;
    if (old?.type !== node.type) {
      tell("added", id, node);
      continue;
    }
    const changes = changesOf(facts(before, old, definitionOf, name), facts(after, node, definitionOf, name));
    if (changes.length) nodes.push({ kind: "changed", graph, node: id, title: name(node), changes });
    else if (String(pair(old.pos, [0, 0])) !== String(pair(node.pos, [0, 0]))) moved += 1;
  }
  return { nodes, moved };
}

/**
 * All that makes a difference about a node, by what one calls it.
 * @param {Graph} graph
 * @param {NodeRecord} node
 * @param {DefinitionOf} definitionOf
 * @param {(node: NodeRecord) => string} name
 * @returns {Map<string, Fact>}
 */
function facts(graph, node, definitionOf, name) {
  /** @type {Map<string, Fact>} */
  const found = new Map();
  const set = (/** @type {string} */ what, /** @type {string} */ text, key = text) => found.set(what, { key, text });
  const def = definitionOn(node, graph, definitionOf);
  set("title", node.title ?? "");
  const mode = Number(node.mode);
  set("state", mode === MODE.MUTED ? "muted" : mode === MODE.BYPASS ? "bypassed" : "on");
  for (const widget of widgetsOf(node, def)) {
    if (widget.kind === "upload" || widget.source) continue; // a field that is shown is told where it is
    set(widget.owner === null ? widget.name : `${widget.owner}, next run`, words(widgetValue(node, widget)));
  }
  if (!def) for (const [key, value] of Object.entries(statedValues(node))) set(key, words(value));
  for (const [slot, input] of (node.inputs ?? []).entries()) {
    const link = graph.linkInto(node.id, slot);
    const origin = link && graph.node(link.origin_id);
    const output = origin?.outputs?.[link?.origin_slot ?? -1];
    const from = origin ? `${name(origin)} ${origin.id}, ${output?.label || output?.name || "output"}` : "";
    // A source that was only renamed is the same.
    set(`${input.name} from`, from, link ? `${link.origin_id}:${link.origin_slot}` : "");
  }
  return found;
}

/**
 * @param {Map<string, Fact>} before
 * @param {Map<string, Fact>} after
 */
function changesOf(before, after) {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    return (old?.key ?? "") === (now?.key ?? "") ? [] : [{ name, before: old?.text ?? "", after: now?.text ?? "" }];
  });
}

/** @param {unknown} value */
function words(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A value that is too long to be shown whole. @param {string} text */
export function shortened(text) {
  return text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text || "nothing";
}
