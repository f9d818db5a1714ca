import { h, icon } from "../view/dom.js";

/**
 * Short messages at the edge, said to screen readers too. A message that needs an answer stays until it has one.
 *
 * @typedef {{tone?: "info" | "good" | "bad", stay?: boolean, action?: {label: string, run: () => void}}} ToastOptions
 */

const SHOWN_MS = 4500;

export class Toasts {
  constructor() {
    this.root = h("div", { class: "toasts" });
    this.voice = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    document.body.append(this.root, this.voice);
  }

  /**
   * @param {string} text
   * @param {ToastOptions} [options]
   */
  show(text, { tone = "info", stay = false, action } = {}) {
    for (const old of this.root.children) if (old.querySelector("span")?.textContent === text) old.remove();
    const close = () => toast.remove();
    const toast = h(
      "div",
      { class: `toast ${tone}`, role: tone === "bad" ? "alert" : null },
      icon(tone === "bad" ? "warning" : tone === "good" ? "check" : "help"),
      h("span", {}, text),
      action
        ? h(
            "button",
            {
              type: "button",
              class: "link",
              on: {
                click: () => {
                  close();
                  action.run();
                },
              },
            },
            action.label,
          )
        : null,
      h(
        "button",
        { type: "button", class: "icon-button", "aria-label": "Dismiss", on: { click: close } },
        icon("close"),
      ),
    );
    this.root.append(toast);
    // A region that comes with its words already in it is not read out everywhere; one that was there before is.
    if (tone !== "bad") this.announce(action ? `${text} ${action.label} is offered.` : text);
    if (!stay) setTimeout(close, SHOWN_MS + text.length * 30);
    return close;
  }

  /** Say something to screen readers only. @param {string} text */
  announce(text) {
    this.voice.textContent = text;
  }
}
