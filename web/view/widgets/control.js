import { h } from "../dom.js";

const WORDS = Object.freeze({
  fixed: "keep",
  increment: "+1",
  decrement: "−1",
  randomize: "new",
  "increment-wrap": "loop",
});

/**
 * What the next run does to the value above. The value on screen is always the one that ran.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function controlWidget(host) {
  const buttons = (host.widget.choices ?? []).map((choice) =>
    h(
      "button",
      {
        type: "button",
        role: "radio",
        class: "segment",
        title: `Each next run: ${choice}`,
        data: { choice: String(choice) },
        on: { click: () => host.set(choice), keydown: (/** @type {KeyboardEvent} */ event) => walk(event) },
      },
      /** @type {Record<string, string>} */ (WORDS)[String(choice)] ?? String(choice),
    ),
  );
  const walk = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(/** @type {any} */ (event.currentTarget));
    if (!step) return;
    event.preventDefault();
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  };
  const root = h(
    "div",
    { class: "field control" },
    h("span", { class: "widget-label" }, "next run"),
    h(
      "div",
      { class: "segments", role: "radiogroup", "aria-label": `${host.widget.owner} for the next run` },
      ...buttons,
    ),
  );
  return {
    root,
    update() {
      for (const button of buttons) {
        const on = button.dataset.choice === host.get();
        button.setAttribute("aria-checked", String(on));
        button.tabIndex = on ? 0 : -1;
      }
    },
  };
}
