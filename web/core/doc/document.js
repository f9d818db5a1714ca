import { Graph } from "./graph.js";
import { unusedDefinitions } from "../graph/subgraphs.js";
import { History } from "./history.js";
import { uuid } from "./ids.js";
import { applyPatch, invertAll } from "./patch.js";
import { Transaction } from "./transact.js";

/**
 * @typedef {import("./patch.js").Patch} Patch
 * @typedef {{nodes: Set<string>, links: Set<string>, groups: Set<string>, reroutes: Set<string>, root: boolean,
 *   structure: boolean, label: string, origin: "edit" | "undo" | "redo"}} ChangeSet of one graph
 * @typedef {(change: ChangeSet, patches: Patch[]) => void} Listener change: of the document's own graph; patches: of
 *   the whole workflow
 * @typedef {{key?: string | null, history?: boolean}} Options equal keys in a row become one step
 */

/** One open workflow: its graph, its history, its selection. All changes go through `transact`. */
export class Document {
  /**
   * @param {import("./schema.js").WorkflowRecord | Graph} record is kept and written to: pass a parsed file or a copy
   * @param {{uid?: string, name?: string}} [options]
   */
  constructor(record, { uid = uuid(), name = "Untitled" } = {}) {
    this.uid = uid;
    this.name = name;
    /** @type {string | null} the path in the user's workflow folder once it is saved there */
    this.path = null;
    /** @type {number | null} when that file was written, as far as is known here */
    this.stamp = null;
    this.graph = record instanceof Graph ? record : new Graph(record);
    /** Where in the workflow this is: the ids of the instances that one opens to come here, joined by ":". */
    this.place = "";
    /** @type {ReadonlySet<string>} the definitions that no node of the file used: not ours to clear away */
    this.unused = unusedDefinitions(this.graph.record);
    /** @type {Map<string, Document>} the insides that were opened, by their places */
    this.insides = new Map();
    /** @type {((place: string) => void) | null} told where the step was done that is now undone or done again */
    this.onTravel = null;
    this.history = new History();
    /** @type {Set<string>} node ids, and "group:1" and "reroute:1" for the others */
    this.selection = new Set();
    this.revision = 0;
    this.savedRevision = 0;
    /** @type {Set<Listener>} */
    this.listeners = new Set();
    /** @type {Set<() => void>} */
    this.selectionListeners = new Set();
    /** @type {Transaction | null} */
    this.open = null;
    /** @type {((tx: Transaction) => void) | null} what follows from a change, as a part of the same step */
    this.settle = null;
  }

  get dirty() {
    return this.revision !== this.savedRevision;
  }

  /**
   * Change the document. Transactions inside one join it; an exception takes back all of it.
   * @template T
   * @param {string} label what undo calls this step
   * @param {(tx: Transaction) => T} work
   * @param {Options} [options]
   * @returns {T}
   */
  transact(label, work, options) {
    return this.commit(this, label, work, options);
  }

  /**
   * @template T
   * @param {Document} view this document, or an inside of it, in which the change is made
   * @param {string} label
   * @param {(tx: Transaction) => T} work
   * @param {Options} [options]
   * @returns {T}
   */
  commit(view, label, work, { key = null, history = true } = {}) {
    if (this.open) return work(this.open);
    const before = [...view.selection];
    const tx = new Transaction(this.graph);
    this.open = tx;
    let result;
    try {
      result = work(tx);
      if (tx.patches.length) this.settle?.(tx);
    } catch (error) {
      for (const patch of invertAll(tx.patches)) applyPatch(this.graph, patch);
      throw error;
    } finally {
      this.open = null;
    }
    if (tx.patches.length === 0) return result;
    view.dropDeadSelection();
    if (history) {
      const { place } = view;
      const after = [...view.selection];
      this.history.push({ label, patches: [...tx.patches], key, time: Date.now(), before, after, place });
    }
    this.#announce(tx.patches, label, "edit");
    return result;
  }

  /** @returns {string} the label of the step undone, "" when there was none */
  undo() {
    return this.#travel(this.history.undo(), "undo");
  }

  /** @returns {string} */
  redo() {
    return this.#travel(this.history.redo(), "redo");
  }

  /**
   * Apply patches that were read from the journal, without history.
   * @param {Patch[]} patches
   */
  replay(patches) {
    for (const patch of patches) applyPatch(this.graph, patch);
    this.#announce(patches, "Restore", "edit");
  }

  /** @param {Iterable<string>} keys */
  select(keys) {
    const next = new Set(keys);
    if (next.size === this.selection.size && [...next].every((key) => this.selection.has(key))) return;
    this.selection = next;
    for (const listener of this.selectionListeners) listener();
  }

  /** The selected nodes, in the file's order. */
  selectedNodes() {
    return [...this.graph.nodes.entries()].filter(([id]) => this.selection.has(id)).map(([, node]) => node);
  }

  /** The workflow as it would be stored, as a copy. */
  toRecord() {
    return this.graph.toRecord();
  }

  markSaved() {
    this.savedRevision = this.revision;
  }

  /**
   * @param {Listener} listener
   * @returns {() => void} stops it
   */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * @param {import("./history.js").Step | null} step
   * @param {"undo" | "redo"} origin
   */
  #travel(step, origin) {
    if (!step) return "";
    this.onTravel?.(step.place);
    for (const patch of step.patches) applyPatch(this.graph, patch);
    this.#announce(step.patches, step.label, origin);
    const view = step.place ? this.insides.get(step.place) : this;
    view?.select(step.selection.filter((key) => view.#alive(key)));
    return step.label;
  }

  /** @param {string} key */
  #alive(key) {
    const [kind, id] = key.split(":");
    if (kind === "group") return this.graph.groups.has(Number(id));
    if (kind === "reroute") return this.graph.reroutes.has(Number(id));
    return this.graph.nodes.has(key);
  }

  /** Things that are gone are not selected. */
  dropDeadSelection() {
    this.select([...this.selection].filter((key) => this.#alive(key)));
  }

  /**
   * @param {Patch[]} patches
   * @param {string} label
   * @param {"edit" | "undo" | "redo"} origin
   */
  #announce(patches, label, origin) {
    this.revision += 1;
    const change = changeSet(patches, undefined, label, origin);
    for (const listener of this.listeners) listener(change, patches);
  }
}

/**
 * What patches change in one graph.
 * @param {Patch[]} patches
 * @param {string | undefined} graph the id of a definition, undefined for the top
 * @param {string} label
 * @param {"edit" | "undo" | "redo"} origin
 * @returns {ChangeSet}
 */
export function changeSet(patches, graph, label, origin) {
  /** @type {ChangeSet} */
  const change = {
    nodes: new Set(),
    links: new Set(),
    groups: new Set(),
    reroutes: new Set(),
    root: false,
    structure: false,
    label,
    origin,
  };
  for (const patch of patches) {
    if (patch.graph !== graph) continue;
    if (patch.op !== "set") change.structure = true;
    if (patch.kind === "root") change.root = true;
    else change[/** @type {"nodes"} */ (`${patch.kind}s`)].add(patch.id);
  }
  return change;
}
