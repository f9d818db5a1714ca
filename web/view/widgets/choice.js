import { fieldLabel, h, icon } from "../dom.js";

const WORDS = Object.freeze({
  fixed: "keep",
  increment: "+1",
  decrement: "−1",
  randomize: "new",
  "increment-wrap": "loop",
});

/**
 * A choice from a list, with a search through it; or several, where the input takes several. Up and down change a single
 * choice without opening.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function comboWidget(host) {
  const value = h("span", { class: "combo-value" });
  const button = h("button", { type: "button", class: "combo", "aria-haspopup": "listbox" }, value, icon("down"));
  const root = h("div", { class: "field combo-field" }, fieldLabel(host), button);
  const several = Boolean(host.widget.options.multi_select || host.widget.options.multiselect);
  const choices = () => host.widget.choices ?? [];
  const chosen = () => {
    const now = host.get();
    return Array.isArray(now) ? now : now === null || now === undefined || now === "" ? [] : [now];
  };
  const toggle = (/** @type {unknown} */ choice) => {
    const now = chosen();
    host.set(now.includes(choice) ? now.filter((other) => other !== choice) : [...now, choice]);
  };
  button.addEventListener("click", async () => {
    const { openChooser } = await import("./chooser.js");
    openChooser({
      anchor: root,
      label: host.label,
      choices: choices(),
      chosen,
      several,
      choose: several ? toggle : (choice) => host.set(choice),
    });
  });
  button.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey || several) return;
    event.preventDefault();
    const at = choices().indexOf(host.get()) + step;
    if (at >= 0 && at < choices().length) host.set(choices()[at], false);
  });
  return {
    root,
    update() {
      const now = chosen();
      const nothing = several ? placeholder(host.widget.options) : "nothing to choose";
      const words = now.length ? now.map(String).join(", ") : nothing;
      value.textContent = several ? words : baseName(words);
      button.disabled = host.linked();
      button.title = words;
      button.setAttribute("aria-label", `${host.label}: ${words}`);
      root.classList.toggle("unknown", !now.every((choice) => choices().includes(choice)) || (!several && !now.length));
    },
  };
}

/** @param {Record<string, any>} options */
function placeholder(options) {
  return options.multi_select?.placeholder ?? options.placeholder ?? "none";
}

/** @param {string} path */
function baseName(path) {
  return path.split(/[/\\]/).pop() ?? path;
}

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
    if (!step || event.altKey) return;
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

/**
 * Yes or no, in the words that the input gives them.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function toggleWidget(host) {
  const words = h("span", { class: "toggle-words" });
  const button = h(
    "button",
    {
      type: "button",
      role: "switch",
      class: "toggle",
      "aria-label": host.label,
      on: { click: () => host.set(!host.get()) },
    },
    words,
    h("span", { class: "toggle-track" }),
  );
  const root = h("div", { class: "field boolean" }, fieldLabel(host), button);
  const { label_on: on = "on", label_off: off = "off" } = host.widget.options;
  return {
    root,
    update() {
      const value = Boolean(host.get());
      button.setAttribute("aria-checked", String(value));
      button.disabled = host.linked();
      words.textContent = value ? on : off;
    },
  };
}
