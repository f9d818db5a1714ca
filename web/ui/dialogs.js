import { h } from "../view/dom.js";

/**
 * @param {string} title
 * @param {...(import("../view/dom.js").Child)} children
 * @returns {HTMLDialogElement} not yet open; takes itself out of the page when it is closed
 */
export function makeDialog(title, ...children) {
  const dialog = h("dialog", { class: "dialog", "aria-label": title }, h("h2", {}, title), ...children);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(dialog);
  return dialog;
}

/**
 * Ask for a line of text.
 * @param {string} title
 * @param {string} value
 * @param {string} [action]
 * @returns {Promise<string | null>} null when cancelled
 */
export function askText(title, value, action = "OK") {
  return new Promise((resolve) => {
    const input = h("input", { type: "text", value, "aria-label": title, class: "dialog-input" });
    const form = h(
      "form",
      { method: "dialog" },
      input,
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Cancel"),
        h("button", { type: "submit", class: "button primary" }, action),
      ),
    );
    const dialog = makeDialog(title, form);
    let answer = /** @type {string | null} */ (null);
    form.addEventListener("submit", () => {
      answer = input.value;
    });
    dialog.addEventListener("close", () => resolve(answer));
    dialog.showModal();
    input.select();
  });
}

/**
 * Ask for one of some answers.
 * @param {string} title
 * @param {string} text
 * @param {string[]} answers the last is the proposed one
 * @returns {Promise<string | null>}
 */
export function askChoice(title, text, answers) {
  return new Promise((resolve) => {
    let answer = /** @type {string | null} */ (null);
    const take = (/** @type {string} */ choice) => {
      answer = choice;
      dialog.close();
    };
    const buttons = answers.map((choice, index) =>
      h(
        "button",
        {
          type: "button",
          class: `button${index === answers.length - 1 ? " primary" : ""}`,
          on: { click: () => take(choice) },
        },
        choice,
      ),
    );
    const dialog = makeDialog(title, h("p", {}, text), h("div", { class: "dialog-actions" }, ...buttons));
    dialog.addEventListener("close", () => resolve(answer));
    dialog.showModal();
    buttons[buttons.length - 1].focus();
  });
}
