import { SUBGRAPH_INPUT } from "../doc/schema.js";
import { subgraphsOf } from "../graph/prompt.js";
import { typeName } from "../graph/slot_types.js";

/**
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/graph.js").Graph} Graph
 */

/**
 * The node classes that a workflow itself defines: one for each subgraph. A definition input that ends at a widget inside
 * is a widget of the instance, in the order of the inputs.
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @returns {Map<string, NodeDef>}
 */
export function instanceDefinitions(graph, definitions) {
  const own = new Map();
  for (const [id, inner] of subgraphsOf(graph)) own.set(id, instanceDefinition(id, inner, definitions));
  return own;
}

/**
 * @param {string} id
 * @param {Graph} inner
 * @param {Map<string, NodeDef>} definitions
 * @returns {NodeDef}
 */
function instanceDefinition(id, inner, definitions) {
  const { record } = inner;
  const inputs = (record.inputs ?? []).map((/** @type {any} */ port, /** @type {number} */ slot) => ({
    name: port.name,
    type: typeName(port.type),
    options: {},
    optional: true,
    tooltip: "",
    widget: promotedWidget(inner, slot, port.name, definitions),
  }));
  return {
    id,
    title: record.name || "Subgraph",
    category: "subgraphs",
    help: record.description ?? "",
    inputs,
    outputs: (record.outputs ?? []).map((/** @type {any} */ port) => ({
      name: port.name,
      type: typeName(port.type),
      isList: false,
      tooltip: "",
    })),
    widgets: inputs.flatMap((/** @type {any} */ input) => (input.widget ? [input.widget] : [])),
    outputNode: false,
    deprecated: false,
    experimental: false,
    module: "subgraph",
    aliases: [],
    virtual: false,
  };
}

/**
 * A primitive as the widget that it feeds: its value, and for numbers the control. Unjoined it has no widgets.
 * @param {NodeDef} def
 * @param {import("../doc/schema.js").NodeRecord} node
 * @param {Graph} graph
 * @param {(type: string) => NodeDef | undefined} definitionOf
 * @returns {NodeDef}
 */
export function primitiveDefinition(def, node, graph, definitionOf) {
  const [link] = graph.linksOutOf(node.id, 0);
  const target = link && graph.node(link.target_id);
  const name = target?.inputs?.[link.target_slot]?.widget?.name;
  const fed = target && definitionOf(target.type)?.widgets.find((widget) => widget.name === name);
  if (!fed) return def;
  const value = { ...fed, name: "value", owner: null, serialised: true };
  const controlled = fed.kind === "int" || fed.kind === "float" || fed.kind === "combo";
  const control = {
    ...fed,
    name: "control_after_generate",
    kind: /** @type {const} */ ("control"),
    owner: "value",
    choices: ["fixed", "increment", "decrement", "randomize"],
    options: {},
    serialised: false,
  };
  return { ...def, widgets: controlled ? [value, control] : [value] };
}

/**
 * @param {Graph} inner
 * @param {number} slot
 * @param {string} name
 * @param {Map<string, NodeDef>} definitions
 */
function promotedWidget(inner, slot, name, definitions) {
  for (const link of inner.links.values()) {
    if (Number(link.origin_id) !== SUBGRAPH_INPUT || link.origin_slot !== slot) continue;
    const node = inner.node(link.target_id);
    const widgetName = node?.inputs?.[link.target_slot]?.widget?.name;
    const widget = node && definitions.get(node.type)?.widgets.find((candidate) => candidate.name === widgetName);
    if (widget) return { ...widget, name };
  }
  return null;
}
