import { Claims } from "../core/doc/claims.js";
import { Document } from "../core/doc/document.js";
import { joined } from "../core/doc/history.js";
import { uuid } from "../core/doc/ids.js";

/**
 * @typedef {{session: import("../view/session.js").Session, since: number, sequence: number, timer: number,
 *   pending: import("../core/doc/patch.js").Patch[], writing: number}} Watched pending: changes of the last moment
 */

/**
 * Open documents in the browser's database, change by change: a crash, a closed window or a power cut loses nothing.
 * A document belongs to one window at a time.
 *
 * @typedef {{uid: string, name: string, path: string | null, stamp?: number | null, record: any, sequence: number, time: number, open: boolean,
 *   dirty: boolean, place: number}} Entry
 * @typedef {{scale: number, offset: [number, number]}} View
 * @typedef {View & {place?: string, inside?: View}} Kept where one was: place: the way to the subgraph that was open;
 *   inside: the view there
 */

const NAME = "latent-loom";
const SNAPSHOT_AFTER = 200;
const SNAPSHOT_MS = 30000;
const CLOSED_KEPT = 20;
const VIEW_MS = 300;
const WRITE_MS = 50;

export class Journal {
  constructor() {
    /** @type {IDBDatabase | null} */
    this.database = null;
    /** @type {Map<string, Watched>} */
    this.watched = new Map();
    this.viewTimer = 0;
    const openChannel =
      "BroadcastChannel" in window ? (/** @type {string} */ name) => new BroadcastChannel(name) : undefined;
    this.claims = new Claims(/** @type {any} */ (navigator.locks), openChannel, uuid());
    /** @type {(text: string) => void} told once when changes can no longer be written down */
    this.onFailure = () => {};
    this.failed = false;
  }

