import { fill, h, iconButton } from "../view/dom.js";

/**
 * The panels at the side; each is fetched when it is first opened.
 *
 * @typedef {{root: HTMLElement, update: () => void, progress?: () => void, close?: () => void}} Panel close: it
 *   is no longer on screen
 */

/** @type {Record<string, {icon: string, title: string, keys: string, load: () => Promise<{makePanel: (app: import("./app.js").App) => Panel}>}>} */
export const KINDS = {
  nodes: { icon: "nodes", title: "Nodes", keys: "N", load: () => import("./panels/nodes.js") },
  workflows: { icon: "folder", title: "Workflows", keys: "W", load: () => import("./panels/workflows.js") },
  queue: { icon: "queue", title: "Queue and history", keys: "Q", load: () => import("./panels/queue.js") },
  pictures: { icon: "image", title: "Pictures", keys: "I", load: () => import("./panels/pictures.js") },
  versions: { icon: "clock", title: "Versions", keys: "V", load: () => import("./panels/versions.js") },
  outline: { icon: "outline", title: "Outline", keys: "O", load: () => import("./panels/outline.js") },
};

export class Panels {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<string, Panel>} */
    this.made = new Map();
    this.shown = "";
    this.buttons = new Map(
      Object.entries(KINDS).map(([name, { icon, title, keys }]) => [
        name,
        iconButton(icon, `${title} (${keys})`, () => this.toggle(name), { "aria-pressed": "false" }),
      ]),
    );
    const command = (/** @type {string} */ id) => () => app.commands.find((each) => each.id === id)?.run();
    app.shell.rail.append(
      ...this.buttons.values(),
      h("span", { class: "rail-space" }),
      iconButton("help", "Keys and gestures (?)", command("shortcuts")),
      iconButton("settings", "Settings (Ctrl+,)", command("settings")),
    );
  }

  /** Open what was open last, where there is room. */
  restore() {
    const last = this.app.settings.get("panel");
    if (KINDS[last] && window.innerWidth > 900) this.toggle(last);
  }

  /** @param {string} name */
  async toggle(name) {
    this.made.get(this.shown)?.close?.();
    this.shown = this.shown === name ? "" : name;
    const { shown } = this;
    for (const [other, button] of this.buttons) button.setAttribute("aria-pressed", String(other === shown));
    const { panel } = this.app.shell;
    const focused = document.activeElement;
    panel.hidden = !shown;
    this.app.settings.set("panel", shown);
    if (!shown) return;
    const kind = KINDS[shown];
    panel.setAttribute("aria-label", kind.title);
    let made = this.made.get(shown);
    if (!made) {
      made = (await kind.load()).makePanel(this.app);
      this.made.set(shown, made);
    }
    if (this.shown !== shown) return;
    fill(
      panel,
      h(
        "div",
        { class: "panel-head" },
        h("h2", {}, kind.title),
        iconButton("close", "Close panel", () => this.toggle(shown)),
      ),
      made.root,
    );
    made.update();
    // Who has gone on to another field while the panel was fetched stays there. On a phone the focus would bring up the
    // keyboard over half the panel.
    if (document.activeElement === focused && matchMedia("(hover: hover)").matches)
      /** @type {HTMLElement | null} */ (made.root.querySelector("input[type=search]"))?.focus({ preventScroll: true });
  }

  /** Draw a panel anew if it is open. @param {string} name */
  update(name) {
    if (this.shown === name) this.made.get(name)?.update();
  }

  /** A run went on. */
  progress() {
    const { remaining } = this.app.runner?.jobs ?? { remaining: 0 };
    this.buttons.get("queue")?.setAttribute("data-count", remaining ? String(Math.min(remaining, 99)) : "");
    this.made.get(this.shown)?.progress?.();
  }
}
