import { portsOf } from "../doc/borders.js";
import { promotedSockets } from "../graph/subgraphs.js";
import { primitiveDefinition } from "../nodes/instances.js";
import { filterChoices, nextChoice, nextNumber } from "../nodes/seed.js";
import { setWidget, widgetLinked, widgetsOf, widgetValue } from "../nodes/widgets.js";

/**
 * Seeds and other values that change from run to run, at the top of a workflow and inside its subgraphs.
 *
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../nodes/widgets.js").Widget} Widget
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {{node: NodeRecord, widget: Widget, mode: string, filter: string, def: NodeDef | undefined, graph: string}} Controlled a value with what
 *   becomes of it; graph: the definition in whose inside the node is, "" at the top
 * @typedef {{random?: () => number, mode?: "shown" | "before" | "after", moment?: "before" | "after"}} Options
 */

/**
 * Give controlled values their next value. In the mode "shown" what is on screen is what ran: a value changes when the
 * next run starts, and one that a person has just typed, or that came with a file, runs first as it is. The modes
 * "before" and "after" change every value at that moment of every run.
 * @param {import("../doc/document.js").Document} document
 * @param {(node: NodeRecord) => NodeDef | undefined} definitionOf
 * @param {Map<string, unknown>} ran by "node:widget", the value of the last run; changed in place
 * @param {Options} [options] moment: of the call, before or after a run is sent
 */
export function advanceControls(document, definitionOf, ran, options = {}) {
  const { random = Math.random, mode = "shown", moment = "before" } = options;
  if ((mode === "after") !== (moment === "after")) return;
  document.transact(
    "Next seed",
    (tx) => {
      for (const controlled of controlledValues(tx.graph, definitionOf)) {
        const { node, widget, def, graph } = controlled;
        const key = `${graph ? `${graph}/` : ""}${node.id}:${widget.name}`;
        const value = widgetValue(node, widget);
        const next = mode !== "shown" || ran.get(key) === value ? nextValue(controlled, value, random) : value;
        ran.set(key, next);
        if (next !== value) setWidget(graph ? tx.within(graph) : tx, node.id, widget, next, def);
      }
    },
    { history: false },
  );
}

/**
 * @param {Graph} graph
 * @param {(node: NodeRecord) => NodeDef | undefined} definitionOf
 * @returns {Controlled[]}
 */
export function controlledValues(graph, definitionOf) {
  const graphs = graph.subgraphs;
  const found = [...graph.nodes.values()].flatMap((node) =>
    controlledOf(node, definitionOf(node), graphs, definitionOf),
  );
  for (const [id, inner] of graphs) {
    for (const node of inner.nodes.values()) {
      const plain = definitionOf(node.type === "PrimitiveNode" ? { ...node, id: NaN } : node);
      const def =
        plain && node.type === "PrimitiveNode"
          ? primitiveDefinition(plain, node, inner, (type) => definitionOf(/** @type {any} */ ({ type })))
          : plain;
      const values = controlledOf(node, def, graphs, definitionOf);
      found.push(...values.map((value) => ({ ...value, graph: id })));
    }
  }
  return found;
}

/**
 * @param {NodeRecord} node
 * @param {NodeDef | undefined} def
 * @param {Map<string, Graph>} graphs
 * @param {(node: NodeRecord) => NodeDef | undefined} definitionOf
 * @returns {Controlled[]}
 */
function controlledOf(node, def, graphs, definitionOf) {
  const widgets = widgetsOf(node, def);
  const inner = graphs.get(node.type);
  return widgets.flatMap((widget) => {
    if (widget.owner !== null || widgetLinked(node, widget.name)) return [];
    const control = inner
      ? innerControl(inner, widget.name, graphs, definitionOf, 0)
      : ownControl(node, widgets, widget);
    return control ? [{ node, widget, def, graph: "", ...control }] : [];
  });
}

/**
 * @param {NodeRecord} node
 * @param {Widget[]} widgets
 * @param {Widget} widget
 * @returns {{mode: string, filter: string} | null}
 */
function ownControl(node, widgets, widget) {
  const control = widgets.find((other) => other.kind === "control" && other.owner === widget.name);
  if (!control) return null;
  const filter = widgets.find((other) => other.name === "control_filter_list" && other.owner === widget.name);
  return {
    mode: String(widgetValue(node, control)),
    filter: filter ? String(widgetValue(node, filter) ?? "") : "",
  };
}

/**
 * A widget of an instance goes by the control of the widget inside that it stands for.
 * @param {Graph} inner
 * @param {string} name
 * @param {Map<string, Graph>} graphs
 * @param {(node: NodeRecord) => NodeDef | undefined} definitionOf
 * @param {number} depth
 * @returns {{mode: string, filter: string} | null}
 */
function innerControl(inner, name, graphs, definitionOf, depth) {
  const slot = portsOf(inner).inputs.findIndex((/** @type {any} */ port) => port.name === name);
  const socket = promotedSockets(inner).get(slot);
  const within = socket?.node.inputs?.[socket.slot]?.widget?.name;
  if (!socket || within === undefined || depth > 32) return null;
  const deeper = graphs.get(socket.node.type);
  if (deeper) return innerControl(deeper, within, graphs, definitionOf, depth + 1);
  const widgets = widgetsOf(socket.node, definitionOf(socket.node));
  const widget = widgets.find((candidate) => candidate.name === within);
  return widget ? ownControl(socket.node, widgets, widget) : null;
}

/**
 * @param {Controlled} controlled
 * @param {unknown} value
 * @param {() => number} random
 */
function nextValue({ widget, mode, filter }, value, random) {
  if (widget.kind === "combo") return nextChoice(value, mode, filterChoices(widget.choices ?? [], filter), random);
  const number = typeof value === "bigint" ? value : Number(value);
  return nextNumber(number, mode, widget.options, random);
}
