import { Graph } from "../doc/graph.js";
import { MODE, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { compatible, typeName } from "./slot_types.js";
import { titleOf } from "./nodes.js";

/**
 * The graph as the engine reads it. Virtual, muted and bypassed nodes and subgraph instances dissolve on the way; what
 * their links led to is resolved here and nowhere else.
 *
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {Record<string, {inputs: Record<string, any>, class_type: string, _meta: {title: string}}>} Prompt
 * @typedef {{graph: Graph, prefix: string, parent: Scope | null, instance: NodeRecord | null}} Scope
 * @typedef {{link: [string, number]} | {value: unknown} | null} Source
 * @typedef {{definitions: Map<string, NodeDef>, subgraphs: Map<string, Graph>, text: (value: string, widget: import("../nodes/widgets.js").Widget) => string}} Context
 */

const DEPTH = 32;

/**
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @param {{text?: Context["text"]}} [options] text: what becomes of a text widget's words on the way
 * @returns {Prompt}
 */
export function compilePrompt(graph, definitions, { text = (value) => value } = {}) {
  const context = { definitions, subgraphs: subgraphsOf(graph), text };
  /** @type {Prompt} */
  const prompt = {};
  flatten({ graph, prefix: "", parent: null, instance: null }, context, prompt, 0);
  for (const entry of Object.values(prompt)) {
    for (const [name, value] of Object.entries(entry.inputs)) {
      if (isLink(value) && !Object.hasOwn(prompt, value[0])) delete entry.inputs[name];
    }
  }
  return prompt;
}

/**
 * @param {Graph} graph
 * @returns {Map<string, Graph>} the definitions by id, nested ones too
 */
export function subgraphsOf(graph) {
  const found = new Map();
  const collect = (/** @type {any} */ record) => {
    for (const definition of record?.definitions?.subgraphs ?? []) {
      if (found.has(definition.id)) continue;
      found.set(definition.id, new Graph(definition));
      collect(definition);
    }
  };
  collect(graph.record);
  return found;
}

/**
 * @param {Scope} scope
 * @param {Context} context
 * @param {Prompt} prompt
 * @param {number} depth
 */
function flatten(scope, context, prompt, depth) {
  if (depth > DEPTH) throw new RangeError("A subgraph contains itself.");
  for (const node of scope.graph.nodes.values()) {
    if (node.mode === MODE.MUTED || node.mode === MODE.BYPASS) continue;
    const inner = context.subgraphs.get(node.type);
    if (inner) {
      flatten(
        { graph: inner, prefix: `${scope.prefix}${node.id}:`, parent: scope, instance: node },
        context,
        prompt,
        depth + 1,
      );
    } else if (!isVirtual(node, context)) {
      prompt[`${scope.prefix}${node.id}`] = entryOf(node, scope, context);
    }
  }
}

/**
 * @param {NodeRecord} node
 * @param {Context} context
 */
function isVirtual(node, { definitions }) {
  return definitions.get(node.type)?.virtual === true;
}

/**
 * @param {NodeRecord} node
 * @param {Scope} scope
 * @param {Context} context
 */
function entryOf(node, scope, context) {
  const def = context.definitions.get(node.type);
  /** @type {Record<string, any>} */
  const inputs = {};
  for (const widget of widgetsOf(node, def)) {
    if (widget.serialised) inputs[widget.name] = wire(widgetValue(node, widget), widget, context);
  }
  for (const [slot, input] of (node.inputs ?? []).entries()) {
    const source = sourceOf(scope, node, slot, context, 0);
    if (source && "link" in source) inputs[input.name] = source.link;
    else if (source) inputs[input.name] = wireArray(source.value);
  }
  return { inputs, class_type: node.type, _meta: { title: titleOf(node, def) } };
}

/**
 * @param {unknown} value
 * @param {import("../nodes/widgets.js").Widget} widget
 * @param {Context} context
 */
function wire(value, widget, context) {
  const words = typeof value === "string" && (widget.kind === "text" || widget.kind === "string");
  return wireArray(words ? context.text(/** @type {string} */ (value), widget) : value);
}

/** Lists are wrapped: a bare list of two would read as a link. @param {unknown} value */
function wireArray(value) {
  return Array.isArray(value) ? { __value__: value } : value;
}

/** @param {unknown} value @returns {value is [string, number]} */
function isLink(value) {
  return Array.isArray(value) && value.length === 2;
}

/**
 * What feeds an input, seen through everything that dissolves.
 * @param {Scope} scope
 * @param {NodeRecord} node
 * @param {number} slot
 * @param {Context} context
 * @param {number} hops
 * @returns {Source}
 */
function sourceOf(scope, node, slot, context, hops) {
  const link = scope.graph.linkInto(node.id, slot);
  if (!link) return null;
  if (hops > scope.graph.links.size + DEPTH * DEPTH) throw new RangeError("The links of the graph form a ring.");
  if (Number(link.origin_id) === SUBGRAPH_INPUT) return outerSource(scope, link.origin_slot, context, hops + 1);
  const origin = scope.graph.node(link.origin_id);
  const target = node.inputs?.[slot]?.type;
  return origin ? outputOf(scope, origin, link.origin_slot, target, context, hops + 1) : null;
}

/**
 * @param {Scope} scope
 * @param {number} slot
 * @param {Context} context
 * @param {number} hops
 * @returns {Source} what the instance outside got at this input
 */
function outerSource(scope, slot, context, hops) {
  const { parent, instance } = scope;
  const port = scope.graph.record.inputs?.[slot];
  if (!parent || !instance || !port) return null;
  const index = (instance.inputs ?? []).findIndex((input) => input.name === port.name);
  const source = index >= 0 ? sourceOf(parent, instance, index, context, hops) : null;
  return source ?? promotedValue(scope, slot);
}

/**
 * The value that the instance holds for a promoted widget: the instance's values are in the order of those definition
 * inputs that end at a widget inside.
 * @param {Scope} scope
 * @param {number} slot
 * @returns {Source}
 */
function promotedValue(scope, slot) {
  const promoted = (scope.graph.record.inputs ?? [])
    .map((/** @type {unknown} */ _, /** @type {number} */ index) => index)
    .filter((/** @type {number} */ index) => endsAtWidget(scope.graph, index));
  const values = scope.instance?.widgets_values;
  const place = promoted.indexOf(slot);
  const value = Array.isArray(values) && place >= 0 ? values[place] : undefined;
  return value === undefined || value === null ? null : { value };
}

/**
 * @param {Graph} graph
 * @param {number} slot
 */
function endsAtWidget(graph, slot) {
  for (const link of graph.links.values()) {
    if (Number(link.origin_id) === SUBGRAPH_INPUT && link.origin_slot === slot) {
      if (graph.node(link.target_id)?.inputs?.[link.target_slot]?.widget) return true;
    }
  }
  return false;
}

/**
 * What an output gives, seen through a node that is not in the prompt.
 * @param {Scope} scope
 * @param {NodeRecord} node
 * @param {number} slot
 * @param {unknown} target the type of the input that asks
 * @param {Context} context
 * @param {number} hops
 * @returns {Source}
 */
function outputOf(scope, node, slot, target, context, hops) {
  if (node.mode === MODE.BYPASS) {
    const through = bypassInput(node, slot, target);
    return through < 0 ? null : sourceOf(scope, node, through, context, hops);
  }
  if (node.mode === MODE.MUTED) return { link: [`${scope.prefix}${node.id}`, slot] };
  const inner = context.subgraphs.get(node.type);
  if (inner)
    return innerSource(
      { graph: inner, prefix: `${scope.prefix}${node.id}:`, parent: scope, instance: node },
      slot,
      target,
      context,
      hops,
    );
  if (node.type === "PrimitiveNode")
    return { value: Array.isArray(node.widgets_values) ? node.widgets_values[0] : null };
  if (isVirtual(node, context)) return sourceOf(scope, node, slot, context, hops);
  return { link: [`${scope.prefix}${node.id}`, slot] };
}

/**
 * @param {Scope} scope inside of an instance
 * @param {number} slot
 * @param {unknown} target
 * @param {Context} context
 * @param {number} hops
 * @returns {Source}
 */
function innerSource(scope, slot, target, context, hops) {
  for (const link of scope.graph.links.values()) {
    if (Number(link.target_id) !== SUBGRAPH_OUTPUT || link.target_slot !== slot) continue;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) return outerSource(scope, link.origin_slot, context, hops);
    const origin = scope.graph.node(link.origin_id);
    return origin ? outputOf(scope, origin, link.origin_slot, target, context, hops) : null;
  }
  return null;
}

/**
 * The input that a bypassed node passes to an output.
 * @param {NodeRecord} node
 * @param {number} slot
 * @param {unknown} target
 * @returns {number} -1 for none
 */
export function bypassInput(node, slot, target) {
  const inputs = node.inputs ?? [];
  const output = node.outputs?.[slot]?.type;
  if (typeName(target) === "*") return inputs[slot] ? slot : inputs.length - 1 >= 0 ? 0 : -1;
  const fits = (/** @type {number} */ index) =>
    inputs[index] !== undefined && compatible(inputs[index].type, output) && compatible(inputs[index].type, target);
  if (fits(slot)) return slot;
  const equal = inputs.findIndex((input) => typeName(input.type) === typeName(target));
  return equal >= 0 ? equal : inputs.findIndex((_, index) => fits(index));
}
