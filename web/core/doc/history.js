import { ABSENT, invertAll } from "./patch.js";

/**
 * @typedef {import("./patch.js").Patch} Patch
 * @typedef {{label: string, patches: Patch[], key: string | null, time: number, before: string[], after: string[],
 *   place: string}} Entry place: where it was done: the ids of the instances that one had opened, "" at the top
 * @typedef {{label: string, patches: Patch[], selection: string[], place: string}} Step
 */

const COALESCE_MS = 800;
const LIMIT = 20_000;

/**
 * Two lists of changes as one. Where the second sets just what the first set, as each move of a drag does, the first's
 * old values and the second's new ones are all that is needed.
 * @param {Patch[]} first
 * @param {Patch[]} second
 * @returns {Patch[]}
 */
export function joined(first, second) {
  const same =
    first.length === second.length &&
    first.every((patch, index) => {
      const other = second[index];
      return (
        patch.op === "set" &&
        other.op === "set" &&
        patch.value !== ABSENT &&
        other.value !== ABSENT &&
        patch.kind === other.kind &&
        patch.graph === other.graph &&
        patch.id === other.id &&
        patch.path.join("\u0000") === other.path.join("\u0000")
      );
    });
  if (!same) return [...first, ...second];
  return first.map((patch, index) => ({ ...patch, value: /** @type {any} */ (second[index]).value }));
}

/** The undo and redo stacks of one document. Holds patches, never copies of the document. */
export class History {
  constructor() {
    /** @type {Entry[]} */
    this.done = [];
    /** @type {Entry[]} */
    this.undone = [];
  }

  /**
   * Note a step. A step with the same key shortly after the last one joins it, so that a drag or a word is one step.
   * @param {Entry} entry
   */
  push(entry) {
    this.undone.length = 0;
    const last = this.done[this.done.length - 1];
    const joins = last && entry.key !== null && last.key === entry.key && last.place === entry.place;
    if (joins && entry.time - last.time < COALESCE_MS) {
      last.patches = joined(last.patches, entry.patches);
      last.time = entry.time;
      last.after = entry.after;
      return;
    }
    this.done.push(entry);
    if (this.done.length > LIMIT) this.done.shift();
  }

  /** Close the open step: the next one starts anew even with the same key. */
  seal() {
    const last = this.done[this.done.length - 1];
    if (last) last.key = null;
  }

  /** @returns {Step | null} what to apply to go one step back */
  undo() {
    const entry = this.done.pop();
    if (!entry) return null;
    this.undone.push(entry);
    return { label: entry.label, patches: invertAll(entry.patches), selection: entry.before, place: entry.place };
  }

  /** @returns {Step | null} */
  redo() {
    const entry = this.undone.pop();
    if (!entry) return null;
    entry.key = null;
    this.done.push(entry);
    return { label: entry.label, patches: entry.patches, selection: entry.after, place: entry.place };
  }

  get undoLabel() {
    return this.done[this.done.length - 1]?.label ?? "";
  }

  get redoLabel() {
    return this.undone[this.undone.length - 1]?.label ?? "";
  }
}
