import { portsOf } from "../doc/borders.js";
import { SUBGRAPH_INPUT } from "../doc/schema.js";

/**
 * The definitions of a workflow, and which of their inputs are widgets of the instances.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {{node: import("../doc/schema.js").NodeRecord, slot: number}} InnerSocket
 * @typedef {{key: string, name: string, label: unknown, type: any, widget: boolean}} Port key: what stays the same
 *   when it is renamed; widget: whether an instance has a widget for it
 * @typedef {{inputs: Port[], outputs: Port[]}} Face what an instance sees of its definition
 */

/**
 * The sockets of widgets inside at which the inputs of a definition end: for each input that has one, in their order.
 * An instance has a widget for each.
 * @param {Graph} inner
 * @returns {Map<number, InnerSocket>}
 */
export function promotedSockets(inner) {
  /** @type {Map<number, InnerSocket>} */
  const found = new Map();
  for (const link of inner.links.values()) {
    if (Number(link.origin_id) !== SUBGRAPH_INPUT || found.has(link.origin_slot)) continue;
    const node = inner.node(link.target_id);
    if (node?.inputs?.[link.target_slot]?.widget) found.set(link.origin_slot, { node, slot: link.target_slot });
  }
  const { inputs } = portsOf(inner);
  return new Map([...found].filter(([slot]) => slot < inputs.length).sort(([a], [b]) => a - b));
}

/**
 * @param {Graph} inner
 * @returns {Face}
 */
export function faceOf(inner) {
  const sockets = promotedSockets(inner);
  const { inputs, outputs } = portsOf(inner);
  const port = (/** @type {any} */ { id, name, label, type }, /** @type {boolean} */ widget) => ({
    key: String(id ?? name),
    name: String(name),
    label,
    type,
    widget,
  });
  return {
    inputs: inputs.map((each, slot) => port(each, sockets.has(slot))),
    outputs: outputs.map((each) => port(each, false)),
  };
}

/**
 * Whether the inside of a definition, or of one in it, has an instance of another; a definition holds itself.
 * @param {Graph} graph any of the workflow
 * @param {string} outer
 * @param {string} inner
 * @param {Set<string>} [seen]
 * @returns {boolean}
 */
export function holds(graph, outer, inner, seen = new Set()) {
  if (outer === inner) return true;
  if (seen.has(outer)) return false;
  seen.add(outer);
  const nodes = graph.subgraphs.get(outer)?.nodes.values() ?? [];
  return [...nodes].some(({ type }) => holds(graph, type, inner, seen));
}

/**
 * The graphs of a workflow in which a definition's instances are, with the ids of these graphs.
 * @param {Graph} graph any of the workflow
 * @param {string} type
 * @returns {{graph: Graph, id: string | undefined, nodes: import("../doc/schema.js").NodeRecord[]}[]} id: undefined
 *   for the top
 */
export function instancesOf(graph, type) {
  const { root } = graph;
  const all = /** @type {[string | undefined, Graph][]} */ ([[undefined, root], ...root.subgraphs]);
  return all
    .map(([id, each]) => ({ graph: each, id, nodes: [...each.nodes.values()].filter((node) => node.type === type) }))
    .filter(({ nodes }) => nodes.length > 0);
}

/**
 * The definitions of a record, those of its own list, that no node in it is an instance of.
 * @param {Record<string, any>} record
 * @param {Iterable<string>} [kept] ids of definitions that count as used
 * @returns {Set<string>}
 */
export function unusedDefinitions(record, kept = []) {
  const list = /** @type {any[]} */ (Array.isArray(record.definitions?.subgraphs) ? record.definitions.subgraphs : []);
  const left = new Map(list.map((definition) => [definition?.id, definition]));
  const visit = (/** @type {Iterable<unknown>} */ types) => {
    for (const type of types) {
      const definition = left.get(type);
      left.delete(type);
      const nodes = [definition, ...(definition?.definitions?.subgraphs ?? [])].flatMap((each) => each?.nodes ?? []);
      if (definition) visit(nodes.map((/** @type {any} */ node) => node?.type));
    }
  };
  visit((Array.isArray(record.nodes) ? record.nodes : []).map((/** @type {any} */ node) => node?.type));
  visit(kept);
  return new Set(left.keys());
}

/**
 * A workflow's record without the definitions that nothing uses any more.
 * @param {Record<string, any>} record
 * @param {Iterable<string>} kept ids of definitions that stay in any case
 * @returns {Record<string, any>}
 */
export function withoutUnused(record, kept) {
  const unused = unusedDefinitions(record, kept);
  if (!unused.size) return record;
  const subgraphs = record.definitions.subgraphs.filter((/** @type {any} */ each) => !unused.has(each?.id));
  return { ...record, definitions: { ...record.definitions, subgraphs } };
}
