import { packNodes } from "../core/graph/pack.js";
import { unpackInstance } from "../core/graph/unpack.js";
import { portAt } from "../core/graph/ports.js";
import { isLevel } from "../view/level.js";
import { readSocket } from "../view/interact/linking.js";
import { selectedIds } from "./actions.js";
import { chooseFields, choiceOfFields } from "./shown_fields.js";

/**
 * What one does with subgraphs as a whole.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("./commands.js").Command} Command
 * @typedef {import("../view/session.js").Session} Session
 */

/**
 * Put the selection into a subgraph of its own.
 * @param {Session} session
 * @returns {string} the new instance's id
 * @throws {RangeError} where that cannot be, with the reason and the way out
 */
export function packSelection(session) {
  const { document, scene } = session;
  const keys = [...document.selection];
  const boxes = keys.map((key) => (key.includes(":") ? null : scene.boundsOf(key))).filter((box) => box !== null);
  const [left, top] = [Math.min(...boxes.map(([x]) => x)), Math.min(...boxes.map(([, y]) => y))];
  const right = Math.max(...boxes.map(([x, , width]) => x + width));
  const bottom = Math.max(...boxes.map(([, y, , height]) => y + height));
  const options = {
    name: freeName(document.graph),
    bounds: /** @type {[number, number, number, number]} */ ([left, top, right - left, bottom - top]),
    definitionOf: (/** @type {import("../core/doc/schema.js").NodeRecord} */ node) => session.definitionFor(node),
  };
  const instance = document.transact("Make a subgraph", (tx) => packNodes(tx, keys, options));
  document.select([String(instance.id)]);
  return String(instance.id);
}

/** @param {import("../core/doc/graph.js").Graph} graph */
function freeName(graph) {
  const taken = new Set([...graph.subgraphs.values()].map(({ record }) => record.name));
  let count = 1;
  while (taken.has(count === 1 ? "Subgraph" : `Subgraph ${count}`)) count += 1;
  return count === 1 ? "Subgraph" : `Subgraph ${count}`;
}

/**
 * Put what is in the selected subgraphs in their places.
 * @param {Session} session
 */
export function unpackSelection(session) {
  const { document } = session;
  const ids = instancesOf(session);
  const keys = document.transact("Unpack", (tx) =>
    ids.flatMap((id) => unpackInstance(tx, id, (node) => session.definitionFor(node))),
  );
  document.select(keys);
}

/** @param {Session} session @returns {string[]} the selected nodes that have an inside */
function instancesOf(session) {
  return selectedIds(session).filter((id) => session.hasInside(session.document.graph.node(id)?.type ?? ""));
}

/**
 * Ask for the name of a subgraph, which all its instances show that have no title of their own.
 * @param {App} app
 * @param {string} [id] an instance on screen; else the subgraph that is on screen
 */
export async function renameSubgraph(app, id) {
  const { session } = app;
  if (!session) return;
  const { graph } = session.document;
  const type = id === undefined ? (isLevel(session) ? session.type : "") : String(graph.node(id)?.type);
  const before = graph.subgraphs.get(type)?.record.name;
  if (before === undefined) return;
  const { askText } = await import("./dialogs.js");
  const name = (await askText("Rename the subgraph", String(before), "Rename"))?.trim();
  if (!name || name === before) return;
  session.document.transact("Rename the subgraph", (tx) => tx.top.within(type).set("root", "", ["name"], name));
  app.levels?.draw();
  app.editor.refresh(graph.nodes.keys());
}

/**
 * The input or output of the subgraph on screen whose socket has the keyboard.
 * @param {App} app
 */
export function focusedPort({ session }) {
  const element = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".node [data-slot]") ?? null);
  if (!element || !session) return null;
  const { node, slot } = readSocket(element);
  return portAt(session.document.graph.node(node), slot);
}

/** @param {App} app @param {(session: Session) => void} act something that says why it cannot be */
export function attempt(app, act) {
  if (!app.session) return;
  try {
    act(app.session);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    app.toasts.show(error.message, { tone: "bad" });
  }
}

/** @param {App} app */
export function pack(app) {
  attempt(app, (session) => {
    const count = selectedIds(session).length;
    const id = packSelection(session);
    app.toasts.announce(`A subgraph of ${count === 1 ? "one node" : `${count} nodes`}`);
    app.editor.reveal(id);
  });
}

/** @param {App} app */
export function unpack(app) {
  attempt(app, (session) => {
    unpackSelection(session);
    app.toasts.announce(`${session.document.selection.size} unpacked`);
  });
}

/** @param {App} app @returns {Command[]} */
export function subgraphCommands(app) {
  const chosen = () => (app.session ? instancesOf(app.session) : []);
  return [
    {
      id: "inside",
      group: "Subgraphs",
      label: "Open the subgraph",
      keys: ["Mod+ArrowDown"],
      run: () => app.levels?.open(chosen()[0]),
      enabled: () => chosen().length === 1,
    },
    {
      id: "outside",
      group: "Subgraphs",
      label: "Go back out of the subgraph",
      keys: ["Mod+ArrowUp"],
      run: () => app.levels?.up(),
      enabled: () => Boolean(app.session?.document.place),
    },
    {
      id: "pack",
      group: "Subgraphs",
      label: "Make a subgraph of the selection",
      keys: ["Mod+Shift+G"],
      run: () => pack(app),
      enabled: () => Boolean(app.session && selectedIds(app.session).length),
    },
    {
      id: "unpack",
      group: "Subgraphs",
      label: "Unpack the subgraph",
      keys: ["Alt+Shift+G"],
      run: () => unpack(app),
      enabled: () => chosen().length > 0,
    },
    {
      id: "fields",
      group: "Subgraphs",
      label: "Fields that the subgraph shows…",
      keys: ["Shift+F"],
      run: () => chooseFields(app),
      enabled: () => choiceOfFields(app.session) !== null,
    },
    {
      id: "rename-subgraph",
      group: "Subgraphs",
      label: "Rename the subgraph…",
      run: () => renameSubgraph(app, chosen()[0]),
      enabled: () => chosen().length === 1 || Boolean(app.session?.document.place),
    },
  ];
}
