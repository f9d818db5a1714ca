import { Graph } from "../doc/graph.js";
import { isBorder, MODE } from "../doc/schema.js";
import { widgetLinked, widgetsOf, widgetValue } from "./widgets.js";

/**
 * What a workflow needs that may not be here: files that its nodes name, and node classes.
 *
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {{files: {name: string, present: boolean}[], classes: string[]}} Needs classes: those that nobody knows
 */

const FILE = /\.(safetensors|sft|ckpt|pt|pth|bin|gguf|onnx)$/i;

/**
 * @param {Record<string, any>} record
 * @param {Map<string, NodeDef>} definitions
 * @returns {Needs} the models by name, and the classes that are missing
 */
export function needsOf(record, definitions) {
  const graph = new Graph(record);
  /** @type {Map<string, boolean>} */
  const files = new Map();
  /** @type {Set<string>} */
  const classes = new Set();
  for (const each of [graph, ...graph.subgraphs.values()])
    for (const node of each.nodes.values()) {
      const own = isBorder(node) || graph.subgraphs.has(node.type) || /^workflow[>/]/.test(node.type);
      if (own || node.mode === MODE.MUTED || node.mode === MODE.BYPASS) continue;
      const def = definitions.get(node.type);
      if (!def) classes.add(node.type);
      for (const widget of widgetsOf(node, def)) {
        const value = widgetValue(node, widget);
        if (widget.kind !== "combo" || widgetLinked(node, widget.name) || !FILE.test(String(value))) continue;
        const present = widget.choices?.includes(value) ?? false;
        files.set(String(value), present && files.get(String(value)) !== false);
      }
    }
  return { files: [...files].map(([name, present]) => ({ name, present })), classes: [...classes].sort() };
}
