import { search } from "../core/search/fuzzy.js";
import { findNodes } from "../core/search/node_index.js";
import { typeColour } from "../core/graph/slot_types.js";
import { fill, h } from "../view/dom.js";

/**
 * One box to search in: for nodes to add, and for commands.
 *
 * @typedef {{title: string, detail: string, keys?: string, dots?: {name: string, type: string}[], run: () => void}} Row
 * @param {{placeholder: string, find: (query: string) => Row[], at?: [number, number]}} options
 */
export function openPalette({ placeholder, find, at }) {
  const list = h("div", { class: "palette-list", role: "listbox", "aria-label": "Results", id: "palette-list" });
  const input = h("input", {
    type: "text",
    class: "palette-input",
    placeholder,
    "aria-label": placeholder,
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    autocomplete: "off",
    spellcheck: "false",
  });
  const dialog = h("dialog", { class: "palette", "aria-label": placeholder }, input, list);
  /** @type {Row[]} */
  let rows = [];
  let active = 0;
  const take = (/** @type {number} */ index) => {
    const row = rows[index];
    dialog.close();
    row?.run();
  };
  const mark = () => {
    [...list.children].forEach((child, index) => {
      child.classList.toggle("active", index === active);
      child.setAttribute("aria-selected", String(index === active));
    });
    list.children[active]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", rows.length ? `palette-${active}` : "");
  };
  const draw = () => {
    rows = find(input.value);
    active = 0;
    fill(
      list,
      ...(rows.length
        ? rows.map((row, index) => element(row, index, () => take(index)))
        : [h("div", { class: "palette-none" }, "Nothing by that name")]),
    );
    mark();
  };
  input.addEventListener("input", draw);
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step && rows.length) {
      active = Math.min(Math.max(active + step, 0), rows.length - 1);
      mark();
      event.preventDefault();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(active);
    } else if (event.key === "Tab") {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  if (at) place(dialog, at);
  draw();
  input.focus();
  return dialog;
}

/** @param {HTMLDialogElement} dialog @param {[number, number]} at */
function place(dialog, [x, y]) {
  const [width, height] = [dialog.offsetWidth, 400];
  dialog.style.margin = "0";
  dialog.style.left = `${Math.max(8, Math.min(x - 40, window.innerWidth - width - 8))}px`;
  dialog.style.top = `${Math.max(8, Math.min(y - 20, window.innerHeight - height - 8))}px`;
}

/** @param {Row} row @param {number} index @param {() => void} take */
function element({ title, detail, keys, dots = [] }, index, take) {
  const marks = dots.map(({ name, type }) => {
    const dot = h("span", { class: "type-dot", title: name });
    dot.style.background = typeColour(type);
    return dot;
  });
  return h(
    "div",
    { class: "palette-row", role: "option", id: `palette-${index}`, on: { click: take } },
    h("span", { class: "palette-title" }, title),
    h("span", { class: "palette-dots" }, ...marks),
    h("span", { class: "palette-detail" }, detail),
    keys ? h("kbd", {}, keys) : null,
  );
}

/**
 * @param {Map<string, import("../core/nodes/definitions.js").NodeDef>} definitions
 * @param {{wanted?: import("../core/search/node_index.js").Wanted, recent: string[], choose: (def: import("../core/nodes/definitions.js").NodeDef) => void}} options
 * @returns {(query: string) => Row[]}
 */
export function nodeRows(definitions, { wanted, recent, choose }) {
  return (query) =>
    findNodes(definitions, query, { wanted, recent }).map((def) => ({
      title: def.title,
      detail: def.category,
      dots: [...def.inputs.filter((input) => !input.widget).slice(0, 5), ...def.outputs.slice(0, 3)],
      run: () => choose(def),
    }));
}

/**
 * @param {import("./commands.js").Command[]} commands
 * @returns {(query: string) => Row[]}
 */
export function commandRows(commands) {
  return (query) =>
    search(
      query,
      commands.filter((command) => command.enabled?.() ?? true),
      (command) => [command.label, command.group],
    ).map((command) => ({
      title: command.label,
      detail: command.group,
      keys: command.keys?.[0],
      run: command.run,
    }));
}
