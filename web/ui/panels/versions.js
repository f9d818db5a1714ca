import { shortened } from "../../core/graph/difference.js";
import { pair } from "../../core/doc/schema.js";
import { fill, h } from "../../view/dom.js";
import { ago } from "./ago.js";

/**
 * Earlier states of the workflow on screen: what has changed since, on the list and on the field, and the way back.
 *
 * @typedef {import("../app.js").App} App
 * @typedef {import("../versions.js").Version} Version
 * @typedef {import("../../core/graph/difference.js").Differences} Differences
 * @typedef {import("../../core/graph/difference.js").Difference} Difference
 */

const SIGNS = Object.freeze({ added: "+", removed: "−", changed: "≠" });
const NOTHING = "Each save and each run keeps the graph as it was, when it is another than before. There is none yet.";

/** @param {App} app */
export function makePanel(app) {
  const list = h("div", { class: "panel-list" });
  /** @type {{session: import("../../view/session.js").Session | null, time: number}} the version that is open */
  const shown = { session: null, time: 0 };
  const update = async () => {
    const session = app.session?.root;
    if (!session || !app.versions) return;
    if (shown.session !== session) Object.assign(shown, { session, time: 0 });
    const versions = await app.versions.list(session.document);
    if (app.session?.root !== session) return;
    const rows = versions.map((version) => row(app, version, version.time === shown.time, open));
    fill(list, ...rows, rows.length ? null : h("p", { class: "dim" }, NOTHING));
    const current = versions.find(({ time }) => time === shown.time);
    mark(app, current ? app.versions.since(session, current) : null, current);
  };
  const open = (/** @type {Version} */ version) => {
    shown.time = shown.time === version.time ? 0 : version.time;
    update();
  };
  const close = () => {
    shown.time = 0;
    mark(app, null, undefined);
  };
  return { root: h("div", { class: "panel-body" }, list), update, close };
}

/**
 * @param {App} app
 * @param {Version} version
 * @param {boolean} opened
 * @param {(version: Version) => void} open
 */
function row(app, version, opened, open) {
  const button = h(
    "button",
    { type: "button", class: "panel-row", "aria-expanded": String(opened), on: { click: () => open(version) } },
    h("span", { class: "row-title" }, `${version.label}, ${new Date(version.time).toLocaleTimeString()}`),
    h("span", { class: "count" }, ago(version.time)),
  );
  const { session, versions } = app;
  if (!opened || !session || !versions) return button;
  const since = versions.since(session, version);
  const same = !since.nodes.length && !since.moved;
  const moved = since.moved ? h("p", { class: "dim" }, `${since.moved} nodes stand elsewhere.`) : null;
  const act = (/** @type {string} */ label, /** @type {() => void} */ run, disabled = false) =>
    h("button", { type: "button", class: "button", disabled, on: { click: run } }, label);
  return h(
    "div",
    { class: "version" },
    button,
    h(
      "div",
      { class: "panel-actions" },
      act("Go back to this", () => versions.restore(session, version), same),
      act("Open beside", () => versions.open(session, version)),
    ),
    same ? h("p", { class: "dim" }, "Nothing has changed since.") : h("p", { class: "dim" }, "Changed since:"),
    ...since.nodes.map((difference) => told(app, difference)),
    moved,
  );
}

/**
 * @param {App} app
 * @param {Difference} difference
 */
function told(app, { kind, graph, node, title, changes }) {
  const lines = changes.map(({ name, before, after }) =>
    h(
      "span",
      { class: "difference-line", title: `${before} → ${after}` },
      `${name}: `,
      h("del", {}, shortened(before)),
      " → ",
      h("ins", {}, shortened(after)),
    ),
  );
  const words = [h("span", { class: "row-title" }, h("b", {}, SIGNS[kind]), ` ${title} ${node}`), ...lines];
  if (kind === "removed") return h("div", { class: "difference removed" }, ...words);
  const show = () => app.levels?.reveal(graph === undefined ? node : wayTo(app, graph, node));
  return h("button", { type: "button", class: `difference ${kind}`, on: { click: show } }, ...words);
}

/**
 * The way to a node inside of a definition: by the first instance that there is.
 * @param {App} app
 * @param {string} type
 * @param {string} node
 */
function wayTo(app, type, node) {
  const graph = app.session?.root.document.graph;
  /** @type {(at: import("../../core/doc/graph.js").Graph, way: string[]) => string[] | null} */
  const visit = (at, way) => {
    for (const each of at.nodes.values()) {
      const inner = at.subgraphs.get(each.type);
      if (each.type === type) return [...way, String(each.id)];
      const found = inner && way.length < 16 ? visit(inner, [...way, String(each.id)]) : null;
      if (found) return found;
    }
    return null;
  };
  return [...((graph && visit(graph, [])) ?? []), node].join(":");
}

/**
 * Show on the field what is new and what is another, and where something was that is gone.
 * @param {App} app
 * @param {Differences | null} since
 * @param {Version | undefined} version
 */
function mark({ editor, session }, since, version) {
  if (!session) return;
  const { root } = session;
  const own = (since?.nodes ?? []).filter(({ graph }) => graph === undefined);
  const ids = new Set([...root.marks.keys(), ...own.map(({ node }) => node)]);
  root.marks = new Map(own.flatMap(({ node, kind }) => (kind === "removed" ? [] : [[node, kind]])));
  const gone = own.filter(({ kind }) => kind === "removed");
  editor.overlay.gone = gone.flatMap(({ node, title }) => {
    const old = version?.record.nodes?.find((/** @type {any} */ each) => String(each?.id) === node);
    if (!old) return [];
    const [[x, y], [width, height]] = [pair(old.pos, [0, 0]), pair(old.size, [200, 80])];
    return [{ title, box: /** @type {[number, number, number, number]} */ ([x, y - 30, width, height + 30]) }];
  });
  if (session === root) editor.refresh(ids);
}
