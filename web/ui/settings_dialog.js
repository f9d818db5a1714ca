import { h } from "../view/dom.js";
import { makeDialog } from "./dialogs.js";

/**
 * What can be chosen for this browser. Every choice takes effect at once, so there is nothing to confirm.
 *
 * @typedef {import("./settings.js").Values} Values
 * @typedef {{name: keyof Values, label: string, help?: string, choices: [any, string][]}} Row
 */

/** @type {{title: string, rows: Row[]}[]} */
const GROUPS = [
  {
    title: "Looks",
    rows: [
      {
        name: "theme",
        label: "Theme",
        choices: [
          ["system", "As the system"],
          ["dark", "Dark"],
          ["light", "Light"],
        ],
      },
      {
        name: "links",
        label: "Links",
        help: "Hidden ones show while one points at their node.",
        choices: [
          ["spline", "Curved"],
          ["straight", "Straight"],
          ["square", "Square"],
          ["hidden", "Hidden"],
        ],
      },
      {
        name: "motion",
        label: "Motion",
        choices: [
          ["system", "As the system"],
          ["reduce", "Less"],
        ],
      },
    ],
  },
  {
    title: "Hand",
    rows: [
      {
        name: "wheel",
        label: "Wheel",
        help: "By itself: a wheel zooms, two fingers on a trackpad move.",
        choices: [
          ["auto", "By itself"],
          ["zoom", "Zooms"],
          ["pan", "Moves"],
        ],
      },
      {
        name: "drag",
        label: "Drag on the field",
        choices: [
          ["pan", "Moves the view"],
          ["select", "Selects"],
        ],
      },
      { name: "snap", label: "Snap to the grid", choices: onOff() },
    ],
  },
  {
    title: "Runs",
    rows: [
      {
        name: "seeds",
        label: "Seeds change",
        help: "When needed: what is shown is what ran, and a new value runs first as it is.",
        choices: [
          ["shown", "When needed"],
          ["before", "Before each run"],
          ["after", "After each run"],
        ],
      },
    ],
  },
  {
    title: "Parts",
    rows: [
      { name: "strip", label: "Picture strip", choices: onOff() },
      { name: "map", label: "Map", help: "Shows when part of the graph is out of sight.", choices: onOff() },
    ],
  },
];

/** @returns {[boolean, string][]} */
function onOff() {
  return [
    [true, "On"],
    [false, "Off"],
  ];
}

/** @param {import("./app.js").App} app */
export function showSettings(app) {
  const dialog = makeDialog(
    "Settings",
    h(
      "div",
      { class: "settings" },
      ...GROUPS.map(({ title, rows }) =>
        h("section", {}, h("h3", {}, title), ...rows.map((row) => choice(app.settings, row))),
      ),
    ),
    h(
      "div",
      { class: "dialog-actions" },
      h("span", { class: "dim" }, "Kept in this browser."),
      h("button", { type: "button", class: "button primary", on: { click: () => dialog.close() } }, "Done"),
    ),
  );
  dialog.showModal();
  /** @type {HTMLElement | null} */ (dialog.querySelector("input:checked"))?.focus();
}

/**
 * @param {import("./settings.js").Settings} settings
 * @param {Row} row
 */
function choice(settings, { name, label, help, choices }) {
  const options = choices.map(([value, words]) => {
    const input = h("input", {
      type: "radio",
      name: `setting-${name}`,
      checked: settings.get(name) === value,
      on: { change: () => settings.set(name, /** @type {never} */ (value)) },
    });
    return h("label", { class: "choice" }, input, h("span", {}, words));
  });
  return h(
    "fieldset",
    { class: "setting" },
    h("legend", {}, label),
    h("div", { class: "choices" }, ...options),
    help ? h("p", { class: "dim" }, help) : null,
  );
}
