import { Graph } from "../doc/graph.js";
import { SUBGRAPH_INPUT } from "../doc/schema.js";

/**
 * The definitions of a workflow, and which of their inputs are widgets of the instances.
 *
 * @typedef {{node: import("../doc/schema.js").NodeRecord, slot: number}} InnerSocket
 */

/**
 * @param {Graph} graph
 * @returns {Map<string, Graph>} the definitions by id, nested ones too
 */
export function subgraphsOf(graph) {
  const found = new Map();
  const collect = (/** @type {any} */ record) => {
    for (const definition of record?.definitions?.subgraphs ?? []) {
      if (!definition || found.has(definition.id)) continue;
      found.set(definition.id, new Graph(definition));
      collect(definition);
    }
  };
  collect(graph.record);
  return found;
}

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
  const inputs = inner.record.inputs ?? [];
  return new Map([...found].filter(([slot]) => slot < inputs.length).sort(([a], [b]) => a - b));
}

/**
 * Where each definition is in the workflow's record.
 * @param {Record<string, any>} record
 * @param {(string | number)[]} [above]
 * @returns {Map<string, (string | number)[]>} by id
 */
export function definitionPaths(record, above = []) {
  const found = new Map();
  for (const [index, definition] of (record.definitions?.subgraphs ?? []).entries()) {
    if (!definition) continue;
    const path = [...above, "definitions", "subgraphs", index];
    for (const [id, place] of [[definition.id, path], ...definitionPaths(definition, path)])
      if (!found.has(id)) found.set(id, place);
  }
  return found;
}
