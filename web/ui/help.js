import { fill, h } from "../view/dom.js";
import { keyText } from "./commands.js";
import { makeDialog } from "./dialogs.js";

/** All keys and gestures on one page, with a box to find one. */

/** @type {[string, string][]} */
const MOUSE = [
  ["Drag on the field", "Move the view"],
  ["Shift or Ctrl + drag", "Select in a box"],
  ["Wheel", "Zoom"],
  ["Double-click", "Search for a node"],
  ["Right button", "Menu of what lies there"],
  ["Drag from a socket", "Draw a link; on nothing: search"],
  ["Click one socket, then another", "Join them"],
  ["Drop a link on a node", "Its best socket takes it"],
  ["Shift + drag from an output", "Move all links of an output"],
  ["Shift + drag from a reroute point", "Branch off it"],
  ["Alt + drag a node", "Drag a copy"],
  ["Alt + click a link", "Add a reroute point"],
  ["Ctrl + Alt + drag", "Cut links"],
  ["Drop a node on a link", "Insert a node into a link"],
  ["Drag across a number", "Change a number; Ctrl fine, Shift coarse"],
  ["Press an end of a number", "One step down or up"],
  ["Double-click a subgraph", "Open it"],
  ["Double-click an input or output inside", "Rename it"],
  ["Shake a node while dragging", "Take it out of its chain"],
  ["Drop a link on a socket of another type", "Nodes that turn one into the other"],
  ["Alt while setting a field", "Set it on all selected nodes"],
  ["Ctrl while dragging", "Work off the grid"],
];

/** @type {[string, string][]} */
const TOUCH = [
  ["One finger", "Move the view, or a node"],
  ["Two fingers", "Zoom and move"],
  ["Rest a finger", "Menu of what lies there"],
  ["Rest a finger on the field, then move", "Select in a box"],
  ["Tap two sockets", "Join them"],
];

/** @type {[string, string][]} */
const MORE = [
  ["Arrows", "Go from node to node"],
  ["Shift + arrows", "Move the selection"],
  ["Tab in a node", "Go through its sockets and fields"],
  ["Alt + ↓ on a node", "To its first socket"],
  ["Alt + ← →", "Along a link, or between a field and its socket"],
  ["Enter or Space on a socket", "Join from a list, or by hand"],
  ["M on an input", "Mute its link, or wake it"],
  ["Delete on a socket", "Cut its links; inside a subgraph then the input or output"],
  ["Ctrl + ↑ ↓ in a prompt", "Weight of a word"],
  ["512*2 in a number", "Reckon its value"],
];

/** @param {import("./app.js").App} app */
export function showKeys(app) {
  const touch = matchMedia("(hover: none)").matches;
  const groups = new Map(
    /** @type {[string, [string, string][]][]} */ ([touch ? ["Touch", TOUCH] : ["Mouse", MOUSE]]),
  );
  for (const { group, keys, label } of app.commands) {
    if (!keys || group === "Move") continue;
    groups.set(group, [...(groups.get(group) ?? []), [keys.map(keyText).join("  "), label]]);
  }
  groups.set("Keyboard", MORE);
  groups.set(touch ? "Mouse" : "Touch", touch ? MOUSE : TOUCH);
  const columns = h("div", { class: "key-columns" });
  const list = h("div", { class: "key-list", tabindex: 0, role: "region", "aria-label": "Keys and gestures" }, columns);
  const draw = (/** @type {string} */ query) =>
    fill(
      columns,
      ...[...groups].map(([title, rows]) => section(title, rows, query)),
      h("p", { class: "dim key-none" }, "Nothing by that name"),
    );
  const search = h("input", {
    type: "search",
    class: "panel-search",
    placeholder: "Find a key or what it does",
    "aria-label": "Find a key or what it does",
    on: { input: () => draw(search.value.trim().toLowerCase()) },
  });
  draw("");
  const dialog = makeDialog(
    "Keys and gestures",
    search,
    list,
    h(
      "div",
      { class: "dialog-actions" },
      h("button", { type: "button", class: "button primary", on: { click: () => dialog.close() } }, "Close"),
    ),
  );
  dialog.classList.add("wide");
  dialog.showModal();
}

/**
 * @param {string} title
 * @param {[string, string][]} rows
 * @param {string} query
 */
function section(title, rows, query) {
  const found = rows.filter((row) => row.join(" ").toLowerCase().includes(query));
  if (!found.length) return null;
  return h(
    "section",
    {},
    h("h3", {}, title),
    ...found.map(([keys, words]) =>
      h(
        "div",
        { class: "key-row" },
        h("span", {}, words),
        h("span", { class: "keys" }, ...keys.split("  ").map((key) => h("kbd", {}, key))),
      ),
    ),
  );
}
