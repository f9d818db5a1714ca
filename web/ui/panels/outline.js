import { executionOrder } from "../../core/graph/topology.js";
import { titleOf } from "../../core/graph/nodes.js";
import { score } from "../../core/search/fuzzy.js";
import { fill, h } from "../../view/dom.js";

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
  const go = (/** @type {string} */ id) => {
    app.session?.document.select([id]);
    app.editor.fit([id]);
    requestAnimationFrame(() =>
      requestAnimationFrame(() => app.editor.nodes.mounted.get(id)?.root.focus({ preventScroll: true })),
    );
  };
  const update = () => {
    const { session } = app;
    if (!session) return;
    if (session !== watched) {
      stop();
      watched = session;
      stop = session.document.subscribe((change) => {
        if (change.structure && app.panels.shown === "outline") update();
      });
    }
    fill(tree, ...rows(session, search.value.trim(), go));
  };
  search.addEventListener("input", update);
  tree.addEventListener("keydown", (event) => walk(tree, event));
  return { root: h("div", { class: "panel-body" }, search, tree), update };
}

/**
 * @param {import("../../view/session.js").Session} session
 * @param {string} query
 * @param {(id: string) => void} go
 */
function rows(session, query, go) {
  const { graph, selection } = session.document;
  const found = executionOrder(graph)
    .map((id) => ({ id, node: graph.node(id) }))
    .filter(({ id, node }) => {
      return node && (!query || score(query, `${titleOf(node, session.definitionFor(node))} ${node.type} ${id}`) > 0);
    });
  return found.slice(0, 2000).map(({ id, node }, index) =>
    h(
      "button",
      {
        type: "button",
        class: `panel-row${session.problems.has(id) ? " bad" : ""}`,
        role: "treeitem",
        tabindex: index === 0 ? 0 : -1,
        "aria-selected": String(selection.has(id)),
        on: { click: () => go(id) },
      },
      h("span", { class: "row-title" }, node ? titleOf(node, session.definitionFor(node)) : id),
      h("span", { class: "count" }, id),
    ),
  );
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
