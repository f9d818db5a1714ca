import { changeSet, Document } from "./document.js";

/**
 * The inside of a subgraph as a document of its own: what is done here is a step of the workflow's history, and shows
 * in every instance of the definition. It has its own selection.
 */
class InnerDocument extends Document {
  /**
   * @param {Document} outer the workflow
   * @param {string} place
   * @param {string} id the definition
   * @param {import("./graph.js").Graph} graph its inside
   */
  constructor(outer, place, id, graph) {
    super(graph, { uid: outer.uid, name: outer.name });
    this.outer = outer;
    this.place = place;
    this.id = id;
    this.history = outer.history;
  }

  /**
   * @override
   * @template T
   * @param {string} label
   * @param {(tx: import("./transact.js").Transaction) => T} work
   * @param {import("./document.js").Options} [options]
   * @returns {T}
   */
  transact(label, work, options) {
    return this.outer.commit(this, label, (tx) => work(tx.top.within(this.id)), options);
  }

  /** @override */
  undo() {
    return this.outer.undo();
  }

  /** @override */
  redo() {
    return this.outer.redo();
  }

  /**
   * @override
   * @param {import("./document.js").Listener} listener is told what changed in here; of changes elsewhere, nothing
   * @returns {() => void}
   */
  subscribe(listener) {
    return this.outer.subscribe(({ label, origin }, patches) => {
      if (!patches.some(({ graph }) => graph === this.id)) return;
      this.revision = this.outer.revision;
      listener(changeSet(patches, this.id, label, origin), patches);
    });
  }
}

/**
 * What one sees who opens instances, one in another.
 * @param {Document} document a workflow
 * @param {string[]} ids of the instances, the outermost first
 * @returns {InnerDocument | null} null where they are no instances of subgraphs
 */
export function insideOf(document, ids) {
  let { graph } = document;
  let type = "";
  for (const id of ids) {
    type = String(graph.node(id)?.type);
    const inner = document.graph.subgraphs.get(type);
    if (!inner) return null;
    graph = inner;
  }
  const place = ids.join(":");
  const present = /** @type {InnerDocument | undefined} */ (document.insides.get(place));
  if (present?.graph === graph && present.id === type) return present;
  const made = new InnerDocument(document, place, type, graph);
  document.insides.set(place, made);
  return made;
}
