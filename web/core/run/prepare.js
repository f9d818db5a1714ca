import { Graph } from "../doc/graph.js";
import { compilePrompt } from "../graph/prompt.js";
import { titleOf } from "../graph/nodes.js";
import { nextChoice, nextNumber, filterChoices } from "../nodes/seed.js";
import { widgetLinked, widgetsOf, widgetValue } from "../nodes/widgets.js";
import { drawWords, fillPatterns } from "../nodes/words.js";

/**
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/document.js").Document} Document
 */

/**
 * What is sent for a run: the prompt, and the workflow as it is embedded in the pictures, which holds the words drawn.
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @param {{random?: () => number, now?: Date}} [options]
 */
export function prepareRun(graph, definitions, { random = Math.random, now = new Date() } = {}) {
  const workflow = graph.toRecord();
  const copy = new Graph(workflow);
  for (const node of copy.nodes.values()) {
    for (const widget of widgetsOf(node, definitions.get(node.type))) {
      const value = widgetValue(node, widget);
      if (!widget.options.dynamicPrompts || typeof value !== "string" || !node.widgets_values) continue;
      /** @type {any} */ (node.widgets_values)[widget.path[1]] = drawWords(value, random);
    }
  }
  const lookUp = (/** @type {string} */ name, /** @type {string} */ widget) =>
    namedValue(copy, definitions, name, widget);
  const text = (/** @type {string} */ value) => (value.includes("%") ? fillPatterns(value, lookUp, now) : value);
  return { prompt: compilePrompt(copy, definitions, { text }), workflow: copy.toRecord() };
}

/**
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @param {string} name a node's title or "Node name for S&R"
 * @param {string} widgetName
 */
function namedValue(graph, definitions, name, widgetName) {
  for (const node of graph.nodes.values()) {
    const def = definitions.get(node.type);
    if (node.properties?.["Node name for S&R"] !== name && titleOf(node, def) !== name) continue;
    const widget = widgetsOf(node, def).find((candidate) => candidate.name === widgetName);
    if (widget) return widgetValue(node, widget);
  }
  return undefined;
}

/**
 * Give seeds and other controlled values their next value, where the present one has run already. A value that a person
 * has just typed, or that came with a file, runs first as it is.
 * @param {Document} document
 * @param {(node: import("../doc/schema.js").NodeRecord) => NodeDef | undefined} definitionOf
 * @param {Map<string, unknown>} ran by "node:widget", the value of the last run; changed in place
 * @param {() => number} [random]
 */
export function advanceControls(document, definitionOf, ran, random = Math.random) {
  document.transact(
    "Next seed",
    (tx) => {
      for (const node of tx.graph.nodes.values()) {
        const widgets = widgetsOf(node, definitionOf(node));
        for (const control of widgets.filter((widget) => widget.kind === "control")) {
          const widget = widgets.find((candidate) => candidate.name === control.owner);
          if (!widget || widgetLinked(node, widget.name)) continue;
          const key = `${node.id}:${widget.name}`;
          const value = widgetValue(node, widget);
          const next = ran.get(key) === value ? nextValue(node, widget, control, widgets, random) : value;
          ran.set(key, next);
          if (next !== value) tx.set("node", node.id, widget.path, next);
        }
      }
    },
    { history: false },
  );
}

/**
 * @param {import("../doc/schema.js").NodeRecord} node
 * @param {import("../nodes/widgets.js").Widget} widget
 * @param {import("../nodes/widgets.js").Widget} control
 * @param {import("../nodes/widgets.js").Widget[]} widgets
 * @param {() => number} random
 */
function nextValue(node, widget, control, widgets, random) {
  const mode = String(widgetValue(node, control));
  const value = widgetValue(node, widget);
  if (widget.kind !== "combo") return nextNumber(typeof value === "bigint" ? value : Number(value), mode, widget.options, random);
  const filter = widgets.find((candidate) => candidate.name === "control_filter_list");
  const words = filter ? String(widgetValue(node, filter) ?? "") : "";
  return nextChoice(value, mode, filterChoices(widget.choices ?? [], words), random);
}
