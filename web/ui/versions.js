import { restoreRecord } from "../core/doc/restore.js";
import { Graph } from "../core/doc/graph.js";
import { differences } from "../core/graph/difference.js";

/**
 * Earlier states of workflows, in the browser's database: one for each save and each run that was of another graph, and
 * one every few minutes of work. They belong to the file where there is one, else to the document.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("../view/session.js").Session} Session
 * @typedef {{time: number, label: string, record: any}} Version
 */

const MOST = 60;
const EVERY_MS = 5 * 60_000;

export class Versions {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<string, string>} by document, what its newest version is without the place where one looks */
    this.newest = new Map();
    setInterval(() => {
      for (const session of app.tabs.sessions) if (session.document.dirty) this.keep(session, "Worked on");
    }, EVERY_MS);
  }

  /**
   * Keep the present state, where it is another than the newest.
   * @param {Session} session
   * @param {string} label why
   */
  async keep({ root: session }, label) {
    const { document } = session;
    const record = document.toRecord();
    const text = essence(record);
    if (this.newest.get(document.uid) === text) return;
    const before = await this.list(document);
    this.newest.set(document.uid, text);
    if (before[0] && essence(before[0].record) === text) return;
    // A run that only has another seed is in the history of runs.
    if (before[0] && label === "Ran" && onlySeeds(this.since(session, before[0]))) return;
    const { journal } = this.app;
    const time = Math.max(Date.now(), (before[0]?.time ?? 0) + 1);
    journal.keep(keyOf(document.path ?? document.uid, time), { time, label, record });
    for (const old of before.slice(MOST - 1))
      for (const owner of ownersOf(document)) journal.forget(keyOf(owner, old.time));
    this.app.panels.update("versions");
  }

  /**
   * @param {{path: string | null, uid: string}} document
   * @returns {Promise<Version[]>} newest first
   */
  async list(document) {
    const lists = await Promise.all(ownersOf(document).map((owner) => this.app.journal.keptUnder(`version:${owner}:`)));
    return lists.flat().sort((a, b) => b.time - a.time);
  }

  /**
   * What was changed since.
   * @param {Session} session
   * @param {Version} version
   */
  since({ root }, { record }) {
    const definitionOf = (/** @type {string} */ type) => root.definition(type);
    return differences(new Graph(structuredClone(record)), root.document.graph, definitionOf);
  }

  /** Make a workflow what it was; undo takes it back. @param {Session} session @param {Version} version */
  restore({ root }, { record, time }) {
    this.app.levels?.go([]);
    const name = `Go back to ${new Date(time).toLocaleTimeString()}`;
    root.document.transact(name, (tx) => restoreRecord(tx, structuredClone(record)));
    this.app.editor.show(root);
    root.scene.rebuild();
    this.app.editor.fit();
  }

  /** Look at a version in a tab of its own. @param {Session} session @param {Version} version */
  open({ root: { document } }, { record, time }) {
    this.app.tabs.open(structuredClone(record), { name: `${document.name}, ${new Date(time).toLocaleTimeString()}` });
  }
}

/** @param {{path: string | null, uid: string}} document */
function ownersOf({ path, uid }) {
  return path === null ? [uid] : [path, uid];
}

/** @param {string} owner @param {number} time */
function keyOf(owner, time) {
  return `version:${owner}:${String(time).padStart(15, "0")}`;
}

/** @param {import("../core/graph/difference.js").Differences} since */
function onlySeeds({ nodes }) {
  return nodes.every(({ kind, changes }) => kind === "changed" && changes.every(({ name }) => /seed$/.test(name)));
}

/** A record without what only says where one looked. @param {any} record */
function essence(record) {
  const { ds: _, ...extra } = record.extra ?? {};
  return JSON.stringify({ ...record, extra }, (_key, value) => (typeof value === "bigint" ? `${value}n` : value));
}
