import { BORDER, isObject, pair, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "./schema.js";

/**
 * The two nodes that stand for the outside of a subgraph: one gives what an instance gets, one takes what it gives.
 * Their sockets are the ports of the definition and one more, the fresh one, which becomes a port when it is joined.
 *
 * @typedef {import("./graph.js").Graph} Graph
 * @typedef {import("./schema.js").NodeRecord} NodeRecord
 */

const WIDTH = 140;
const HEIGHT = 60;

/**
 * Put them into a graph.
 * @param {Graph} graph
 * @returns {string} what their ports are now, to tell later whether they changed
 */
export function readBorders(graph) {
  const { record, links } = graph;
  const outputs = ports(record.inputs).map((port, slot) => ({
    ...port,
    links: [...links.values()]
      .filter((link) => Number(link.origin_id) === SUBGRAPH_INPUT && link.origin_slot === slot)
      .map(({ id }) => id),
  }));
  const inputs = ports(record.outputs).map((port, slot) => ({
    ...port,
    link:
      [...links.values()].find((link) => Number(link.target_id) === SUBGRAPH_OUTPUT && link.target_slot === slot)?.id ??
      null,
  }));
  for (const node of [
    border(SUBGRAPH_INPUT, BORDER.INPUTS, record.inputNode, [], [...outputs, freshPort("input")]),
    border(SUBGRAPH_OUTPUT, BORDER.OUTPUTS, record.outputNode, [...inputs, freshPort("output")], []),
  ])
    graph.nodes.set(String(node.id), node);
  return stateOf(graph);
}

/** The socket that makes a port of whatever is joined to it. @param {"input" | "output"} kind @returns {any} */
export function freshPort(kind) {
  return { name: "", label: `new ${kind}`, type: "*", fresh: true };
}

/**
 * @param {number} id
 * @param {string} type
 * @param {any} stored the definition's `inputNode` or `outputNode`
 * @param {any[]} inputs
 * @param {any[]} outputs
 * @returns {NodeRecord}
 */
function border(id, type, stored, inputs, outputs) {
  const [x, y, width] = Array.isArray(stored?.bounding) ? stored.bounding : [0, 0, WIDTH];
  const [pos, size] = [pair([x, y], [0, 0]), pair([width, 0], [WIDTH, 0])];
  return { id, type, pos, size, flags: {}, mode: 0, properties: {}, inputs, outputs, widgets_values: [] };
}

/** @param {unknown} value @returns {Record<string, any>[]} */
function ports(value) {
  return (Array.isArray(value) ? value : []).map((port) => (isObject(port) ? port : { name: "", type: "*" }));
}

/**
 * What a definition's record says of its ports now; nothing while it is as it was read.
 * @param {Graph} graph
 * @returns {Record<string, any>}
 */
export function withBorders(graph) {
  const [before, now] = [JSON.parse(graph.borders), JSON.parse(stateOf(graph))];
  const changed = (/** @type {string} */ key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]);
  /** @type {Record<string, any>} */
  const out = {};
  for (const [key, slots] of Object.entries(portsOf(graph))) if (changed(key)) out[key] = slots.map(stored);
  for (const [key, id] of /** @type {const} */ ([
    ["inputNode", SUBGRAPH_INPUT],
    ["outputNode", SUBGRAPH_OUTPUT],
  ])) {
    if (!changed(key)) continue;
    const [x, y, width] = now[key];
    const height = graph.record[key]?.bounding?.[3] ?? HEIGHT;
    out[key] = { id, ...graph.record[key], bounding: [x, y, width, height] };
  }
  return out;
}

/**
 * The ports of a definition, as they are now.
 * @param {Graph} graph
 * @returns {{inputs: any[], outputs: any[]}}
 */
export function portsOf(graph) {
  const real = (/** @type {any[] | undefined} */ slots) => (slots ?? []).filter((slot) => !slot.fresh);
  if (graph.root === graph) return { inputs: graph.record.inputs ?? [], outputs: graph.record.outputs ?? [] };
  return { inputs: real(graph.node(SUBGRAPH_INPUT)?.outputs), outputs: real(graph.node(SUBGRAPH_OUTPUT)?.inputs) };
}

/** A port as files have it. @param {Record<string, any>} slot */
function stored({ links, link, ...port }) {
  return { ...port, linkIds: links ?? (link == null ? [] : [link]) };
}

/** @param {Graph} graph */
function stateOf(graph) {
  const place = (/** @type {number} */ id) => {
    const node = graph.node(id);
    return [...pair(node?.pos, [0, 0]), pair(node?.size, [WIDTH, 0])[0]];
  };
  const state = { ...portsOf(graph), inputNode: place(SUBGRAPH_INPUT), outputNode: place(SUBGRAPH_OUTPUT) };
  return JSON.stringify(state, (_, value) => (typeof value === "bigint" ? String(value) : value));
}
