import { portsOf } from "../core/doc/borders.js";
import { isBorder } from "../core/doc/schema.js";
import { membersOf } from "../core/graph/groups.js";
import { muteLink, toggleLink } from "../core/graph/muted.js";
import { movePort, portAt, removePort } from "../core/graph/ports.js";
import { addReroute, removeReroute } from "../core/graph/reroutes.js";
import { typeName } from "../core/graph/slot_types.js";
import {
  addFromSearch,
  cutLink,
  duplicate,
  fitGroup,
  groupSelection,
  paint,
  place,
  removeSelection,
  selectedIds,
  toggleFlagOfSelection,
  toggleSleep,
} from "./actions.js";
import { openMenu } from "./menu.js";
import { chooseFields, choiceOfFields } from "./shown_fields.js";
import { pack, renameSubgraph, unpack } from "./subgraph_actions.js";

/**
 * The menu under the right button.
 *
 * @typedef {import("./menu.js").Item} Item
 * @typedef {import("./app.js").App} App
 * @typedef {import("../view/interact/pointer.js").MenuRequest} Request
 */

const COLOURS = Object.freeze([
  ["none", ""],
  ["red", "#6e3b3f"],
  ["orange", "#6e4f32"],
  ["green", "#3b5d45"],
  ["teal", "#2f5d60"],
  ["blue", "#34507a"],
  ["violet", "#54427a"],
  ["grey", "#4a4f59"],
]);

/**
 * @param {App} app
 * @param {Request} request
 */
export function fieldMenu(app, request) {
  if (!app.session) return;
  const makers = { node: nodeItems, link: linkItems, group: groupItems, reroute: rerouteItems, field: fieldItems, port: portItems, muted: mutedItems };
  const items = makers[request.target](app, request);
  if (items.length) openMenu(items, request, `${request.target} menu`);
}

/** @param {App} app @returns {import("../view/session.js").Session} */
function sessionOf(app) {
  return /** @type {import("../view/session.js").Session} */ (app.session);
}

