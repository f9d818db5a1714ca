import { portsOf } from "../doc/borders.js";
import { isBorder, MODE, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../doc/schema.js";
import { grownValues, statedValues } from "../nodes/values.js";
import { widgetsOf, widgetValue } from "../nodes/widgets.js";
import { groupGraph, groupNode } from "./group_nodes.js";
import { alike, typeName } from "./slot_types.js";
import { titleOf } from "./nodes.js";
import { promotedSockets } from "./subgraphs.js";

/**
 * The graph as the engine reads it. Virtual, muted and bypassed nodes and subgraph instances dissolve on the way; what
 * their links led to is resolved here and nowhere else. The server has the same in Python; both pass the same examples.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../nodes/widgets.js").Widget} Widget
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {Record<string, {inputs: Record<string, any>, class_type: string, _meta: {title: string}}>} Prompt
 * @typedef {{graph: Graph, prefix: string, parent: Scope | null, instance: NodeRecord | null, depth: number}} Scope
 * @typedef {{link: [string, number]} | {value: unknown} | null} Source
 * @typedef {{scope: Scope, node: NodeRecord, slot: number}} Socket an input
 * @typedef {{definitions: Map<string, NodeDef>, subgraphs: Map<string, Graph>, extra: Record<string, any>,
 *   inside: Map<NodeRecord, Graph | null>, count: number, text: (value: string, widget: Widget | null) => string}} Context
 */

const DEPTH = 32;
const MAX_NODES = 200_000;

/**
 * @param {Graph} graph
 * @param {Map<string, NodeDef>} definitions
 * @param {{text?: Context["text"]}} [options] text: what becomes of a text widget's words on the way
 * @returns {Prompt}
 * @throws {RangeError} links that go round in a circle, subgraphs that contain themselves
 */
export function compilePrompt(graph, definitions, { text = (value) => value } = {}) {
  const extra = graph.record.extra ?? {};
  /** @type {Context} */
  const context = { definitions, subgraphs: graph.subgraphs, extra, inside: new Map(), count: 0, text };
  /** @type {Prompt} */
  const prompt = {};
  flatten({ graph, prefix: "", parent: null, instance: null, depth: 0 }, context, prompt);
  for (const entry of Object.values(prompt)) {
    for (const [name, value] of Object.entries(entry.inputs)) {
      if (isLink(value) && !Object.hasOwn(prompt, value[0])) delete entry.inputs[name];
    }
  }
  return prompt;
}

/**
 * @param {Scope} scope
 * @param {Context} context
 * @param {Prompt} prompt
 */
function flatten(scope, context, prompt) {
  context.count += scope.graph.nodes.size;
  if (context.count > MAX_NODES) throw new RangeError(endless(scope.graph));
  for (const node of scope.graph.nodes.values()) {
    const mode = Number(node.mode);
    if (mode === MODE.MUTED || mode === MODE.BYPASS || isVirtual(node, context)) continue;
    if (isBorder(node)) continue;
    const inner = enter(scope, node, context);
    if (inner) flatten(inner, context, prompt);
    else prompt[`${scope.prefix}${node.id}`] = entryOf(node, scope, context);
  }
}

/**
 * @param {Scope} scope
 * @param {NodeRecord} node
 * @param {Context} context
 * @returns {Scope | null} the inside of an instance of a subgraph, or of a group node
 */
function enter(scope, node, context) {
  let inner = context.subgraphs.get(node.type) ?? context.inside.get(node);
  let instance = node;
  const group = inner ? null : groupNode(context.extra, node.type);
  if (group) {
    inner = groupGraph(group, node, (type) => context.definitions.get(type)).graph;
    context.inside.set(node, inner);
  }
  if (context.inside.has(node)) instance = { ...node, widgets_values: [] }; // the nodes inside have them
  if (!inner) return null;
  if (scope.depth >= DEPTH) throw new RangeError(endless(inner));
  return { graph: inner, prefix: `${scope.prefix}${node.id}:`, parent: scope, instance, depth: scope.depth + 1 };
}

/** @param {Graph} graph */
function endless({ record }) {
  return `Subgraph ${record.name ?? ""} is nested too deeply, or contains itself. Open it and take the inner copy out.`;
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
  const widgets = widgetsOf(node, def);
  /** @type {Record<string, any>} */
  const inputs = {};
  for (const widget of widgets) {
    const value = widgetValue(node, widget);
    if (widget.serialised && value !== null && value !== undefined) inputs[widget.name] = wire(value, widget, context);
  }
  for (const [name, value] of Object.entries(def ? grownValues(node, def) : statedValues(node)))
    inputs[name] = wire(value, null, context);
  for (const [slot, input] of (node.inputs ?? []).entries()) {
    const source = resolve({ scope, node, slot }, context);
    const widget = widgets.find((candidate) => candidate.name === input.name) ?? null;
    if (source && "link" in source) inputs[input.name] = source.link;
    else if (source) inputs[input.name] = wire(source.value, widget, context);
  }
  return { inputs, class_type: def?.id ?? node.type, _meta: { title: titleOf(node, def) } };
}

/**
 * A value as it is sent. Lists are wrapped: a bare list of two would read as a link.
 * @param {unknown} value
 * @param {Widget | null} widget
 * @param {Context} context
 */
function wire(value, widget, context) {
  if (Array.isArray(value)) return { __value__: value };
  const words = typeof value === "string" && (widget?.kind === "text" || widget?.kind === "string");
  return words ? context.text(/** @type {string} */ (value), widget) : value;
}

/** @param {unknown} value @returns {value is [string, number]} */
function isLink(value) {
  return Array.isArray(value) && value.length === 2;
}

/**
 * What feeds an input in the end: a node that runs (or a muted one), a value, or nothing.
 * @param {Socket} socket
 * @param {Context} context
 * @returns {Source}
 */
function resolve(socket, context) {
  const seen = new Set();
  /** @type {Socket | Source} */
  let at = socket;
  /** @type {unknown} the type that is asked for; on its way through a subgraph's output it stays the same */
  let wanted = socket.node.inputs?.[socket.slot]?.type;
  while (at && "scope" in at) {
    const { scope, node, slot } = /** @type {Socket} */ (at);
    const link = scope.graph.linkInto(node.id, slot);
    if (!link) return null;
    const mark = `${scope.prefix}${link.id}`;
    if (seen.has(mark))
      throw new RangeError(
        `The links around node ${scope.prefix}${link.target_id} go round in a circle: they form a ring.`,
      );
    seen.add(mark);
    wanted = node.inputs?.[slot]?.type;
    at =
      Number(link.origin_id) === SUBGRAPH_INPUT
        ? outward(scope, link.origin_slot)
        : behind(scope, link.origin_id, link.origin_slot, wanted, context);
  }
  return /** @type {Source} */ (at);
}

/**
 * From inside of a subgraph to what the instance got at an input: its link, or the value it holds for the widget.
 * @param {Scope} scope
 * @param {number} slot
 * @returns {Socket | Source}
 */
function outward(scope, slot) {
  const { parent, instance, graph } = scope;
  const port = portsOf(graph).inputs[slot];
  if (!parent || !instance || !port) return null;
  const index = (instance.inputs ?? []).findIndex((input) => input.name === port.name);
  if (index >= 0 && instance.inputs?.[index].link != null) return { scope: parent, node: instance, slot: index };
  const sockets = [...promotedSockets(graph).keys()];
  const place = sockets.indexOf(slot);
  const { widgets_values: values, widgets_values_named: named } = instance;
  if (place < 0) return null;
  const listed = Array.isArray(values) ? values[place] : /** @type {any} */ (values)?.[port.name];
  const value = listed ?? /** @type {any} */ (named)?.[port.name];
  return value === undefined || value === null ? null : { value };
}

/**
 * What gives an output: one step towards the source.
 * @param {Scope} scope
 * @param {import("../doc/schema.js").NodeId} id
 * @param {number} slot
 * @param {unknown} wanted
 * @param {Context} context
 * @returns {Socket | Source}
 */
function behind(scope, id, slot, wanted, context) {
  const node = scope.graph.node(id);
  if (!node) return null;
  if (node.type === "PrimitiveNode") return primitiveValue(node);
  if (Number(node.mode) === MODE.BYPASS) {
    const through = bypassInput(node, slot, wanted);
    return through < 0 ? null : { scope, node, slot: through };
  }
  if (isVirtual(node, context)) return node.inputs?.length ? { scope, node, slot: 0 } : null;
  const inner = Number(node.mode) === MODE.MUTED ? null : enter(scope, node, context);
  return inner ? inward(inner, slot, wanted, context) : { link: [`${scope.prefix}${node.id}`, slot] };
}

/** @param {NodeRecord} node @returns {Source} */
function primitiveValue({ widgets_values: values }) {
  const [value] = Array.isArray(values) ? values : Object.values(values ?? {});
  return value === undefined || value === null ? null : { value };
}

/**
 * From an instance's output to what leads there inside.
 * @param {Scope} inner
 * @param {number} slot
 * @param {unknown} wanted
 * @param {Context} context
 * @returns {Socket | Source}
 */
function inward(inner, slot, wanted, context) {
  for (const link of inner.graph.links.values()) {
    if (Number(link.target_id) !== SUBGRAPH_OUTPUT || link.target_slot !== slot) continue;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) return outward(inner, link.origin_slot);
    return behind(inner, link.origin_id, link.origin_slot, wanted, context);
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
  if (typeName(target) === "*") return inputs[slot] ? slot : inputs.length ? 0 : -1;
  const fits = (/** @type {number} */ index) =>
    inputs[index] !== undefined && alike(inputs[index].type, output) && alike(inputs[index].type, target);
  if (fits(slot)) return slot;
  const name = typeName(target).toUpperCase();
  const equal = inputs.findIndex((input) => typeName(input.type).toUpperCase() === name);
  return equal >= 0 ? equal : inputs.findIndex((_, index) => fits(index));
}
