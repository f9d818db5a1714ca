import { Graph } from "./graph.js";
import { History } from "./history.js";
import { uuid } from "./ids.js";
import { applyPatch, invertAll } from "./patch.js";
import { Transaction } from "./transact.js";

/**
 * @typedef {import("./patch.js").Patch} Patch
 * @typedef {{nodes: Set<string>, links: Set<string>, groups: Set<string>, reroutes: Set<string>, root: boolean,
 *   structure: boolean, label: string, origin: "edit" | "undo" | "redo"}} ChangeSet
 * @typedef {(change: ChangeSet, patches: Patch[]) => void} Listener
 */

/** One open workflow: its graph, its history, its selection. All changes go through `transact`. */
export class Document {
  /**
   * @param {import("./schema.js").WorkflowRecord} record is kept and written to: pass a parsed file or a copy
   * @param {{uid?: string, name?: string}} [options]
   */
  constructor(record, { uid = uuid(), name = "Untitled" } = {}) {
    this.uid = uid;
    this.name = name;
    /** @type {string | null} the path in the user's workflow folder once it is saved there */
    this.path = null;
    /** @type {number | null} when that file was written, as far as is known here */
    this.stamp = null;
    this.graph = new Graph(record);
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
   * @param {{key?: string | null, history?: boolean}} [options] equal keys in a row become one step
   * @returns {T}
   */
  transact(label, work, { key = null, history = true } = {}) {
    if (this.open) return work(this.open);
    const before = [...this.selection];
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
    this.#dropDeadSelection();
    if (history) {
      const entry = { label, patches: [...tx.patches], key, time: Date.now(), before, after: [...this.selection] };
      this.history.push(entry);
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
   * @param {{label: string, patches: Patch[], selection: string[]} | null} step
   * @param {"undo" | "redo"} origin
   */
  #travel(step, origin) {
    if (!step) return "";
    for (const patch of step.patches) applyPatch(this.graph, patch);
    this.#announce(step.patches, step.label, origin);
    this.select(step.selection.filter((key) => this.#alive(key)));
    return step.label;
  }

  /** @param {string} key */
  #alive(key) {
    const [kind, id] = key.split(":");
    if (kind === "group") return this.graph.groups.has(Number(id));
    if (kind === "reroute") return this.graph.reroutes.has(Number(id));
    return this.graph.nodes.has(key);
  }

  #dropDeadSelection() {
    this.select([...this.selection].filter((key) => this.#alive(key)));
  }

  /**
   * @param {Patch[]} patches
   * @param {string} label
   * @param {"edit" | "undo" | "redo"} origin
   */
  #announce(patches, label, origin) {
    this.revision += 1;
    const change = changeSet(patches, label, origin);
    for (const listener of this.listeners) listener(change, patches);
  }
}

/**
 * @param {Patch[]} patches
 * @param {string} label
 * @param {"edit" | "undo" | "redo"} origin
 * @returns {ChangeSet}
 */
function changeSet(patches, label, origin) {
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
    if (patch.op !== "set") change.structure = true;
    if (patch.kind === "root") change.root = true;
    else change[/** @type {"nodes"} */ (`${patch.kind}s`)].add(patch.id);
  }
  return change;
}
