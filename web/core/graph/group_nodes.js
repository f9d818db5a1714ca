import { Graph } from "../doc/graph.js";
import { isObject, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { typeName } from "./slot_types.js";

/**
 * Group nodes, which old files have in place of subgraphs: several nodes in the guise of one. They are read as a subgraph
 * of their own, whose inner nodes hold the values that the outer node lists one after the other.
 *
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {{nodes: NodeRecord[], links: number[][], external: number[][], config: Record<string, any>}} GroupNode
 * @typedef {{name: string, type: string, node: number, slot: number}} Port
 * @typedef {{widget: import("../nodes/definitions.js").WidgetDef, node: NodeRecord}} Shown
 */

/**
 * @param {Record<string, any>} extra of the workflow
 * @param {string} type of a node
 * @returns {GroupNode | null}
 */
export function groupNode(extra, type) {
  const name = /^workflow[>/](.+)$/s.exec(type)?.[1];
  const found = name === undefined ? undefined : extra?.groupNodes?.[name];
  if (!isObject(found) || !Array.isArray(found.nodes)) return null;
  return {
    nodes: found.nodes.map((node) =>
      isObject(node) ? /** @type {NodeRecord} */ (node) : { id: 0, type: "", pos: [0, 0] },
    ),
    links: rows(found.links, 4),
    external: rows(found.external, 2),
    config: isObject(found.config) ? found.config : {},
  };
}

/**
 * @param {unknown} list
 * @param {number} length
 * @returns {any[][]} its rows that are long enough and begin with that many numbers
 */
function rows(list, length) {
  if (!Array.isArray(list)) return [];
  return list.filter(
    (row) => Array.isArray(row) && row.length >= length && row.slice(0, length).every(Number.isInteger),
  );
}

/**
 * The ways into a group node: every input inside that no link inside feeds. Names that come twice get the node's name.
 * @param {GroupNode} group
 * @returns {Port[]}
 */
export function groupInputs({ nodes, links, config }) {
  const fed = new Set(links.map(([, , node, slot]) => `${node}:${slot}`));
  /** @type {Map<string, number>} */
  const seen = new Map();
  return nodes.flatMap((inner, node) =>
    (inner.inputs ?? []).flatMap((input, slot) => {
      const asked = config[node]?.input?.[input.name];
      if (fed.has(`${node}:${slot}`) || asked?.visible === false) return [];
      const plain = asked?.name ?? input.label ?? input.name;
      const key = seen.has(plain) ? `${inner.title ?? inner.type} ${plain}` : plain;
      const count = seen.get(key);
      const name = count === undefined ? key : `${inner.title ?? inner.type} ${count} ${plain}`;
      seen.set(key, (count ?? 1) + 1);
      return [{ name, type: typeName(input.type), node, slot }];
    }),
  );
}

/**
 * The ways out: outputs that no link inside uses, and those that are marked as used outside too.
 * @param {GroupNode} group
 * @returns {Port[]}
 */
export function groupOutputs({ nodes, links, external, config }) {
  const used = new Set(links.map(([node, slot]) => `${node}:${slot}`));
  for (const [node, slot] of external) used.delete(`${node}:${slot}`);
  return nodes.flatMap((inner, node) =>
    (inner.outputs ?? []).flatMap((output, slot) => {
      const asked = config[node]?.output?.[slot];
      if (used.has(`${node}:${slot}`) || asked?.visible === false) return [];
      return [{ name: asked?.name ?? output.name, type: typeName(output.type), node, slot }];
    }),
  );
}

/**
 * The inside of one group node as a graph; the ids of the nodes are their places. `shown` are the widgets whose values
 * the outer node lists.
 * @param {GroupNode} group
 * @param {NodeRecord} outer
 * @param {(type: string) => NodeDef | undefined} definitionOf
 * @returns {{graph: Graph, shown: Shown[]}}
 */
export function groupGraph(group, outer, definitionOf) {
  const nodes = group.nodes.map((inner, id) => ({
    ...inner,
    id,
    inputs: (inner.inputs ?? []).map((input) => ({ ...input, link: /** @type {number | null} */ (null) })),
  }));
  /** @type {Record<string, any>[]} */
  const links = [];
  const join = (
    /** @type {unknown} */ origin_id,
    /** @type {unknown} */ origin_slot,
    /** @type {any} */ target_id,
    /** @type {any} */ target_slot,
  ) => {
    const id = links.length + 1;
    links.push({ id, origin_id, origin_slot, target_id, target_slot, type: "*" });
    const input = nodes[target_id]?.inputs[target_slot];
    if (input) input.link = id;
  };
  for (const [from, output, to, input] of group.links) join(from, output, to, input);
  const inputs = groupInputs(group);
  for (const [slot, port] of inputs.entries()) join(SUBGRAPH_INPUT, slot, port.node, port.slot);
  for (const [slot, port] of groupOutputs(group).entries()) join(port.node, port.slot, SUBGRAPH_OUTPUT, slot);
  const shown = dealValues(group, nodes, outer, definitionOf);
  return { graph: new Graph({ version: 1, nodes, links, inputs }), shown };
}

/**
 * Give the inner nodes their share of the outer node's values; inputs fed inside have no value outside.
 * @param {GroupNode} group
 * @param {NodeRecord[]} nodes
 * @param {NodeRecord} outer
 * @param {(type: string) => NodeDef | undefined} definitionOf
 * @returns {Shown[]}
 */
function dealValues(group, nodes, outer, definitionOf) {
  const values = Array.isArray(outer.widgets_values) ? outer.widgets_values : [];
  /** @type {Shown[]} */
  const shown = [];
  const fed = new Set(group.links.map(([, , node, slot]) => `${node}:${slot}`));
  let at = 0;
  for (const [index, node] of nodes.entries()) {
    const own = Array.isArray(node.widgets_values) ? node.widgets_values : [];
    const def = definitionOf(node.type);
    const widgets = def && !def.virtual ? def.widgets : own.map((_, slot) => plainWidget(String(slot)));
    node.widgets_values = widgets.map((widget, place) => {
      const name = widget.owner ?? widget.name;
      const slot = (node.inputs ?? []).findIndex((input) => input.widget?.name === name);
      const hidden = group.config[index]?.input?.[name]?.visible === false;
      if (fed.has(`${index}:${slot}`) || hidden) return own[place];
      shown.push({ widget, node });
      return values[at++] ?? own[place];
    });
  }
  return shown;
}

/**
 * @param {string} name
 * @returns {import("../nodes/definitions.js").WidgetDef} for a class that nobody knows
 */
function plainWidget(name) {
  return { name, kind: "other", options: {}, choices: null, owner: null, serialised: true };
}