  /**
   * A page that is being reloaded may hold its names for a moment longer.
   * @param {string} name
   */
  async #claimSoon(name) {
    for (const wait of [0, 80, 200, 400]) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (await this.claims.claim(name)) return true;
    }
    return false;
  }

  /** @param {IDBTransaction} transaction @returns {IDBTransaction} */
  #watched(transaction) {
    transaction.addEventListener("abort", () => {
      if (this.failed) return;
      this.failed = true;
      const reason = transaction.error?.name === "QuotaExceededError" ? "its storage is full" : "it refused to";
      this.onFailure(`The browser no longer keeps unsaved changes: ${reason}. Save your workflows as files.`);
    });
    return transaction;
  }

  /** @returns {Promise<void>} resolves without a database where the browser gives none */
  async open() {
    this.database = await new Promise((resolve) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("documents", { keyPath: "uid" });
        request.result.createObjectStore("patches", { keyPath: ["uid", "sequence"] });
        request.result.createObjectStore("kept", { keyPath: "key" });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
      request.onblocked = () => resolve(null);
    }).catch(() => null);
  }

  /** @returns {Promise<{document: Document, view: Kept | null}[]>} what was open and is not open in another window */
  async restore() {
    /** @type {Entry[]} */
    const entries = await this.#all("documents");
    const restored = [];
    for (const entry of entries.filter(({ open }) => open).sort((a, b) => a.place - b.place)) {
      if (!(await this.#claimSoon(entry.uid))) continue;
      restored.push({
        document: await this.#rebuild(entry).catch(
          () => new Document(entry.record, { uid: entry.uid, name: entry.name }),
        ),
        view: await this.lastView(entry.uid),
      });
    }
    return restored;
  }

  /** @returns {Promise<Entry[]>} documents closed lately, newest first */
  async closed() {
    const entries = await this.#all("documents");
    return entries
      .filter((/** @type {Entry} */ entry) => !entry.open)
      .sort((/** @type {Entry} */ a, /** @type {Entry} */ b) => b.time - a.time);
  }

  /**
   * Write down a document and all its changes from now on.
   * @param {import("../view/session.js").Session} session
   */
  watch(session) {
    const { document } = session;
    this.claims.claim(document.uid);
    // Starts above every number of an earlier watch, so that no old change is ever replayed on a newer snapshot.
    /** @type {Watched} */
    const state = { session, since: 0, sequence: Date.now(), timer: 0, pending: [], writing: 0 };
    this.watched.set(document.uid, state);
    document.subscribe((_, patches) => {
      // A drag makes many changes in a moment; they are written as one.
      state.pending = joined(state.pending, patches);
      state.writing ||= window.setTimeout(() => this.#write(state), WRITE_MS);
      state.since += 1;
      if (state.since >= SNAPSHOT_AFTER) this.snapshot(document.uid);
      else if (!state.timer) state.timer = window.setTimeout(() => this.snapshot(document.uid), SNAPSHOT_MS);
    });
    this.snapshot(document.uid);
  }

  /** @param {Watched} state */
  #write(state) {
    state.writing = 0;
    const { pending: patches } = state;
    state.pending = [];
    if (!patches.length) return;
    state.sequence += 1;
    this.#put("patches", { uid: state.session.document.uid, sequence: state.sequence, patches });
  }

  /** @param {string} uid @param {boolean} [open] */
  snapshot(uid, open = true) {
    const state = this.watched.get(uid);
    if (!state || !this.database) return;
    clearTimeout(state.timer);
    clearTimeout(state.writing);
    Object.assign(state, { timer: 0, since: 0, writing: 0, pending: [] });
    const { document } = state.session;
    const transaction = this.#watched(this.database.transaction(["documents", "patches"], "readwrite"));
    /** @type {Entry} */
    const entry = {
      uid,
      name: document.name,
      path: document.path,
      stamp: document.stamp,
      record: document.toRecord(),
      sequence: state.sequence,
      time: Date.now(),
      open,
      dirty: document.dirty,
      place: [...this.watched.keys()].indexOf(uid),
    };
    transaction.objectStore("documents").put(entry);
    transaction.objectStore("patches").delete(IDBKeyRange.bound([uid, 0], [uid, state.sequence]));
  }

  /** All of them, because the window may be about to go. */
  snapshotAll() {
    for (const [uid, { session }] of this.watched) {
      this.snapshot(uid);
      this.#keepView(session);
    }
  }

  /** The view moved: note it soon. @param {import("../view/session.js").Session} session */
  viewed(session) {
    clearTimeout(this.viewTimer);
    this.viewTimer = window.setTimeout(() => this.#keepView(session), VIEW_MS);
  }

  /** @param {import("../view/session.js").Session} session */
  #keepView({ document, viewport, placed, front }) {
    if (!placed || !this.watched.has(document.uid)) return;
    const { place } = front.document;
    const view = ({ scale, offset } = viewport) => ({ scale, offset: [...offset] });
    this.keep(`view:${document.uid}`, { ...view(), ...(place ? { place, inside: view(front.viewport) } : {}) });
  }

  /** Where one was in a document. @param {string} uid @returns {Promise<Kept | null>} */
  lastView(uid) {
    return this.kept(`view:${uid}`);
  }

  /** @param {string} uid */
  async close(uid) {
    this.snapshot(uid, false);
    this.watched.delete(uid);
    for (const old of (await this.closed()).slice(CLOSED_KEPT)) {
      this.#delete("documents", old.uid);
      this.#delete("kept", `view:${old.uid}`);
      this.#delete("kept", under(`version:${old.uid}:`));
    }
  }

  /** @param {string} key @param {unknown} value */
  keep(key, value) {
    this.#put("kept", { key, value });
  }

  /** @param {string} key @returns {Promise<any>} */
  async kept(key) {
    const { database } = this;
    if (!database) return null;
    const found = await done(database.transaction("kept").objectStore("kept").get(key));
    return found?.value ?? null;
  }

  /** @param {string} prefix @returns {Promise<any[]>} all that is kept under keys that begin so */
  async keptUnder(prefix) {
    const { database } = this;
    if (!database) return [];
    const found = await done(database.transaction("kept").objectStore("kept").getAll(under(prefix)));
    return (found ?? []).map((/** @type {{value: unknown}} */ { value }) => value);
  }

  /** @param {string} key of what is no longer kept */
  forget(key) {
    this.#delete("kept", key);
  }

  /** @param {Entry} entry */
  async #rebuild(entry) {
    const document = new Document(entry.record, { uid: entry.uid, name: entry.name });
    document.path = entry.path;
    document.stamp = entry.stamp ?? null;
    const range = IDBKeyRange.bound([entry.uid, entry.sequence + 1], [entry.uid, Infinity]);
    const database = /** @type {IDBDatabase} */ (this.database);
    const later = await done(database.transaction("patches").objectStore("patches").getAll(range));
    for (const { patches } of later ?? []) document.replay(patches);
    if (entry.dirty || later?.length) document.revision += 1;
    else document.markSaved();
    return document;
  }

  /** @param {string} store @returns {Promise<any[]>} */
  async #all(store) {
    return this.database ? ((await done(this.database.transaction(store).objectStore(store).getAll())) ?? []) : [];
  }

  /** @param {string} store @param {unknown} value */
  #put(store, value) {
    if (this.database) this.#watched(this.database.transaction(store, "readwrite")).objectStore(store).put(value);
  }

  /** @param {string} store @param {IDBValidKey | IDBKeyRange} key */
  #delete(store, key) {
    this.database?.transaction(store, "readwrite").objectStore(store).delete(key);
  }
}

/** @param {string} prefix @returns {IDBKeyRange} all keys that begin so */
function under(prefix) {
  return IDBKeyRange.bound(prefix, `${prefix}\uffff`);
}

/**
 * @param {IDBRequest} request
 * @returns {Promise<any>} undefined where it failed
 */
function done(request) {
  return new Promise((resolve) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(undefined);
  });
}
