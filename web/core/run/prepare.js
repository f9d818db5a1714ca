import { Graph } from "../doc/graph.js";
import { compilePrompt } from "../graph/prompt.js";
import { titleOf } from "../graph/nodes.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { drawWords, fillPatterns } from "../nodes/words.js";

export { advanceControls } from "./controls.js";

/** @typedef {import("../nodes/definitions.js").NodeDef} NodeDef */

/**
 * What is sent for a run: the prompt, and the workflow as it is embedded in the pictures, which holds the words drawn.
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @param {{random?: () => number, now?: Date}} [options]
 */
export function prepareRun(graph, definitions, { random = Math.random, now = new Date() } = {}) {
  const workflow = graph.toRecord();
  const copy = new Graph(workflow);
  const graphs = [copy, ...copy.subgraphs.values()];
  const nodes = graphs.flatMap((each) => [...each.nodes.values()]);
  for (const node of nodes) draw(node, definitions.get(node.type), random);
  const lookUp = (/** @type {string} */ name, /** @type {string} */ widget) =>
    namedValue(nodes, definitions, name, widget);
  const text = (/** @type {string} */ value) => (value.includes("%") ? fillPatterns(value, lookUp, now) : value);
  return { prompt: compilePrompt(copy, definitions, { text }), workflow: copy.toRecord() };
}

/**
 * @param {import("../doc/schema.js").NodeRecord} node is written to
 * @param {NodeDef | undefined} def
 * @param {() => number} random
 */
function draw(node, def, random) {
  const values = /** @type {any} */ (node.widgets_values);
  for (const { options, path } of widgetsOf(node, def)) {
    const value = values?.[path[1]];
    if (options.dynamicPrompts && typeof value === "string") values[path[1]] = drawWords(value, random);
  }
}

/**
 * @param {import("../doc/schema.js").NodeRecord[]} nodes those of the workflow, then those inside of its subgraphs
 * @param {Map<string, NodeDef>} definitions
 * @param {string} name a node's title or "Node name for S&R"
 * @param {string} widgetName
 */
function namedValue(nodes, definitions, name, widgetName) {
  for (const node of nodes) {
    const def = definitions.get(node.type);
    if (node.properties?.["Node name for S&R"] !== name && titleOf(node, def) !== name) continue;
    if (node.type === "PrimitiveNode" && widgetName === "value" && Array.isArray(node.widgets_values))
      return node.widgets_values[0];
    const widget = widgetsOf(node, def).find((candidate) => candidate.name === widgetName && candidate.serialised);
    if (widget) return widgetValue(node, widget);
  }
  return undefined;
}
