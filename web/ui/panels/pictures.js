import { fill, h } from "../../view/dom.js";
import { factsOfEntry } from "./job_facts.js";

/**
 * All pictures of the history, newest first, and a box to search them by the words that made them.
 *
 * @typedef {import("../../core/run/jobs.js").FileRef} FileRef
 * @param {import("../app.js").App} app
 */
export function makePanel(app) {
  /** @type {{file: FileRef, title: string, found: string}[]} */
  let pictures = [];
  const search = h("input", {
    type: "search",
    class: "panel-search",
    placeholder: "Search by words, seed or file",
    "aria-label": "Search pictures",
  });
  const grid = h("div", { class: "picture-grid", role: "list", "aria-label": "Pictures" });
  const none = h("p", { class: "panel-none" });
  const draw = () => {
    const query = search.value.trim().toLowerCase();
    const shown = pictures.filter(({ found }) => found.includes(query));
    const files = shown.map(({ file }) => file);
    fill(
      grid,
      ...shown.map(({ file, title }, index) =>
        h("div", { role: "listitem" }, thumbnail(app, file, title, () => app.gallery?.open(files, index))),
      ),
    );
    none.hidden = shown.length > 0;
    none.textContent = query ? "No picture matches." : "Pictures you make appear here.";
  };
  const update = async () => {
    const history = await app.server.get("/history?max_items=300").catch(() => null);
    if (!history) return;
    pictures = Object.entries(history)
      .map(([id, entry]) => factsOfEntry(id, entry))
      .sort((a, b) => b.ended - a.ended)
      .flatMap(({ files, title, found }) => files.map((file) => ({ file, title, found })));
    draw();
  };
  search.addEventListener("input", draw);
  grid.addEventListener("keydown", (event) => walk(grid, event));
  return { root: h("div", { class: "panel-body" }, search, grid, none), update };
}

/**
 * @param {import("../app.js").App} app
 * @param {FileRef} file
 * @param {string} title
 * @param {() => void} open
 */
function thumbnail(app, file, title, open) {
  const image = h("img", { src: app.server.address(file), alt: "", loading: "lazy", draggable: "true" });
  const button = h(
    "button",
    {
      type: "button",
      class: "thumb",
      title: `${title}\n${file.filename}`,
      "aria-label": `Open ${file.filename} large: ${title}`,
      on: { click: open },
    },
    image,
  );
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 160));
  image.addEventListener("error", () => button.classList.add("gone"));
  return button;
}

/** @param {HTMLElement} grid @param {KeyboardEvent} event */
function walk(grid, event) {
  const all = /** @type {HTMLElement[]} */ ([...grid.querySelectorAll("button")]);
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const across = Math.max(1, getComputedStyle(grid).gridTemplateColumns.split(" ").length);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  all[next]?.focus();
}
