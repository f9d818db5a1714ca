import { isBorder } from "../core/doc/schema.js";
import { titleOf } from "../core/graph/nodes.js";

/**
 * What the field asks of the page.
 * @param {import("./app.js").App} app
 * @returns {import("../view/editor.js").Services}
 */
export function editorServices(app) {
  return {
    address: (file) => app.server.address(file),
    view: (files, index) => app.gallery?.open(files, index),
    upload: (session, id, file) => app.files?.upload(session, id, file),
    announce: (text) => app.toasts.announce(text),
    search: (request) => searchNodes(app, request),
    menu: async (request) => (await import("./context_menu.js")).fieldMenu(app, request),
    rename: (key) => renameThing(app, key),
    setting: (name) => app.settings.get(/** @type {any} */ (name)),
    embeddings: () => app.server.get("/embeddings").catch(() => []),
    connect: () => app.commands.find((command) => command.id === "connect")?.run(),
    inside: (id) => app.levels?.open(id),
    renamePort: (socket) => renamePort(app, socket),
    moved() {
      app.shell.zoomed();
      app.map?.update();
      if (app.session) app.journal.viewed(app.session.root);
    },
  };
}

/**
 * @param {import("./app.js").App} app
 * @param {import("../view/interact/linking.js").SearchRequest} request
 */
async function searchNodes(app, request) {
  const { session } = app;
  if (!session) return;
  const [{ nodeRows, openPalette }, { addFromSearch }, { findNodes }] = await Promise.all([
    import("./palette.js"),
    import("./actions.js"),
    import("../core/search/node_index.js"),
  ]);
  const recent = app.settings.get("recent");
  const { from, to } = request.wanted ?? {};
  const turn = from !== undefined && to !== undefined;
  if (turn && !findNodes(session.definitions, "", { wanted: { from, to } }).length) {
    app.toasts.show(`${from} does not fit ${to}, and no node turns one into the other.`, { tone: "bad" });
    return;
  }
  const one = request.wanted ? `Nodes for ${from ?? to}` : "Add a node";
  openPalette({
    placeholder: turn ? `${from} does not fit ${to}: turn it by` : one,
    at: request.screen,
    find: nodeRows(session.definitions, {
      wanted: request.wanted,
      recent,
      choose(def) {
        app.settings.set("recent", [def.id, ...recent.filter((id) => id !== def.id)].slice(0, 12));
        const id = addFromSearch(session, def, request);
        app.toasts.announce(`${def.title} added`);
        requestAnimationFrame(() => app.editor.nodes.mounted.get(id)?.root.focus({ preventScroll: true }));
      },
    }),
  });
}

/**
 * @param {import("./app.js").App} app
 * @param {import("../view/interact/linking.js").Socket} socket of the inputs or outputs of the subgraph on screen
 */
async function renamePort(app, { node, slot }) {
  const { portAt } = await import("../core/graph/ports.js");
  const found = portAt(app.session?.document.graph.node(node), slot);
  if (found) app.levels?.renamePort(found.side, found.slot, found.port);
}

/**
 * @param {import("./app.js").App} app
 * @param {string} key a node's id or "group:1"
 */
async function renameThing(app, key) {
  const { session } = app;
  if (!session) return;
  const [kind, id] = key.split(":");
  const { graph } = session.document;
  const node = graph.node(key);
  if (isBorder(node)) return;
  const before =
    kind === "group" ? graph.groups.get(Number(id))?.title : node && titleOf(node, session.definitionFor(node));
  const [{ askText }, { rename }] = await Promise.all([import("./dialogs.js"), import("./actions.js")]);
  const title = await askText("Rename", before ?? "", "Rename");
  if (title !== null && title !== before) rename(session, key, title.trim());
}
