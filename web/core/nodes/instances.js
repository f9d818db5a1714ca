import { portsOf } from "../doc/borders.js";
import { groupGraph, groupInputs, groupNode, groupOutputs } from "../graph/group_nodes.js";
import { promotedSockets } from "../graph/subgraphs.js";
import { typeName } from "../graph/slot_types.js";
import { readDefinition } from "./definitions.js";
import { statedValues } from "./values.js";
import { widgetsOf, widgetValue } from "./widgets.js";

/**
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/graph.js").Graph} Graph
 */

/**
 * The node classes that a workflow itself defines: one for each subgraph and each kind of group node.
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @returns {Map<string, NodeDef>}
 */
export function instanceDefinitions(graph, definitions) {
  const graphs = graph.subgraphs;
  /** @type {Map<string, NodeDef>} */
  const own = new Map();
  // A definition inside another is read first, because its widgets may be the outer one's too.
  const read = (/** @type {string} */ id, /** @type {string[]} */ above) => {
    const inner = graphs.get(id);
    if (!inner || own.has(id) || above.includes(id)) return;
    for (const node of inner.nodes.values()) read(node.type, [...above, id]);
    own.set(
      id,
      instanceDefinition(id, inner, (type) => own.get(type) ?? definitions.get(type)),
    );
  };
  for (const id of graphs.keys()) read(id, []);
  for (const node of [graph, ...graphs.values()].flatMap((each) => [...each.nodes.values()])) {
    const group = own.has(node.type) ? null : groupNode(graph.record.extra, node.type);
    if (group) own.set(node.type, groupDefinition(node, group, definitions));
  }
  return own;
}

/** What a definition of a workflow's own has in common with others. */
const OWN = Object.freeze({
  category: "subgraphs",
  help: "",
  outputNode: false,
  deprecated: false,
  experimental: false,
  module: "subgraph",
  aliases: [],
  virtual: false,
});

/**
 * A definition input that ends at a widget inside is a widget of the instance, in the order of the inputs.
 * @param {string} id
 * @param {Graph} inner
 * @param {(type: string) => NodeDef | undefined} definitionOf
 * @returns {NodeDef}
 */
function instanceDefinition(id, inner, definitionOf) {
  const { record } = inner;
  const sockets = promotedSockets(inner);
  const ports = portsOf(inner);
  const inputs = ports.inputs.map((/** @type {any} */ port, /** @type {number} */ slot) => {
    const socket = sockets.get(slot);
    const widget = socket ? promotedWidget(socket, port, definitionOf) : null;
    return { name: port.name, type: typeName(port.type), options: {}, optional: true, tooltip: "", widget };
  });
  return {
    ...OWN,
    id,
    title: record.name || "Subgraph",
    help: record.description ?? "",
    inputs,
    outputs: ports.outputs.map(outputOf),
    widgets: inputs.flatMap((/** @type {any} */ input) => (input.widget ? [input.widget] : [])),
  };
}

/** @param {{name: string, type: unknown}} port */
function outputOf({ name, type }) {
  return { name, type: typeName(type), isList: false, tooltip: "" };
}

/**
 * The widget inside, under the input's name. Where nobody knows the class inside, the input's type tells the kind; there
 * must be a widget all the same, because the instance has a value for it.
 * @param {import("../graph/subgraphs.js").InnerSocket} socket
 * @param {any} port
 * @param {(type: string) => NodeDef | undefined} definitionOf
 * @returns {import("./definitions.js").WidgetDef}
 */
function promotedWidget({ node, slot }, port, definitionOf) {
  const name = node.inputs?.[slot]?.widget?.name;
  const known = widgetsOf(node, definitionOf(node.type)).find((widget) => widget.name === name);
  // An instance that says nothing has what is stored inside.
  const inside = known ? widgetValue(node, known) : statedValues(node)[String(name)];
  if (known) return { ...known, name: port.name, owner: null, inherited: inside };
  const type = typeName(port.type) === "COMBO" ? "STRING" : typeName(port.type);
  const [widget] = readDefinition("", { input: { required: { value: [type, {}] } } }).widgets;
  const plain = widget ?? readDefinition("", { input: { required: { value: ["STRING", {}] } } }).widgets[0];
  return { ...plain, name: port.name, inherited: inside };
}

/**
 * A group node: its inner nodes' free sockets, and all their widgets in a row.
 * @param {import("../doc/schema.js").NodeRecord} outer
 * @param {import("../graph/group_nodes.js").GroupNode} group
 * @param {Map<string, NodeDef>} definitions
 * @returns {NodeDef}
 */
function groupDefinition(outer, group, definitions) {
  const inputs = groupInputs(group).map(({ name, type }) => ({
    name,
    type,
    options: {},
    optional: true,
    widget: null,
    tooltip: "",
  }));
  const widgets = groupGraph(group, outer, (type) => definitions.get(type)).shown.map(({ widget, node }) => {
    const title = node.title || definitions.get(node.type)?.title || node.type;
    const name = `${node.id}:${widget.name}`;
    return {
      ...widget,
      name,
      owner: widget.owner && `${node.id}:${widget.owner}`,
      options: { ...widget.options, label: `${title} ${widget.name}` },
    };
  });
  const title = outer.type.replace(/^workflow[>/]/, "");
  return { ...OWN, id: outer.type, title, inputs, outputs: groupOutputs(group).map(outputOf), widgets };
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
