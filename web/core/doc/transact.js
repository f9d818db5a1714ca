import { faceOf } from "../graph/subgraphs.js";
import { ABSENT, applyPatch, collection, follower, keyBehind, keyOf, recordOf, valueAt } from "./patch.js";

/** @typedef {import("./patch.js").Patch} Patch */
/** @typedef {import("../graph/subgraphs.js").Face} Face */
/** @typedef {import("./schema.js").Kind} Kind */

/** The only thing that writes to a graph; it notes an invertible patch for every change. */
export class Transaction {
  /**
   * @param {import("./graph.js").Graph} graph
   * @param {{top: Transaction, id: string} | null} [place] where this is the part of another transaction that is inside
   *   of a definition
   */
  constructor(graph, place = null) {
    this.graph = graph;
    /** @type {Transaction} the whole, at the top of the workflow */
    this.top = place?.top ?? this;
    this.id = place?.id;
    /** @type {Patch[]} of all graphs, in their order */
    this.patches = place?.top.patches ?? [];
    /** @type {Map<string, Transaction>} the parts inside of definitions, by their ids */
    this.parts = place?.top.parts ?? new Map();
    /** @type {Map<string, Face>} what the definitions that are being changed were like before */
    this.faces = place?.top.faces ?? new Map();
  }

  /**
   * The part of this transaction that is inside of a definition.
   * @param {string} id
   * @returns {Transaction}
   */
  within(id) {
    const present = this.parts.get(id);
    if (present) return present;
    const graph = this.graph.subgraphs.get(id);
    if (!graph) throw new RangeError(`no subgraph ${id} in the document`);
    const part = new Transaction(graph, { top: this.top, id });
    this.parts.set(id, part);
    this.faces.set(id, faceOf(graph));
    return part;
  }

  /**
   * Put a value at a path inside a record; missing objects on the way are made. Equal values make no patch.
   * @param {Kind} kind
   * @param {unknown} id
   * @param {(string | number)[]} path
   * @param {unknown} value undefined takes the key away
   */
  set(kind, id, path, value) {
    const record = recordOf(this.graph, kind, String(id));
    if (!record) throw new RangeError(`no ${kind} ${id} in the document`);
    for (let depth = 1; depth < path.length; depth += 1) {
      const at = valueAt(record, path.slice(0, depth));
      if (at === ABSENT || at === null) {
        this.#do({
          op: "set",
          kind,
          id: String(id),
          path: path.slice(0, depth),
          value: typeof path[depth] === "number" ? [] : {},
          old: at,
        });
      }
    }
    const holder = valueAt(record, path.slice(0, -1));
    const last = path[path.length - 1];
    // One by one, so that undo takes the list back to its old length.
    for (let at = Array.isArray(holder) ? holder.length : Infinity; at < Number(last); at += 1)
      this.#do({ op: "set", kind, id: String(id), path: [...path.slice(0, -1), at], value: null, old: ABSENT });
    const old = valueAt(record, path);
    const next = value === undefined ? ABSENT : value;
    if (Object.is(old, next)) return;
    /** @type {import("./patch.js").SetPatch} */
    const patch = { op: "set", kind, id: String(id), path, value: next, old };
    if (next === ABSENT) patch.next = keyBehind(record, path);
    this.#do(patch);
  }

  /**
   * @param {Kind} kind
   * @param {unknown} id
   * @param {any} record
   */
  insert(kind, id, record) {
    this.#do({ op: "insert", kind, id: String(id), record, before: null });
  }

  /**
   * @param {Kind} kind
   * @param {unknown} id
   */
  remove(kind, id) {
    const records = collection(this.graph, kind);
    const key = keyOf(kind, String(id));
    if (!records.has(key)) return;
    this.#do({ op: "remove", kind, id: String(id), record: records.get(key), before: follower(records, key) });
  }

  /** @param {Patch} patch */
  #do(patch) {
    if (this.id !== undefined) patch.graph = this.id;
    applyPatch(this.graph.root, patch);
    this.patches.push(patch);
  }
}
