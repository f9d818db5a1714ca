import { findNodes } from "../../core/search/node_index.js";
import { typeColour } from "../../core/graph/slot_types.js";
import { fill, h } from "../../view/dom.js";
import { addFromSearch } from "../actions.js";

/**
 * All node classes, by subject. Click adds one in the middle; drag puts it where it is let go.
 * @param {import("../app.js").App} app
 */
export function makePanel(app) {
  const search = h("input", {
    type: "search",
    class: "panel-search",
    placeholder: "Search nodes",
    "aria-label": "Search nodes",
  });
  const list = h("div", { class: "panel-list" });
  /** @type {Set<string>} */
  const opened = new Set(["sampling", "latent"]);
  const add = (/** @type {import("../../core/nodes/definitions.js").NodeDef} */ def) => {
    const { session } = app;
    if (!session) return;
    const [width, height] = session.viewport.size;
    addFromSearch(session, def, { at: session.viewport.toGraph([width / 2 - 100, height / 3]), screen: [0, 0] });
    app.toasts.announce(`${def.title} added`);
  };
  const update = () => {
    const definitions = app.session?.definitions ?? app.definitions;
    if (search.value.trim()) fill(list, ...findNodes(definitions, search.value).map((def) => row(def, () => add(def))));
    else fill(list, ...folders(definitions, opened, add));
  };
  search.addEventListener("input", update);
  return { root: h("div", { class: "panel-body" }, search, list), update };
}

/**
 * @param {Map<string, import("../../core/nodes/definitions.js").NodeDef>} definitions
 * @param {Set<string>} opened
 * @param {(def: import("../../core/nodes/definitions.js").NodeDef) => void} add
 */
function folders(definitions, opened, add) {
  /** @type {Map<string, import("../../core/nodes/definitions.js").NodeDef[]>} */
  const groups = new Map();
  for (const def of new Set(definitions.values())) {
    if (def.deprecated) continue;
    groups.set(def.category, [...(groups.get(def.category) ?? []), def]);
  }
  return [...groups]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([category, defs]) => {
      const sorted = defs.sort((a, b) => a.title.localeCompare(b.title));
      const body = h("div", { class: "folder-body" });
      const details = h(
        "details",
        { open: opened.has(category) },
        h(
          "summary",
          {},
          h("span", { class: "row-title" }, category),
          h("span", { class: "count" }, String(defs.length)),
        ),
        body,
      );
      const show = () => {
        if (details.open) opened.add(category);
        else opened.delete(category);
        if (details.open && !body.children.length) body.append(...sorted.map((def) => row(def, () => add(def))));
      };
      details.addEventListener("toggle", show);
      show();
      return details;
    });
}

/**
 * @param {import("../../core/nodes/definitions.js").NodeDef} def
 * @param {() => void} add
 */
function row(def, add) {
  const dots = def.outputs.slice(0, 3).map((output) => {
    const dot = h("span", { class: "type-dot" });
    dot.style.background = typeColour(output.type);
    return dot;
  });
  const button = h(
    "button",
    { type: "button", class: "panel-row", draggable: "true", title: def.help || def.id, on: { click: add } },
    h("span", { class: "row-title" }, def.title),
    ...dots,
  );
  button.addEventListener("dragstart", (event) => event.dataTransfer?.setData("application/x-loom-node", def.id));
  return button;
}
