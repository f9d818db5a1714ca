import { Graph } from "../doc/graph.js";
import { isObject } from "../doc/schema.js";
import { Transaction } from "../doc/transact.js";
import { arrange } from "../graph/arrange.js";
import { connect, ensureWidgetSlot } from "../graph/links.js";
import { blankNode } from "../graph/nodes.js";
import { layoutNode, nodeBox, TITLE } from "../nodes/layout.js";

/**
 * A graph to look at from a prompt, which has neither places nor sizes. Classes that the server does not know keep their
 * inputs, as sockets and as a property, so that nothing of them is lost.
 *
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 */

/**
 * @param {Record<string, any>} prompt
 * @param {Map<string, NodeDef>} definitions
 * @returns {import("../doc/schema.js").WorkflowRecord}
 */
export function apiToWorkflow(prompt, definitions) {
  const tx = new Transaction(
    new Graph({
      last_node_id: 0,
      last_link_id: 0,
      nodes: [],
      links: [],
      groups: [],
      config: {},
      extra: {},
      version: 0.4,
    }),
  );
  for (const [id, entry] of Object.entries(prompt))
    tx.insert("node", id, nodeFrom(id, entry, definitions.get(entry.class_type)));
  for (const [id, entry] of Object.entries(prompt)) {
    for (const [name, value] of Object.entries(entry.inputs ?? {})) {
      if (isLink(value, prompt)) join(tx, id, name, value, definitions);
    }
  }
  const numbers = Object.keys(prompt).map(Number).filter(Number.isSafeInteger);
  tx.set("root", "", ["last_node_id"], Math.max(0, ...numbers));
  place(tx, definitions);
  return tx.graph.toRecord();
}

/**
 * @param {unknown} value
 * @param {Record<string, any>} prompt
 * @returns {value is [string, number]}
 */
function isLink(value, prompt) {
  return (
    Array.isArray(value) && value.length === 2 && Number.isInteger(value[1]) && Object.hasOwn(prompt, String(value[0]))
  );
}

/**
 * @param {string} id
 * @param {any} entry
 * @param {NodeDef | undefined} def
 */
function nodeFrom(id, entry, def) {
  const inputs = isObject(entry.inputs) ? entry.inputs : {};
  const node = def ? blankNode(def, [0, 0]) : unknownNode(entry.class_type, inputs);
  node.id = /^\d+$/.test(id) ? Number(id) : id;
  const title = entry._meta?.title;
  if (title && title !== def?.title) node.title = title;
  for (const [index, widget] of (def?.widgets ?? []).entries()) {
    const value = inputs[widget.name];
    const values = /** @type {unknown[]} */ (node.widgets_values);
    if (isObject(value) && "__value__" in value) values[index] = value.__value__;
    else if (value !== undefined && !Array.isArray(value)) values[index] = value;
    if (widget.kind === "control") values[index] = "fixed";
  }
  return node;
}

/**
 * @param {string} type
 * @param {Record<string, any>} inputs
 * @returns {import("../doc/schema.js").NodeRecord}
 */
function unknownNode(type, inputs) {
  const linked = Object.keys(inputs).filter((name) => Array.isArray(inputs[name]));
  const values = Object.fromEntries(Object.entries(inputs).filter(([, value]) => !Array.isArray(value)));
  return {
    id: 0,
    type,
    pos: [0, 0],
    size: [260, 80],
    flags: {},
    order: 0,
    mode: 0,
    inputs: linked.map((name) => ({ name, type: "*", link: null })),
    outputs: [],
    properties: {},
    widgets_values: values,
  };
}

/**
 * @param {Transaction} tx
 * @param {string} id
 * @param {string} name
 * @param {[string, number]} source
 * @param {Map<string, NodeDef>} definitions
 */
function join(tx, id, name, [from, output], definitions) {
  const node = /** @type {import("../doc/schema.js").NodeRecord} */ (tx.graph.node(id));
  const def = definitions.get(node.type);
  let slot = (node.inputs ?? []).findIndex((input) => input.name === name);
  if (slot < 0 && def) slot = ensureWidgetSlot(tx, id, name, def);
  const origin = tx.graph.node(from);
  if (slot < 0 || !origin) return;
  if (!definitions.has(origin.type)) growOutputs(tx, origin, output);
  connect(tx, { node: from, slot: output }, { node: id, slot });
}

/**
 * @param {Transaction} tx
 * @param {import("../doc/schema.js").NodeRecord} node
 * @param {number} last
 */
function growOutputs(tx, node, last) {
  const outputs = [...(node.outputs ?? [])];
  while (outputs.length <= last && outputs.length < 64)
    outputs.push({ name: `output ${outputs.length}`, type: "*", links: null });
  tx.set("node", node.id, ["outputs"], outputs);
}

/**
 * @param {Transaction} tx
 * @param {Map<string, NodeDef>} definitions
 */
function place(tx, definitions) {
  const boxes = [...tx.graph.nodes.values()].map((node) => {
    const [x, y, width, height] = nodeBox(node, layoutNode(node, definitions.get(node.type)));
    return { id: String(node.id), x, y, width, height };
  });
  if (!boxes.length) return;
  for (const [id, [x, y]] of arrange(tx.graph, boxes)) tx.set("node", id, ["pos"], [x, y + TITLE]);
}
