import { fill, h, icon, iconButton } from "../../view/dom.js";
import { ago } from "./ago.js";
import { makeBeginnings } from "./beginnings.js";

/**
 * Saved workflows, those closed lately, and graphs to begin with.
 * @param {import("../app.js").App} app
 */
export function makePanel(app) {
  const saved = h("div", { class: "panel-list" });
  const closed = h("div", { class: "panel-list" });
  const actions = h(
    "div",
    { class: "panel-actions" },
    h("button", { type: "button", class: "button", on: { click: () => app.tabs.openBlank() } }, icon("plus"), "New"),
    h(
      "button",
      { type: "button", class: "button", on: { click: () => app.files?.choose() } },
      icon("folder"),
      "Open file",
    ),
    h(
      "button",
      { type: "button", class: "button", on: { click: () => app.session && app.files?.save(app.session) } },
      icon("save"),
      "Save",
    ),
  );
  const begin = makeBeginnings(app);
  const update = async () => {
    begin.update();
    const [files = [], entries] = await Promise.all([app.files?.list(), app.journal.closed()]);
    fill(
      saved,
      ...files.map((file) => row(app, file)),
      files.length ? null : h("p", { class: "dim" }, "Nothing saved yet."),
    );
    fill(
      closed,
      ...entries.slice(0, 8).map((entry) =>
        h(
          "button",
          {
            type: "button",
            class: "panel-row",
            on: { click: () => app.tabs.reopen(entry) },
          },
          h("span", { class: "row-title" }, entry.name),
          h("span", { class: "count" }, ago(entry.time)),
        ),
      ),
      entries.length ? null : h("p", { class: "dim" }, "None."),
    );
  };
  return {
    root: h(
      "div",
      { class: "panel-body" },
      actions,
      h("h3", {}, "Saved"),
      saved,
      h("h3", {}, "Closed lately"),
      closed,
      h("h3", {}, "Begin with"),
      begin.root,
    ),
    update,
  };
}

/**
 * @param {import("../app.js").App} app
 * @param {{path: string, modified: number}} file
 */
function row(app, { path, modified }) {
  const milliseconds = modified > 1e11 ? modified : modified * 1000;
  return h(
    "div",
    { class: "panel-line" },
    h(
      "button",
      { type: "button", class: "panel-row", title: path, on: { click: () => app.files?.openSaved(path) } },
      h("span", { class: "row-title" }, path.replace(/\.json$/i, "")),
      h("span", { class: "count" }, ago(milliseconds)),
    ),
    iconButton("trash", `Delete ${path}`, () => app.files?.remove(path)),
  );
}
