import { isObject } from "../doc/schema.js";
import { typeName } from "../graph/slot_types.js";

/**
 * @typedef {"int" | "float" | "string" | "text" | "boolean" | "combo" | "control" | "upload" | "colour" | "other"} WidgetKind
 * @typedef {{name: string, kind: WidgetKind, options: Record<string, any>, choices: unknown[] | null,
 *   owner: string | null, serialised: boolean, inherited?: unknown, source?: Source}} WidgetDef inherited: the value
 *   inside a subgraph, which holds where the instance has none; source: where a field is that an instance shows
 * @typedef {{graph: string, node: import("../doc/schema.js").NodeRecord, widget: import("./widgets.js").Widget,
 *   def: NodeDef | undefined}} Source the definition, the node in it, its widget, and its class as declared
 * @typedef {{name: string, type: string, options: Record<string, any>, optional: boolean, widget: WidgetDef | null,
 *   tooltip: string}} InputDef
 * @typedef {{name: string, type: string, isList: boolean, tooltip: string}} OutputDef
 * @typedef {{id: string, title: string, category: string, help: string, inputs: InputDef[], outputs: OutputDef[],
 *   widgets: WidgetDef[], outputNode: boolean, deprecated: boolean, experimental: boolean, module: string,
 *   aliases: string[], virtual: boolean}} NodeDef
 */

/** @type {Record<string, WidgetKind>} */
const KINDS = { INT: "int", FLOAT: "float", BOOLEAN: "boolean", COMBO: "combo", COLOR: "colour" };
const CONTROL_MODES = ["fixed", "increment", "decrement", "randomize"];

/** Names that classes had in old files. */
const RENAMED = {
  T2IAdapterLoader: "ControlNetLoader",
  "ConditioningAverage ": "ConditioningAverage",
  SDV_img2vid_Conditioning: "SVD_img2vid_Conditioning",
};

/**
 * Every node class the server offers, read from its catalogue, and the classes that live in the editor only. A class is
 * found under its old name too, as the same object.
 * @param {Record<string, any>} catalogue the answer of /object_info
 * @returns {Map<string, NodeDef>}
 */
export function readDefinitions(catalogue) {
  const definitions = new Map(editorNodes().map((def) => [def.id, def]));
  for (const [id, entry] of Object.entries(catalogue)) {
    if (isObject(entry)) definitions.set(id, readDefinition(id, entry));
  }
  for (const [old, id] of Object.entries(RENAMED)) {
    const def = definitions.get(id);
    if (def && !definitions.has(old)) definitions.set(old, def);
  }
  return definitions;
}

/**
 * @param {string} id
 * @param {Record<string, any>} entry
 * @returns {NodeDef}
 */
export function readDefinition(id, entry) {
  const inputs = [...readInputs(entry, "required"), ...readInputs(entry, "optional")];
  return {
    id,
    title: entry.display_name || id,
    category: entry.category || "other",
    help: entry.description || "",
    inputs,
    outputs: readOutputs(entry),
    widgets: inputs.flatMap(widgetsOfInput),
    outputNode: Boolean(entry.output_node),
    deprecated: Boolean(entry.deprecated),
    experimental: Boolean(entry.experimental),
    module: String(entry.python_module ?? ""),
    aliases: Array.isArray(entry.search_aliases) ? entry.search_aliases : [],
    virtual: false,
  };
}

/**
 * @param {Record<string, any>} entry
 * @param {"required" | "optional"} section
 * @returns {InputDef[]}
 */
function readInputs(entry, section) {
  const ports = entry.input?.[section] ?? {};
  const order = entry.input_order?.[section] ?? Object.keys(ports);
  return order
    .filter((/** @type {string} */ name) => Array.isArray(ports[name]))
    .map((/** @type {string} */ name) => {
      const [type, given] = ports[name];
      const options = limited(isObject(given) ? given : {});
      return {
        name,
        type: typeName(type),
        options,
        optional: section === "optional",
        widget: readWidget(name, type, options),
        tooltip: options.tooltip ?? "",
      };
    });
}

