import { Document } from "../core/doc/document.js";
import { fill, h, icon, iconButton } from "../view/dom.js";
import { Session } from "../view/session.js";

const FRONT = "latent-loom.front";

/** Open documents. All are alive at once; showing another one changes a pointer and nothing else. */
export class Tabs {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Session[]} */
    this.sessions = [];
    /** @type {Session | null} */
    this.current = null;
    this.root = app.shell.tabs;
    // The list owns the tabs by name, because beside each stands a button that closes it, and that is no tab.
    this.list = h("span", { role: "tablist", "aria-label": "Open workflows" });
    this.root.addEventListener("keydown", (event) => this.#keys(event));
  }

  /** Bring back what was open; the default graph on the first visit. */
  async restore() {
    const restored = await this.app.journal.restore();
    for (const { document, view } of restored) {
      const session = this.#tryAdd(document);
      if (!session) continue;
      await this.#return(session, view);
    }
    const front = this.sessions.find((session) => session.document.uid === sessionStorage.getItem(FRONT));
    if (this.sessions.length) this.show(front ?? this.sessions[0]);
    else await this.openDefault();
  }

  /**
   * Look where one looked, in the subgraph that was open, as far as it is still there.
   * @param {Session} session
   * @param {import("./journal.js").Kept | null} view
   */
  async #return(session, view) {
    session.placed = Boolean(view);
    if (!view) return;
    const { scale, offset } = view;
    Object.assign(session.viewport, { scale, offset });
    if (!view.place) return;
    const { levelsTo } = await import("../view/level.js"); // few begin inside, and the graph is drawn sooner without
    const ids = view.place.split(":");
    const levels = levelsTo(session, ids);
    const front = levels[levels.length - 1];
    session.front = front;
    if (levels.length <= ids.length || !view.inside) return;
    Object.assign(front.viewport, view.inside);
    front.placed = true;
  }

  async openDefault() {
    const response = await fetch(new URL("../templates/default.json", import.meta.url));
    const session = this.open(await response.json(), { name: "First picture" });
    session.document.markSaved();
    this.draw();
  }

  /**
   * @param {any} record
   * @param {{name?: string, path?: string | null}} [options]
   * @returns {Session}
   */
  open(record, { name = "Untitled", path = null } = {}) {
    const document = new Document(record, { name });
    document.path = path;
    const session = this.#tryAdd(document);
    if (!session) return this.current ?? this.openBlank();
    this.show(session);
    return session;
  }

  /** @returns {Session} */
  openBlank() {
    return this.open(
      { last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], config: {}, extra: {}, version: 0.4 },
      { name: this.#freeName("Untitled") },
    );
  }

  /** @param {Session} session */
  show(session) {
    this.current = session;
    sessionStorage.setItem(FRONT, session.document.uid);
    this.app.editor.show(session.front);
    this.app.levels?.draw();
    this.app.shell.problem(session, "", []);
    this.draw();
    this.app.shell.update();
    for (const panel of ["outline", "versions"]) this.app.panels.update(panel);
  }

  /** @param {Session} session */
  async close(session) {
    const at = this.sessions.indexOf(session);
    this.sessions.splice(at, 1);
    session.close();
    await this.app.journal.close(session.document.uid);
    if (session.document.dirty) {
      this.app.toasts.show(`${session.document.name} was closed unsaved.`, {
        action: { label: "Reopen", run: () => this.reopen() },
      });
    }
    if (!this.sessions.length) this.openBlank();
    else if (session === this.current) this.show(this.sessions[Math.min(at, this.sessions.length - 1)]);
    this.draw();
  }

  /**
   * Bring a closed document back, the last one where none is named.
   * @param {import("./journal.js").Entry} [closed]
   */
  async reopen(closed) {
    const entry = closed ?? (await this.app.journal.closed())[0];
    if (!entry) return;
    const session = this.open(entry.record, { name: entry.name, path: entry.path });
    await this.#return(session, await this.app.journal.lastView(entry.uid));
    session.document.revision += 1;
    this.show(session);
  }

  draw() {
    this.list.setAttribute("aria-owns", this.sessions.map(tabId).join(" "));
    fill(
      this.root,
      this.list,
      ...this.sessions.map((session) => this.#tab(session)),
      iconButton("plus", "New workflow", () => this.openBlank(), { class: "tab-new" }),
    );
    this.entitle(0);
  }

  /** Name the window. @param {number} part how much of a run is done, 0 to 1 */
  entitle(part) {
    const { current } = this;
    if (!current) return;
    const done = part > 0 ? `${Math.round(100 * part)} % · ` : "";
    document.title = `${done}${current.document.dirty ? "• " : ""}${current.document.name} – Latent Loom`;
  }

  /** @param {Session} session */
  #tab(session) {
    const { document: doc } = session;
    const front = session === this.current;
    const close = h(
      "button",
      {
        type: "button",
        class: "tab-close",
        tabindex: -1,
        "aria-label": `Close ${doc.name}`,
        on: { click: () => this.close(session) },
      },
      icon("close"),
    );
    const tab = h(
      "button",
      {
        type: "button",
        class: "tab-button",
        id: tabId(session),
        role: "tab",
        tabindex: front ? 0 : -1,
        "aria-selected": String(front),
        title: doc.path ?? `${doc.name} (not saved to a file yet)`,
        on: { click: () => this.show(session) },
      },
      doc.dirty ? h("span", { class: "tab-dirty", role: "img", "aria-label": "has changes" }) : null,
      h("span", { class: "tab-name" }, doc.name),
    );
    const middle = (/** @type {MouseEvent} */ event) => (event.button === 1 ? this.close(session) : undefined);
    return h("div", { class: `tab${front ? " front" : ""}`, on: { auxclick: middle } }, tab, close);
  }

  /**
   * A document that cannot be shown must not keep the others from being shown.
   * @param {Document} document
   */
  #tryAdd(document) {
    try {
      return this.#add(document);
    } catch (error) {
      this.app.toasts.show(`${document.name} could not be opened: ${/** @type {Error} */ (error).message}`, {
        tone: "bad",
        stay: true,
      });
      return null;
    }
  }

  /** @param {Document} document */
  #add(document) {
    const session = new Session(document, this.app.definitions);
    this.sessions.push(session);
    this.app.journal.watch(session);
    let dirty = document.dirty;
    document.onTravel = (place) => this.app.levels?.travel(session, place);
    document.subscribe(() => {
      if (document.dirty !== dirty) this.draw();
      dirty = document.dirty;
      if (session === this.current) this.app.shell.edited();
    });
    return session;
  }

  /** @param {KeyboardEvent} event */
  #keys(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && this.current) {
      const { length } = this.sessions;
      this.show(this.sessions[(this.sessions.indexOf(this.current) + step + length) % length]);
      /** @type {HTMLElement | null} */ (this.root.querySelector(".front .tab-button"))?.focus();
    } else if (event.key === "Delete" && this.current) {
      this.close(this.current);
    }
  }

  /** @param {string} name */
  #freeName(name) {
    const taken = new Set(this.sessions.map((session) => session.document.name));
    let count = 1;
    while (taken.has(count === 1 ? name : `${name} ${count}`)) count += 1;
    return count === 1 ? name : `${name} ${count}`;
  }
}

/** @param {Session} session */
function tabId(session) {
  return `tab-${session.document.uid}`;
}
