import { titleOf } from "../../core/graph/nodes.js";
import { duration } from "../../core/run/eta.js";
import { h, icon, iconButton } from "../../view/dom.js";
import { askChoice } from "../dialogs.js";
import { factsOfEntry, factsOfItem, subtitle } from "./job_facts.js";
import { reorderable } from "./reorder.js";

/**
 * What runs, what waits, what has run. Everything comes from the server, so that all windows show the same, and a
 * reload or a cut connection loses nothing from sight.
 *
 * @typedef {import("../app.js").App} App
 * @typedef {import("./job_facts.js").JobFacts} JobFacts
 */

const PAGE = 40;
const SEARCHED = 500;
const SETTLED_MS = 500;

/** @param {App} app */
export function makePanel(app) {
  return new QueuePanel(app);
}

class QueuePanel {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<string, JobFacts>} of ended jobs; what has ended does not change */
    this.ended = new Map();
    /** @type {Map<string, {root: HTMLElement, shown: string}>} */
    this.rows = new Map();
    /** @type {JobFacts[]} */
    this.pending = [];
    this.limit = PAGE;
    this.asked = 0;
    this.later = 0;
    this.pause = iconButton("pause", "Pause the queue", () => this.#post(app.runner?.paused ? "resume" : "pause"), {
      "aria-pressed": "false",
    });
    this.clear = iconButton("clear", "Cancel all that waits", () => this.#send("/queue", { clear: true }));
    this.held = h(
      "p",
      { class: "held", role: "status", hidden: true },
      h("span", {}, "Paused. What waits is held back."),
      h("button", { type: "button", class: "link", on: { click: () => this.#post("resume") } }, "Resume"),
    );
    this.waiting = h("ol", { class: "panel-list jobs", "aria-label": "Running and waiting" });
    this.idle = h("p", { class: "panel-none" }, "Nothing runs or waits.");
    this.search = h("input", {
      type: "search",
      class: "panel-search",
      placeholder: "Search by words, seed, file or error",
      "aria-label": "Search the history",
      on: { input: () => this.update() },
    });
    this.past = h("ol", { class: "panel-list jobs", "aria-label": "History" });
    this.none = h("p", { class: "panel-none" });
    this.older = h(
      "button",
      { type: "button", class: "button", hidden: true, on: { click: () => this.#more() } },
      "Show older runs",
    );
    reorderable(this.waiting, (id, index) => this.#move(id, index));
    this.root = h(
      "div",
      { class: "panel-body" },
      h("div", { class: "panel-title" }, h("h3", {}, "Queue"), h("span", {}, this.pause, this.clear)),
      this.held,
      this.waiting,
      this.idle,
      h(
        "div",
        { class: "panel-title" },
        h("h3", {}, "History"),
        iconButton("trash", "Forget the history (pictures stay)", () => this.#forgetAll()),
      ),
      this.search,
      this.past,
      this.none,
      this.older,
    );
  }

  /** Look now, and once more: the message that a run has ended can be quicker than the history that tells of it. */
  update() {
    window.clearTimeout(this.later);
    this.later = window.setTimeout(() => this.#look(), SETTLED_MS);
    return this.#look();
  }

  /** Ask the server again, and draw what is new. Keeps what it shows while there is no answer. */
  async #look() {
    this.asked += 1;
    const mine = this.asked;
    const { server } = this.app;
    const most = this.search.value.trim() ? SEARCHED : this.limit;
    try {
      const [queue, listing] = await Promise.all([
        server.get("/queue"),
        server.get(`/jobs?status=completed,failed,cancelled&limit=${most}`),
      ]);
      await this.#learn(listing.jobs.map((/** @type {any} */ job) => job.id));
      if (mine === this.asked && !("dragging" in this.waiting.dataset)) this.#draw(queue, listing);
    } catch {
      // the bar says that there is no connection; the list stays as it was
    }
  }

  /** A run of this window went on. */
  progress() {
    for (const row of this.waiting.querySelectorAll(".job.running")) {
      const id = /** @type {HTMLElement} */ (row).dataset.key ?? "";
      const { words, part } = this.#pace(id);
      const [bar, text] = [row.querySelector("progress"), row.querySelector(".job-words")];
      if (bar && part !== null) bar.value = part;
      if (text && words) text.textContent = words;
    }
  }

  /** Fetch what is not yet known of ended jobs. @param {string[]} ids */
  async #learn(ids) {
    const { server } = this.app;
    const unknown = ids.filter((id) => !this.ended.has(id));
    const answers =
      unknown.length > 6
        ? [await server.get(`/history?max_items=${ids.length}`)]
        : await Promise.all(unknown.map((id) => server.get(`/history/${encodeURIComponent(id)}`)));
    for (const answer of answers)
      for (const [id, entry] of Object.entries(answer)) this.ended.set(id, factsOfEntry(id, entry));
  }

  /** @param {any} queue @param {any} listing */
  #draw(queue, listing) {
    const { runner } = this.app;
    if (runner) runner.paused = Boolean(queue.paused);
    const paused = Boolean(queue.paused);
    this.pending = queue.queue_pending.map((/** @type {any[]} */ item) => factsOfItem(item, "waiting"));
    const live = [
      ...queue.queue_running.map((/** @type {any[]} */ item) => factsOfItem(item, "running")),
      ...this.pending,
    ];
    const query = this.search.value.trim().toLowerCase();
    const past = listing.jobs
      .map((/** @type {any} */ job) => this.ended.get(job.id))
      .filter((/** @type {JobFacts | undefined} */ facts) => facts && (!query || facts.found.includes(query)));
    this.pause.setAttribute("aria-pressed", String(paused));
    this.pause.replaceChildren(icon(paused ? "play" : "pause"));
    this.pause.title = paused ? "Let the queue go on" : "Pause the queue";
    this.pause.setAttribute("aria-label", this.pause.title);
    this.clear.toggleAttribute("disabled", !this.pending.length);
    this.held.hidden = !paused;
    this.idle.hidden = live.length > 0;
    this.#list(this.waiting, live, (facts) => this.#liveRow(facts));
    this.#list(this.past, past, (facts) => this.#pastRow(facts));
    this.none.hidden = past.length > 0;
    this.none.textContent = query ? "No run matches." : "Nothing has run yet. Ctrl+Enter runs the graph.";
    this.older.hidden = !listing.pagination.has_more || Boolean(query);
    this.progress();
  }

  /**
   * Bring the rows of a list in line; rows that stay are kept, and with them the focus.
   * @param {HTMLElement} list
   * @param {JobFacts[]} all
   * @param {(facts: JobFacts) => HTMLElement} make
   */
  #list(list, all, make) {
    const wanted = all.map((facts) => {
      const shown = JSON.stringify([facts.standing, facts.title, facts.error, this.#name(facts)]);
      const present = this.rows.get(facts.id);
      if (present?.shown === shown) return present.root;
      const root = make(facts);
      this.rows.set(facts.id, { root, shown });
      return root;
    });
    const kept = new Set(wanted);
    for (const row of [...list.children]) if (!kept.has(/** @type {HTMLElement} */ (row))) row.remove();
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    for (const [index, row] of wanted.entries()) {
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    }
    if (focused && list.contains(focused)) focused.focus({ preventScroll: true });
  }

  /** @param {JobFacts} facts */
  #liveRow(facts) {
    const running = facts.standing === "running";
    const handle = iconButton("grip", `Move “${facts.title}” in the queue: arrow keys, or drag`, () => {}, {
      class: "job-handle",
      "data-handle": "",
    });
    const stop = () => this.#send(`/jobs/${encodeURIComponent(facts.id)}/cancel`, {});
    return h(
      "li",
      { class: `job ${facts.standing}`, data: { key: facts.id } },
      running ? h("span", { class: "job-light" }) : handle,
      h(
        "div",
        { class: "job-text" },
        h("span", { class: "row-title", title: facts.title }, facts.title),
        h("span", { class: "job-words" }, subtitle(facts, this.#name(facts))),
        running ? h("progress", { max: 1, value: 0, "aria-label": `Progress of ${facts.title}` }) : null,
      ),
      h(
        "span",
        { class: "job-actions" },
        iconButton("close", running ? `Cancel ${facts.title}` : `Take back ${facts.title}`, stop),
      ),
    );
  }

  /** @param {JobFacts} facts */
  #pastRow(facts) {
    const { app } = this;
    const [file] = facts.files.slice(-1);
    const look = file
      ? h(
          "button",
          {
            type: "button",
            class: "thumb tiny",
            "aria-label": `Open the picture of “${facts.title}” large`,
            on: { click: () => app.gallery?.open(facts.files, facts.files.length - 1) },
          },
          h("img", { src: app.server.address(file), alt: "", loading: "lazy" }),
        )
      : h("span", { class: "thumb tiny blank" }, icon(facts.standing === "failed" ? "warning" : "image"));
    const open = () => app.tabs.open(structuredClone(facts.workflow), { name: facts.title.slice(0, 40) });
    return h(
      "li",
      { class: `job ${facts.standing}`, data: { key: facts.id } },
      look,
      h(
        "div",
        { class: "job-text" },
        h("span", { class: "row-title", title: facts.title }, facts.title),
        h("span", { class: "job-words" }, subtitle(facts, undefined)),
        facts.error ? h("span", { class: "job-error", title: facts.error }, facts.error) : null,
      ),
      h(
        "span",
        { class: "job-actions" },
        facts.workflow ? iconButton("graph", `Open the graph of “${facts.title}”`, open) : null,
        iconButton("close", `Forget “${facts.title}”`, () => this.#send("/history", { delete: [facts.id] })),
      ),
    );
  }

  /** The document that a job belongs to, if it is open here. @param {JobFacts} facts */
  #name(facts) {
    return this.app.tabs.sessions.find((session) => session.document.uid === facts.document)?.document.name;
  }

  /**
   * How far a run is. Only the window that started it is told every step.
   * @param {string} id
   * @returns {{words: string, part: number | null}}
   */
  #pace(id) {
    const { app } = this;
    const job = app.runner?.jobs.all.get(id);
    if (!job || job.current === null) return { words: "", part: null };
    const run = job.nodes.get(job.current);
    const session = app.tabs.sessions.find(({ document }) => document.uid === job.document);
    const node = session?.document.graph.node(job.current);
    const name = node && session ? titleOf(node, session.definitionFor(node)) : job.current;
    const left = run && run.maximum > 1 ? duration(run.pace.seconds) : "";
    const steps = run && run.maximum > 1 ? ` ${run.value}/${run.maximum}${left ? ` · ${left} left` : ""}` : "";
    return { words: `${name}${steps}`, part: app.runner?.part(job) ?? null };
  }

  /** @param {string} id @param {number} index among what waits */
  #move(id, index) {
    const others = this.pending.filter((facts) => facts.id !== id);
    const next = others[index];
    this.app.toasts.announce(`Moved to place ${index + 1} of ${others.length + 1}`);
    this.#send(`/jobs/${encodeURIComponent(id)}/reorder`, next ? { before: next.id } : { to: "back" });
  }

  #more() {
    this.limit += PAGE;
    this.update();
  }

  async #forgetAll() {
    const answer = await askChoice("Forget the history?", "The pictures stay where they are; the list of runs goes.", [
      "Keep it",
      "Forget",
    ]);
    if (answer !== "Forget") return;
    await this.#send("/history", { clear: true });
    this.ended.clear();
  }

  /** @param {"pause" | "resume"} what */
  #post(what) {
    return this.#send(`/queue/${what}`, {});
  }

  /** @param {string} path @param {unknown} body */
  async #send(path, body) {
    try {
      await this.app.server.post(path, body);
    } catch (error) {
      this.app.toasts.show(String(/** @type {Error} */ (error).message), { tone: "bad" });
    }
    await this.update();
  }
}
