import { score } from "../../core/search/fuzzy.js";
import { fill, h } from "../dom.js";
import { openPopup } from "../popup.js";

const SHOWN = 400;

/**
 * A list to choose from beside a field, with a search. File names are grouped by folder. Where several can be chosen it
 * stays open.
 * @param {{anchor: HTMLElement, label: string, choices: unknown[], chosen: () => unknown[], several: boolean,
 *   choose: (choice: unknown) => void, folders?: boolean}} options
 */
export function openChooser({ anchor, label, choices, chosen, several, choose, folders = true }) {
  const list = h("div", {
    class: "chooser-list",
    role: "listbox",
    "aria-label": label,
    "aria-multiselectable": several ? "true" : null,
    id: "chooser-list",
  });
  const search = h("input", {
    type: "text",
    class: "chooser-search",
    placeholder: `Search ${choices.length} choices`,
    "aria-label": `Search ${label}`,
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "chooser-list",
    autocomplete: "off",
  });
  const root = h("div", { class: "chooser" }, choices.length > 8 ? search : null, list);
  let found = choices;
  let active = Math.max(choices.indexOf(chosen()[0]), 0);
  const take = (/** @type {unknown} */ choice) => {
    if (!several) popup.close();
    choose(choice);
    if (several) draw();
  };
  const draw = () => {
    fill(
      list,
      ...rows(found.slice(0, SHOWN), { chosen: chosen(), several, folders }, take),
      found.length ? null : h("div", { class: "chooser-none" }, "Nothing by that name"),
    );
    mark();
  };
  const mark = () => {
    const options = [...list.querySelectorAll("[role=option]")];
    options.forEach((option, index) => option.classList.toggle("active", index === active));
    const current = options[active];
    current?.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", current?.id ?? "");
  };
  search.addEventListener("input", () => {
    const query = search.value.trim();
    const ranked = choices.map((choice) => ({ choice, at: score(query, String(choice)) })).filter(({ at }) => at > 0);
    found = query ? ranked.sort((a, b) => b.at - a.at).map(({ choice }) => choice) : choices;
    active = 0;
    draw();
  });
  root.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      active = Math.min(Math.max(active + step, 0), Math.min(found.length, SHOWN) - 1);
      mark();
      event.preventDefault();
    } else if (event.key === "Enter" && found.length) {
      event.preventDefault();
      event.stopPropagation();
      take(found[active]);
    }
  });
  if (choices.length <= 8) list.tabIndex = 0;
  const popup = openPopup(root, anchor, { minimumWidth: 220 });
  draw();
  (choices.length > 8 ? search : list).focus({ preventScroll: true });
}

/**
 * @param {unknown[]} choices
 * @param {{chosen: unknown[], several: boolean, folders: boolean}} state
 * @param {(choice: unknown) => void} take
 */
function rows(choices, { chosen, several, folders }, take) {
  let folder = "";
  return choices.flatMap((choice, index) => {
    const text = String(choice);
    const cut = !folders ? -1 : Math.max(text.lastIndexOf("/"), text.lastIndexOf("\\"));
    const here = text.slice(0, Math.max(cut, 0));
    const heading = here !== folder && here ? [h("div", { class: "chooser-folder" }, here)] : [];
    folder = here;
    const option = h(
      "div",
      {
        class: "chooser-option",
        role: "option",
        id: `choice-${index}`,
        "aria-selected": String(chosen.includes(choice)),
        title: text,
        on: { click: () => take(choice) },
      },
      several ? h("span", { class: "tick" }, chosen.includes(choice) ? "✓" : "") : null,
      text.slice(cut + 1) || "(empty)",
    );
    return [...heading, option];
  });
}
