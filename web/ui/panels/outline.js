import { executionOrder } from "../../core/graph/topology.js";
import { isBorder } from "../../core/doc/schema.js";
import { titleOf } from "../../core/graph/nodes.js";
import { score } from "../../core/search/fuzzy.js";
import { fill, h } from "../../view/dom.js";

const MOST = 2000;
const DEEPEST = 16;

/**
 * The graph as a list in the order in which it runs: the way round it for keyboards and screen readers.
 * @param {import("../app.js").App} app
 */
export function makePanel(app) {
  const search = h("input", {
    type: "search",
    class: "panel-search",
    placeholder: "Find in graph",
    "aria-label": "Find in graph",
  });
  const tree = h("div", { class: "panel-list", role: "tree", "aria-label": "Nodes in running order" });
  /** @type {import("../../view/session.js").Session | null} */
  let watched = null;
  let stop = () => {};
  const update = () => {
    const session = app.session?.root;
    if (!session) return;
    if (session !== watched) {
      stop();
      watched = session;
      stop = session.document.subscribe((_, patches) => {
        if (patches.some(({ op }) => op !== "set") && app.panels.shown === "outline") update();
      });
    }
    fill(tree, ...rows(session, search.value.trim(), (path) => app.levels?.reveal(path)));
  };
  search.addEventListener("input", update);
  tree.addEventListener("keydown", (event) => walk(tree, event));
  return { root: h("div", { class: "panel-body" }, search, tree), update };
}

/**
 * @typedef {{path: string, node: import("../../core/doc/schema.js").NodeRecord, depth: number}} Entry path: the ids of the
 *   subgraphs around it and its own
 */

/**
 * The nodes of a graph in running order, what is inside of a subgraph behind it.
 * @param {import("../../core/doc/graph.js").Graph} graph
 * @param {string} [prefix]
 * @param {number} [depth]
 * @returns {Generator<Entry>}
 */
function* entriesOf(graph, prefix = "", depth = 0) {
  for (const id of executionOrder(graph)) {
    const node = graph.node(id);
    if (!node || isBorder(node)) continue;
    const path = `${prefix}${id}`;
    yield { path, node, depth };
    const inner = graph.subgraphs.get(node.type);
    if (inner && depth < DEEPEST) yield* entriesOf(inner, `${path}:`, depth + 1);
  }
}

/**
 * @param {import("../../view/session.js").Session} session of the workflow
 * @param {string} query
 * @param {(path: string) => void} go
 */
function rows(session, query, go) {
  const { front, document } = session;
  /** @type {HTMLElement[]} */
  const made = [];
  for (const { path, node, depth } of entriesOf(document.graph)) {
    const title = titleOf(node, session.definition(node.type));
    if (query && score(query, `${title} ${node.type} ${path}`) <= 0) continue;
    const [here] = front.local([path]);
    const row = h(
      "button",
      {
        type: "button",
        class: `panel-row${session.problems.has(path) ? " bad" : ""}`,
        role: "treeitem",
        tabindex: made.length ? -1 : 0,
        "aria-level": depth + 1,
        "aria-selected": String(here !== undefined && front.document.selection.has(here)),
        on: { click: () => go(path) },
      },
      h("span", { class: "row-title" }, title),
      h("span", { class: "count" }, path),
    );
    row.style.paddingLeft = `${8 + 14 * depth}px`;
    made.push(row);
    if (made.length === MOST) break;
  }
  return made;
}

/** @param {HTMLElement} tree @param {KeyboardEvent} event */
function walk(tree, event) {
  const all = /** @type {HTMLElement[]} */ ([...tree.children]);
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (next === undefined || !all[next]) return;
  event.preventDefault();
  event.stopPropagation();
  all[at]?.setAttribute("tabindex", "-1");
  all[next].setAttribute("tabindex", "0");
  all[next].focus();
}
