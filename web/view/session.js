import { Scene } from "../core/geometry/scene.js";
import { conformSockets } from "../core/graph/links.js";
import { isDynamic } from "../core/nodes/dynamic.js";
import { Viewport } from "../core/geometry/viewport.js";
import { readDefinitions } from "../core/nodes/definitions.js";
import { widgetValue } from "../core/nodes/widgets.js";
import { instanceDefinitions } from "../core/nodes/instances.js";
import { definitionOn } from "../core/nodes/shown_fields.js";

/**
 * What belongs to an open document but is not stored in it: the view, results, previews, complaints.
 *
 * @typedef {import("../core/nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../core/doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../core/doc/transact.js").Transaction} Transaction
 * @typedef {{input: string | null, message: string, details: string}} Problem
 * @typedef {import("../core/run/jobs.js").FileRef} FileRef
 */

/** Size of a catalogue that holds the editor's own classes only. */
const EDITOR_CLASSES = readDefinitions({}).size;

export class Session {
  /**
   * @param {import("../core/doc/document.js").Document} document
   * @param {Map<string, NodeDef>} catalogue
   * @param {Session | null} [root] the session of the whole workflow, where this is one of the inside of a subgraph
   */
  constructor(document, catalogue, root = null) {
    this.document = document;
    this.catalogue = catalogue;
    /** @type {Map<string, NodeDef>} the classes that the workflow itself defines */
    this.own = new Map();
    /** @type {Session} the session of the whole workflow */
    this.root = root ?? this;
    /** @type {Session} what is on screen: this, or an inside */
    this.front = this;
    this.viewport = new Viewport();
    this.placed = false;
    /** @type {import("../core/run/jobs.js").Job | null} the newest run of this document */
    this.job = null;
    /** @type {Map<string, string>} node id to the address of a live picture; freed on close */
    this.previews = new Map();
    /** @type {Map<string, FileRef[]>} node id to the pictures it made last */
    this.pictures = new Map();
    /** @type {Map<string, Problem[]>} */
    this.problems = new Map();
    /** @type {Map<string, "added" | "changed">} nodes to point out, because another state of the graph is compared */
    this.marks = new Map();
    /** @type {Map<string, unknown>} "node:widget" to the value of the last run */
    this.ran = new Map();
    /** @type {((tx: Transaction) => void) | null} what a change inside of a subgraph means for its instances */
    this.followPorts = null;
    this.start();
    this.scene = new Scene(
      document.graph,
      (node) => this.definitionFor(node),
      (node) => this.hasMedia(node),
    );
  }

  /** Begin to follow the document; the inside of a subgraph leaves that to the whole. */
  start() {
    this.own = instanceDefinitions(this.document.graph, this.catalogue);
    this.document.settle = (tx) => {
      this.#settle(tx);
      this.followPorts?.(tx);
    };
    this.document.subscribe((_, patches) => {
      if (patches.some(redefines)) this.own = instanceDefinitions(this.document.graph, this.catalogue);
    });
  }

  /** @param {string} type @returns {NodeDef | undefined} */
  definition(type) {
    return this.own.get(type) ?? this.catalogue.get(type);
  }

  /**
   * The definition of one node: its class's, and what its links, its choices and the inside of an instance make of it.
   * @param {NodeRecord} node
   * @returns {NodeDef | undefined}
   */
  definitionFor(node) {
    return definitionOn(node, this.document.graph, (type) => this.definition(type));
  }

  /**
   * The nodes here that show fields of nodes inside, where a change is one inside of something.
   * @param {import("../core/doc/patch.js").Patch[]} patches
   * @returns {string[]} ids
   */
  showing(patches) {
    if (!patches.some(({ graph }) => graph !== undefined)) return [];
    return [...this.document.graph.nodes.values()]
      .filter((node) => node.properties?.proxyWidgets && this.hasInside(node.type))
      .map(({ id }) => String(id));
  }

  /**
   * Nodes whose sockets depend on their links and choices get those that a change asks for.
   * @param {Transaction} top
   */
  #settle(top) {
    /** @type {Map<string | undefined, Set<string>>} ids by the graphs in which they are */
    const changed = new Map();
    for (const { kind, id, graph, ...patch } of top.patches) {
      if (kind !== "node" || patch.op === "remove" || (patch.op === "set" && patch.path[0] === "pos")) continue;
      changed.set(graph, (changed.get(graph) ?? new Set()).add(id));
    }
    for (const [graph, ids] of changed) {
      const tx = graph === undefined ? top : top.within(graph);
      for (const id of ids) {
        const node = tx.graph.node(id);
        const def = node && this.definition(node.type);
        if (node && def?.inputs.some((input) => isDynamic(input.type))) conformSockets(tx, node, def);
      }
    }
  }

  /**
   * A widget's value as it is shown.
   * @param {NodeRecord} node
   * @param {import("../core/nodes/widgets.js").Widget} widget
   * @returns {unknown}
   */
  valueOf(node, widget) {
    return widgetValue(node, widget);
  }

  /**
   * Of the nodes that a run names by the way to them, those that are in here, by their own ids.
   * @param {Iterable<string>} ids such as "5" or "5:12"
   * @returns {string[]}
   */
  local(ids) {
    return [...ids];
  }

  /** The way to a node, as a run names it. @param {string} id */
  path(id) {
    return id;
  }

  /** Whether a class is known to be missing. Before the server has said what it has, none is. @param {string} type */
  missing(type) {
    return this.catalogue.size > EDITOR_CLASSES && !this.definition(type);
  }

  /** Whether a class is a graph of the workflow's own that one can look into. @param {string} type */
  hasInside(type) {
    const group = /^workflow[>/]/.test(type); // group nodes of old files have no graph
    return this.own.get(type)?.module === "subgraph" && !group;
  }

  /** Every class that can be used here. */
  get definitions() {
    return this.own.size ? new Map([...this.catalogue, ...this.own]) : this.catalogue;
  }

  /** @param {NodeRecord} node */
  hasMedia(node) {
    const def = this.definitionFor(node);
    if (def?.widgets.some((widget) => widget.kind === "upload")) return true;
    if (def?.outputNode && def.inputs.some((input) => input.type === "IMAGE")) return true;
    return Boolean(this.pictures.get(String(node.id))?.length);
  }

  /** Use a new catalogue: the server learned or forgot nodes or files. @param {Map<string, NodeDef>} catalogue */
  recatalogue(catalogue) {
    this.catalogue = catalogue;
    this.own = instanceDefinitions(this.document.graph, catalogue);
    this.scene.rebuild();
    if (this.front !== this) this.front.recatalogue(catalogue);
  }

  /**
   * @param {string} id
   * @param {Blob} picture
   */
  setPreview(id, picture) {
    this.dropPreview(id);
    this.previews.set(id, URL.createObjectURL(picture));
  }

  /** @param {string} id */
  dropPreview(id) {
    const address = this.previews.get(id);
    if (address) URL.revokeObjectURL(address);
    this.previews.delete(id);
  }

  close() {
    for (const id of [...this.previews.keys()]) this.dropPreview(id);
  }
}

/**
 * Whether a change makes another class of a subgraph: not where it only moves something.
 * @param {import("../core/doc/patch.js").Patch} patch
 */
function redefines({ kind, graph, ...patch }) {
  if (graph === undefined) return kind === "root" && patch.op === "set" && patch.path[0] === "definitions";
  if (kind === "group" || kind === "reroute") return false;
  return patch.op !== "set" || !["pos", "size", "color", "bgcolor", "flags", "state"].includes(String(patch.path[0]));
}
