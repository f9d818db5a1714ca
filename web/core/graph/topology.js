/**
 * @typedef {import("../doc/graph.js").Graph} Graph
 */

/**
 * Node ids, sources first; nodes of a ring come last, in the file's order.
 * @param {Graph} graph
 * @returns {string[]}
 */
export function executionOrder(graph) {
  const waiting = new Map([...graph.nodes.keys()].map((id) => [id, 0]));
  const followers = new Map();
  for (const link of graph.links.values()) {
    const [from, to] = [String(link.origin_id), String(link.target_id)];
    if (!waiting.has(from) || !waiting.has(to)) continue;
    waiting.set(to, (waiting.get(to) ?? 0) + 1);
    followers.set(from, [...(followers.get(from) ?? []), to]);
  }
  const order = [...waiting].filter(([, count]) => count === 0).map(([id]) => id);
  for (let at = 0; at < order.length; at += 1) {
    for (const next of followers.get(order[at]) ?? []) {
      const left = (waiting.get(next) ?? 0) - 1;
      waiting.set(next, left);
      if (left === 0) order.push(next);
    }
  }
  const placed = new Set(order);
  return [...order, ...[...graph.nodes.keys()].filter((id) => !placed.has(id))];
}

/**
 * How far each node is from the sources, counted along the longest way.
 * @param {Graph} graph
 * @param {Set<string>} [only]
 * @returns {Map<string, number>}
 */
export function depths(graph, only = new Set(graph.nodes.keys())) {
  const result = new Map();
  for (const id of executionOrder(graph)) {
    if (!only.has(id)) continue;
    let depth = 0;
    for (const input of graph.node(id)?.inputs ?? []) {
      const link = input.link == null ? undefined : graph.links.get(Number(input.link));
      const above = link && result.get(String(link.origin_id));
      if (above !== undefined) depth = Math.max(depth, above + 1);
    }
    result.set(id, depth);
  }
  return result;
}
