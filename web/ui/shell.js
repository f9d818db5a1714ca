import { duration } from "../core/run/eta.js";
import { fill, h, icon, iconButton } from "../view/dom.js";
import { keyText } from "./commands.js";

/** The frame of the page: bar, rail, field, strip, and what they say. */
export class Shell {
  /**
   * @param {HTMLElement} body
   * @param {import("./app.js").App} app
   */
  constructor(body, app) {
    this.app = app;
    this.count = 1;
    this.tabs = h("div", { class: "tabs" });
    this.stage = h("main", { class: "stage", "aria-label": "Graph", tabindex: -1 });
    this.link = h("span", { class: "link-state", role: "status" });
    this.runLabel = h("span", { class: "run-label" }, "Run");
    this.runBar = h("span", { class: "run-bar" });
    this.run = h(
      "button",
      {
        type: "button",
        class: "run",
        title: `Run (${keyText("Mod+Enter")})`,
        "aria-keyshortcuts": "Control+Enter",
        on: { click: () => this.#command("run") },
      },
      this.runBar,
      icon("play"),
      this.runLabel,
    );
    this.more = iconButton("down", "Run options", () => this.#runMenu(), {
      class: "run-more",
      "aria-haspopup": "menu",
    });
    this.stop = h(
      "button",
      {
        type: "button",
        class: "stop",
        title: "Cancel the run (Esc Esc)",
        hidden: true,
        on: { click: () => this.#command("cancel") },
      },
      icon("stop"),
      h("span", {}, "Cancel"),
    );
    this.menuButton = iconButton("more", "Menu", () => this.#mainMenu(), { "aria-haspopup": "menu" });
    this.themeButton = iconButton("sun", "Light or dark", () => this.#command("theme"));
    this.bar = h(
      "header",
      { class: "top" },
      h(
        "a",
        { class: "mark", href: "/", title: "Latent Loom", "aria-label": "Latent Loom" },
        h("img", { src: "icon.svg", alt: "", width: 22, height: 22 }),
      ),
      this.tabs,
      this.link,
      this.themeButton,
      this.menuButton,
      h("div", { class: "run-group", role: "group", "aria-label": "Run" }, this.stop, this.run, this.more),
    );
    this.problems = h("div", { class: "problem-bar overlay", role: "alert", hidden: true });
    this.zoomText = h(
      "button",
      { type: "button", class: "zoom-text", title: "Zoom to 100 %", on: { click: () => this.#command("zoom-100") } },
      "100 %",
    );
    this.zoom = h(
      "div",
      { class: "zoom overlay", role: "group", "aria-label": "Zoom" },
      iconButton("undo", "Undo", () => this.#command("undo")),
      iconButton("redo", "Redo", () => this.#command("redo")),
      h("i", { class: "line" }),
      iconButton("minus", "Zoom out", () => app.editor.zoom(1 / 1.25)),
      this.zoomText,
      iconButton("plus", "Zoom in", () => app.editor.zoom(1.25)),
      iconButton("fit", "Show everything (.)", () => app.editor.fit()),
    );
    this.hint = h(
      "div",
      { class: "hint overlay", hidden: true },
      h("p", {}, "An empty graph"),
      h(
        "p",
        { class: "dim" },
        "Double-click or press Tab to add a node, or drop a picture made here to open its graph.",
      ),
      h(
        "div",
        { class: "hint-actions" },
        ...[
          ["add", "plus", "Add a node"],
          ["default", "image", "Default graph"],
          ["open", "folder", "Open a file"],
        ].map(([id, picture, words]) =>
          h(
            "button",
            { type: "button", class: "button", on: { click: () => this.#command(id) } },
            icon(picture),
            words,
          ),
        ),
      ),
    );
    this.rail = h("nav", { class: "rail", "aria-label": "Panels" });
    this.panel = h("aside", { class: "panel", hidden: true });
    this.strip = h("section", { class: "strip", "aria-label": "Pictures" });
    this.field = h("div", { class: "field-area" }, this.stage, this.problems, this.zoom, this.hint);
    body.prepend(
      this.bar,
      h("div", { class: "middle" }, this.rail, this.panel, h("div", { class: "centre" }, this.field, this.strip)),
    );
  }

  /** Bring buttons and words in line with the runs. */
  update() {
    const { app } = this;
    if (!app.runner) return;
    const job = app.runner.active(app.session);
    const waiting = app.runner.jobs.remaining;
    this.stop.hidden = !job;
    this.run.classList.toggle("busy", Boolean(job));
    this.run.disabled = !app.session;
    this.runLabel.textContent = job
      ? progressWords(job, waiting, app.runner.paused)
      : waiting
        ? `Run · ${waiting} waiting`
        : this.count > 1
          ? `Run ×${this.count}`
          : "Run";
    const part = app.runner.part(job);
    this.runBar.style.width = `${100 * part}%`;
    app.tabs.entitle(part);
    if (!this.offline) this.link.textContent = app.ready ? "" : "Starting the engine…";
    this.link.classList.toggle("waiting", !app.ready);
    this.zoomed();
    this.edited();
  }

  /** The document changed. */
  edited() {
    const { session } = this.app;
    this.app.map?.update();
    this.hint.hidden = !session || session.document.graph.nodes.size > 0;
    const [undo, redo] = this.zoom.querySelectorAll("button");
    const history = session?.document.history;
    undo.disabled = !history?.undoLabel;
    redo.disabled = !history?.redoLabel;
    undo.title = history?.undoLabel ? `Undo: ${history.undoLabel} (${keyText("Mod+Z")})` : "Nothing to undo";
    redo.title = history?.redoLabel ? `Redo: ${history.redoLabel} (${keyText("Mod+Shift+Z")})` : "Nothing to redo";
  }

  zoomed() {
    const { session } = this.app;
    if (session) this.zoomText.textContent = `${Math.round(session.viewport.scale * 100)} %`;
  }

  /** @param {boolean} up */
  connection(up) {
    this.offline = !up;
    this.link.classList.toggle("lost", !up);
    this.link.textContent = up ? "" : "No connection – trying again. Your work is safe.";
    if (up) this.update();
  }

  /**
   * Say what stops a run, with a way to the nodes concerned. Empty text takes the bar away.
   * @param {import("../view/session.js").Session} session
   * @param {string} text
   * @param {string[]} nodes the ways to them, as a run names them
   */
  problem(session, text, nodes) {
    if (session.root !== this.app.session?.root) return;
    this.problems.hidden = !text;
    if (!text) return;
    const show = () => {
      const [next] = nodes.splice(0, 1);
      nodes.push(next);
      this.app.levels?.reveal(next);
    };
    fill(
      this.problems,
      icon("warning"),
      h("span", {}, text),
      nodes.length
        ? h("button", { type: "button", class: "link", on: { click: show } }, nodes.length > 1 ? "Show next" : "Show")
        : null,
      iconButton("close", "Dismiss", () => {
        this.problems.hidden = true;
      }),
    );
  }

  /** @param {string} id */
  #command(id) {
    this.app.commands.find((command) => command.id === id)?.run();
  }

  async #runMenu() {
    const { openMenu } = await import("./menu.js");
    const { app } = this;
    const times = (/** @type {number} */ count) => ({
      label: count === 1 ? "One run" : `${count} runs`,
      checked: this.count === count,
      run: () => {
        this.count = count;
        this.update();
      },
    });
    openMenu(
      [
        times(1),
        times(2),
        times(4),
        times(8),
        null,
        {
          label: "Run next, before the others",
          keys: keyText("Mod+Shift+Enter"),
          run: () => this.#command("run-front"),
        },
        { label: "Cancel", run: () => this.#command("cancel"), disabled: !app.runner?.active(app.session) },
      ],
      this.more,
      "Run options",
    );
  }

  async #mainMenu() {
    const { openMenu } = await import("./menu.js");
    const item = (/** @type {string} */ id) => {
      const command = /** @type {import("./commands.js").Command} */ (
        this.app.commands.find((candidate) => candidate.id === id)
      );
      return {
        label: command.label,
        keys: command.keys ? keyText(command.keys[0]) : undefined,
        run: command.run,
        disabled: command.enabled ? !command.enabled() : false,
      };
    };
    openMenu(
      [
        item("new"),
        item("open"),
        item("save"),
        item("save-as"),
        item("export"),
        item("export-api"),
        item("reopen"),
        null,
        item("commands"),
        item("shortcuts"),
        item("settings"),
      ],
      this.menuButton,
      "Menu",
    );
  }
}

/**
 * @param {import("../core/run/jobs.js").Job} job
 * @param {number} waiting
 * @param {boolean} paused
 */
function progressWords(job, waiting, paused) {
  if (job.state === "queued" && paused) return "Queue paused";
  if (job.state === "queued") return waiting > 1 ? `Waiting · ${waiting} in line` : "Waiting";
  const run = job.current === null ? undefined : job.nodes.get(job.current);
  if (!run || run.maximum <= 1) return "Running";
  const left = duration(run.pace.seconds);
  return `${run.value}/${run.maximum}${left ? ` · ${left}` : ""}`;
}
