import { h } from "../view/dom.js";
import { openPopup } from "../view/popup.js";

/**
 * @typedef {{label: string, keys?: string, run?: () => void, disabled?: boolean, checked?: boolean, swatches?: {name: string, colour: string, run: () => void}[]} | null} Item
 *   null draws a line
 */

/**
 * A menu, for mouse and keyboard.
 * @param {Item[]} items
 * @param {HTMLElement | {x: number, y: number}} anchor
 * @param {string} label
 */
export function openMenu(items, anchor, label) {
  const root = h("div", { class: "menu", role: "menu", "aria-label": label, tabindex: -1 });
  const popup = openPopup(root, anchor);
  for (const item of items)
    root.append(
      item === null
        ? h("hr", { role: "separator" })
        : item.swatches
          ? swatches(item, popup.close)
          : entry(item, popup.close),
    );
  const entries = () => /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[role^=menuitem]:not(:disabled)")]);
  root.addEventListener("keydown", (event) => {
    const all = entries();
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = {
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (next !== undefined) {
      all[(next + all.length) % all.length]?.focus();
      event.preventDefault();
    } else if (event.key === "Tab") {
      popup.close();
    } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
      const letter = event.key.toLowerCase();
      [...all.slice(at + 1), ...all]
        .find((candidate) => candidate.textContent?.toLowerCase().startsWith(letter))
        ?.focus();
    }
    event.stopPropagation();
  });
  (entries()[0] ?? root).focus({ preventScroll: true });
  return popup;
}

/**
 * @param {NonNullable<Item>} item
 * @param {() => void} close
 */
function entry({ label, keys, run, disabled, checked }, close) {
  const role = checked === undefined ? "menuitem" : "menuitemcheckbox";
  return h(
    "button",
    {
      type: "button",
      role,
      class: "menu-item",
      disabled,
      "aria-checked": checked === undefined ? null : String(checked),
      "aria-keyshortcuts": keys,
      on: {
        click: () => {
          close();
          run?.();
        },
      },
    },
    h("span", { class: "menu-check" }, checked ? "✓" : ""),
    h("span", { class: "menu-label" }, label),
    keys ? h("kbd", {}, keys) : null,
  );
}

/**
 * @param {NonNullable<Item>} item
 * @param {() => void} close
 */
function swatches({ label, swatches: colours = [] }, close) {
  const buttons = colours.map(({ name, colour, run }) => {
    const button = h("button", {
      type: "button",
      role: "menuitem",
      class: "swatch",
      title: name,
      "aria-label": `${label}: ${name}`,
      on: {
        click: () => {
          close();
          run();
        },
      },
    });
    button.style.background = colour;
    return button;
  });
  return h("div", { class: "swatches", role: "group", "aria-label": label }, ...buttons);
}