/** @param {App} app @returns {NonNullable<Item>} */
function colourItem(app) {
  return {
    label: "Colour",
    swatches: COLOURS.map(([name, colour]) => ({
      name,
      colour: colour || "transparent",
      run: () => paint(sessionOf(app), colour || undefined),
    })),
  };
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function nodeItems(app, request) {
  const session = sessionOf(app);
  const many = selectedIds(session).length > 1;
  const node = session.document.graph.node(request.key);
  if (isBorder(node)) return borderItems(app);
  const output = node && session.definitionFor(node)?.outputNode;
  return [
    ...(output
      ? [
          { label: "Run this output only", run: () => app.runner?.run(session, { targets: selectedIds(session).map((id) => session.path(id)) }) },
          null,
        ]
      : []),
    { label: "Rename…", keys: "F2", run: () => app.editor.services.rename(request.key), disabled: many },
    { label: "Fold or open", keys: "Alt+C", run: () => toggleFlagOfSelection(session, "collapsed") },
    { label: "Hide or show unused sockets", keys: "H", run: () => toggleFlagOfSelection(session, "unused_hidden") },
    { label: "Pin or free", keys: "P", run: () => toggleFlagOfSelection(session, "pinned") },
    null,
    { label: "Mute", keys: "M", run: () => toggleSleep(session, "mute") },
    { label: "Bypass", keys: "B", run: () => toggleSleep(session, "bypass") },
    null,
    { label: "Copy", keys: "Ctrl+C", run: () => document.execCommand("copy") },
    { label: "Duplicate", keys: "Ctrl+D", run: () => duplicate(session) },
    { label: "Group", keys: "Ctrl+G", run: () => groupSelection(session, request.at) },
    ...(many ? alignItems(session) : []),
    null,
    ...subgraphItems(app, request.key),
    null,
    colourItem(app),
    null,
    { label: "Delete, keep chain", keys: "Shift+Del", run: () => removeSelection(session, true) },
    { label: "Delete", keys: "Del", run: () => removeSelection(session) },
  ];
}

/** @param {App} app @param {string} id @returns {Item[]} */
function subgraphItems(app, id) {
  const session = sessionOf(app);
  const make = { label: "Make a subgraph", keys: "Ctrl+Shift+G", run: () => pack(app) };
  const choice = choiceOfFields(session, id);
  const fields = { label: "Show fields on the subgraph…", keys: "Shift+F", run: () => chooseFields(app, id) };
  if (!session.hasInside(String(session.document.graph.node(id)?.type))) return choice ? [fields, make] : [make];
  return [
    { label: "Open the subgraph", keys: "Enter", run: () => app.levels?.open(id) },
    { ...fields, label: "Fields that it shows…" },
    { label: "Rename the subgraph…", run: () => renameSubgraph(app, id) },
    { label: "Unpack", keys: "Alt+Shift+G", run: () => unpack(app) },
    make,
  ];
}

/** @param {App} app @returns {Item[]} */
function borderItems(app) {
  return [
    { label: "Rename the subgraph…", run: () => renameSubgraph(app) },
    { label: "Go back out", keys: "Esc", run: () => app.levels?.up() },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function portItems(app, request) {
  const { document } = sessionOf(app);
  const [node, slot] = request.key.split(":");
  const found = portAt(document.graph.node(node), Number(slot));
  if (!found) return borderItems(app);
  const { side, port } = found;
  const at = found.slot;
  const count = portsOf(document.graph)[side].length;
  const kind = side === "inputs" ? "input" : "output";
  const move = (/** @type {number} */ to) => () =>
    document.transact(`Move ${kind}`, (tx) => movePort(tx, side, at, to));
  return [
    { label: `Rename the ${kind}…`, keys: "F2", run: () => app.levels?.renamePort(side, at, port) },
    { label: "Move up", run: move(at - 1), disabled: at === 0 },
    { label: "Move down", run: move(at + 1), disabled: at === count - 1 },
    null,
    {
      label: `Remove the ${kind}`,
      run: () => document.transact(`Remove ${kind}`, (tx) => removePort(tx, side, at)),
    },
  ];
}

/** @param {import("../view/session.js").Session} session @returns {Item[]} */
function alignItems(session) {
  return [
    null,
    { label: "Arrange", keys: "Shift+L", run: () => place(session, "arrange") },
    { label: "Align left edges", run: () => place(session, "left") },
    { label: "Align right edges", run: () => place(session, "right") },
    { label: "Align tops", run: () => place(session, "top") },
    { label: "Align bottoms", run: () => place(session, "bottom") },
    { label: "Even columns", run: () => place(session, "columns") },
    { label: "Even rows", run: () => place(session, "rows") },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function linkItems(app, request) {
  const session = sessionOf(app);
  const id = Number(request.key);
  const link = session.document.graph.links.get(id);
  if (!link) return [];
  const wanted = { from: typeName(link.type) };
  return [
    {
      label: "Insert a node…",
      run: () => app.editor.services.search({ at: request.at, screen: [request.x, request.y], wanted, link: id }),
    },
    {
      label: "Add a reroute point",
      keys: "Alt+click",
      run: () => session.document.transact("Add reroute", (tx) => addReroute(tx, id, request.at, request.segment ?? 0)),
    },
    { label: "Mute the link", run: () => session.document.transact("Mute link", (tx) => muteLink(tx, id)) },
    { label: "Cut", run: () => cutLink(session, id) },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function mutedItems(app, request) {
  const { document } = sessionOf(app);
  const [node, slot] = request.key.split(":");
  const place = ["inputs", Number(slot), "muted_link"];
  return [
    { label: "Wake the link", run: () => document.transact("Wake link", (tx) => toggleLink(tx, node, Number(slot))) },
    { label: "Cut", run: () => document.transact("Cut link", (tx) => tx.set("node", node, place, undefined)) },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function groupItems(app, request) {
  const session = sessionOf(app);
  const id = Number(request.key.split(":")[1]);
  const members = membersOf(session.document.graph, id, (node) => session.scene.box(node));
  const inside = (/** @type {() => void} */ act) => () => {
    session.document.select(members);
    act();
  };
  return [
    { label: "Rename…", keys: "F2", run: () => app.editor.services.rename(request.key) },
    { label: "Select what is inside", run: inside(() => {}) },
    { label: "Fit to what is inside", run: () => fitGroup(session, id, members) },
    null,
    { label: "Mute what is inside", run: inside(() => toggleSleep(session, "mute")) },
    { label: "Bypass what is inside", run: inside(() => toggleSleep(session, "bypass")) },
    null,
    colourItem(app),
    null,
    { label: "Delete the group, keep nodes", keys: "Del", run: () => removeSelection(session) },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function rerouteItems(app, request) {
  const { document } = sessionOf(app);
  return [
    {
      label: "Remove the point",
      keys: "Del",
      run: () => document.transact("Remove reroute", (tx) => removeReroute(tx, Number(request.key.split(":")[1]))),
    },
  ];
}

/** @param {App} app @param {Request} request @returns {Item[]} */
function fieldItems(app, request) {
  const session = sessionOf(app);
  const run = (/** @type {string} */ id) => () => app.commands.find((command) => command.id === id)?.run();
  const note = session.definitions.get("Note");
  return [
    {
      label: "Add a node…",
      keys: "Tab",
      run: () => app.editor.services.search({ at: request.at, screen: [request.x, request.y] }),
    },
    { label: "Add a note", run: () => note && addFromSearch(session, note, { at: request.at, screen: [0, 0] }) },
    { label: "Add a group", keys: "Ctrl+G", run: () => groupSelection(session, request.at) },
    null,
    { label: "Undo", keys: "Ctrl+Z", run: run("undo"), disabled: !session.document.history.undoLabel },
    { label: "Redo", keys: "Ctrl+Shift+Z", run: run("redo"), disabled: !session.document.history.redoLabel },
    { label: "Select all", keys: "Ctrl+A", run: run("select-all") },
    null,
    {
      label: "Arrange all",
      run: () => {
        session.document.select([]);
        place(session, "arrange");
        app.editor.fit();
      },
    },
    { label: "Show everything", keys: ".", run: run("fit") },
  ];
}