/**
 * The options with limits one can calculate with: those of 64 bits come with all their digits.
 * @param {Record<string, any>} options
 * @returns {Record<string, any>}
 */
function limited(options) {
  const long = ["min", "max", "step"].filter((name) => typeof options[name] === "bigint");
  return long.length
    ? { ...options, ...Object.fromEntries(long.map((name) => [name, Number(options[name])])) }
    : options;
}

/**
 * @param {Record<string, any>} entry
 * @returns {OutputDef[]}
 */
function readOutputs(entry) {
  return (entry.output ?? []).map((/** @type {unknown} */ type, /** @type {number} */ index) => ({
    name: entry.output_name?.[index] || typeName(type),
    type: typeName(type),
    isList: Boolean(entry.output_is_list?.[index]),
    tooltip: entry.output_tooltips?.[index] ?? "",
  }));
}

/**
 * The widget of an input, or null for one that takes links only.
 * @param {string} name
 * @param {unknown} type
 * @param {Record<string, any>} options
 * @returns {WidgetDef | null}
 */
function readWidget(name, type, options) {
  if (options.forceInput || options.rawLink) return null;
  const base = { name, options, choices: null, owner: null, serialised: true };
  if (Array.isArray(type)) return { ...base, kind: "combo", choices: type };
  if (type === "STRING") return { ...base, kind: options.multiline ? "text" : "string" };
  const kind = KINDS[String(type)];
  if (!kind) return null;
  return { ...base, kind, choices: kind === "combo" ? (options.options ?? []) : null };
}

/**
 * The widgets that an input brings, in the order in which their values are stored.
 * @param {InputDef} input
 * @returns {WidgetDef[]}
 */
export function widgetsOfInput({ name, widget }) {
  if (!widget) return [];
  const extra = (
    /** @type {string} */ label,
    /** @type {WidgetKind} */ kind,
    /** @type {unknown[] | null} */ choices,
  ) => ({
    name: label,
    kind,
    options: {},
    choices,
    owner: name,
    serialised: false,
  });
  const widgets = [widget];
  const control = widget.options.control_after_generate ?? (widget.kind === "int" && /^(noise_)?seed$/.test(name));
  if (control && widget.kind === "int") widgets.push(extra("control_after_generate", "control", CONTROL_MODES));
  if (control && widget.kind === "combo") {
    widgets.push(extra("control_after_generate", "control", [...CONTROL_MODES, "increment-wrap"]));
    widgets.push(extra("control_filter_list", "string", null));
  }
  if (Object.keys(widget.options).some((name) => name.endsWith("_upload") && widget.options[name]))
    widgets.push(extra("upload", "upload", null));
  return widgets;
}

/** @returns {NodeDef[]} the classes that exist in the editor only and never reach a prompt */
function editorNodes() {
  const base = {
    category: "utils",
    help: "",
    inputs: [],
    outputs: [],
    widgets: [],
    outputNode: false,
    deprecated: false,
    experimental: false,
    module: "editor",
    aliases: [],
    virtual: true,
  };
  const any = { name: "", type: "*", isList: false, tooltip: "" };
  /** @type {(name: string, kind: WidgetKind) => WidgetDef} */
  const widget = (name, kind) => ({ name, kind, options: {}, choices: null, owner: null, serialised: true });
  return [
    {
      ...base,
      id: "Note",
      title: "Note",
      help: "Text beside the graph.",
      aliases: ["comment"],
      widgets: [widget("text", "text")],
    },
    {
      ...base,
      id: "MarkdownNote",
      title: "Markdown note",
      help: "Formatted text beside the graph.",
      widgets: [widget("text", "text")],
    },
    {
      ...base,
      id: "Reroute",
      title: "Reroute",
      help: "Passes a link through.",
      outputs: [any],
      aliases: ["dot", "relay"],
      inputs: [{ name: "", type: "*", options: {}, optional: true, widget: null, tooltip: "" }],
    },
    {
      ...base,
      id: "PrimitiveNode",
      title: "Primitive",
      help: "One value that feeds several inputs.",
      outputs: [{ ...any, name: "connect to widget input" }],
    },
  ];
}
