import { partners, readSocket } from "../view/interact/linking.js";
import {
  duplicate,
  groupSelection,
  nudge,
  place,
  removeSelection,
  selectedIds,
  toggleFlagOfSelection,
  toggleSleep,
} from "./actions.js";
import { commandRows, openPalette } from "./palette.js";
import { KINDS } from "./panels.js";
import { fieldInUse, spreadField } from "./spread.js";
import { focusedPort, subgraphCommands } from "./subgraph_actions.js";

/**
 * The list of commands. Menus, keys, the command palette and the help all read it.
 *
 * @typedef {import("./commands.js").Command} Command
 * @typedef {import("./app.js").App} App
 * @typedef {import("../view/session.js").Session} Session
 */

/** @param {App} app @returns {Command[]} */
export function makeCommands(app) {
  return [...runCommands(app), ...fileCommands(app), ...editCommands(app), ...subgraphCommands(app), ...viewCommands(app), ...panelCommands(app)];
}

/** @param {App} app @param {(session: Session) => void} act */
function on(app, act) {
  return () => {
    if (app.session) act(app.session);
  };
}

/** @param {App} app */
function some(app) {
  return () => Boolean(app.session?.document.selection.size);
}

/** @param {App} app @returns {Command[]} */
function runCommands(app) {
  const run = (/** @type {boolean} */ front) =>
    on(app, (session) => app.runner?.run(session, { count: app.shell.count, front }));
  let last = 0;
  return [
    { id: "run", group: "Run", label: "Run", keys: ["Mod+Enter"], fields: true, run: run(false) },
    {
      id: "run-front",
      group: "Run",
      label: "Run before the others",
      keys: ["Mod+Shift+Enter"],
      fields: true,
      run: run(true),
    },
    {
      id: "cancel",
      group: "Run",
      label: "Cancel the run",
      keys: ["Mod+Alt+Enter"],
      fields: true,
      run: on(app, (session) => app.runner?.cancel(session.root)),
      enabled: () => Boolean(app.runner?.active(app.session)),
    },
    {
      id: "escape",
      group: "Edit",
      label: "Select nothing, then go back out; twice cancels the run",
      keys: ["Escape"],
      run: on(app, (session) => {
        const twice = performance.now() - last < 500;
        last = performance.now();
        const stops = twice && app.runner?.active(session);
        if (stops) app.runner?.cancel(session.root);
        else if (!session.document.selection.size && app.levels?.up()) return;
        session.document.select([]);
        if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      }),
    },
  ];
}

/** @param {App} app @returns {Command[]} */
function fileCommands(app) {
  return [
    { id: "new", group: "File", label: "New workflow", keys: ["Alt+N"], run: () => app.tabs.openBlank() },
    { id: "open", group: "File", label: "Open a file…", keys: ["Mod+O"], fields: true, run: () => app.files?.choose() },
    {
      id: "save",
      group: "File",
      label: "Save",
      keys: ["Mod+S"],
      fields: true,
      run: on(app, (session) => app.files?.save(session)),
    },
    {
      id: "save-as",
      group: "File",
      label: "Save as…",
      keys: ["Mod+Shift+S"],
      fields: true,
      run: on(app, (session) => app.files?.save(session, { as: true })),
    },
    {
      id: "export",
      group: "File",
      label: "Download workflow",
      run: on(app, (session) => app.files?.download(session)),
    },
    {
      id: "export-api",
      group: "File",
      label: "Download as prompt (API)",
      run: on(app, (session) => app.files?.download(session, { api: true })),
    },
    {
      id: "close",
      group: "File",
      label: "Close workflow",
      keys: ["Alt+W"],
      run: on(app, (session) => app.tabs.close(session.root)),
    },
    {
      id: "reopen",
      group: "File",
      label: "Reopen closed workflow",
      keys: ["Alt+Shift+T"],
      run: () => app.tabs.reopen(),
    },
    { id: "default", group: "File", label: "Open the default graph", run: () => app.tabs.openDefault() },
  ];
}

/** @param {App} app @returns {Command[]} */
function editCommands(app) {
  const tell = (/** @type {string} */ verb, /** @type {string} */ label) =>
    app.toasts.announce(label ? `${verb} ${label}` : "");
  const edit = (
    /** @type {string} */ id,
    /** @type {string} */ label,
    /** @type {string[]} */ keys,
    /** @type {(session: Session) => void} */ act,
  ) => ({ id, group: "Edit", label, keys, run: on(app, act), enabled: some(app) });
  return [
    {
      id: "undo",
      group: "Edit",
      label: "Undo",
      keys: ["Mod+Z"],
      run: on(app, (session) => tell("Undid", session.document.undo())),
    },
    {
      id: "redo",
      group: "Edit",
      label: "Redo",
      keys: ["Mod+Shift+Z", "Mod+Y"],
      run: on(app, (session) => tell("Did again", session.document.redo())),
    },
    {
      id: "select-all",
      group: "Edit",
      label: "Select all",
      keys: ["Mod+A"],
      run: on(app, ({ document: doc }) =>
        doc.select([...doc.graph.nodes.keys(), ...[...doc.graph.groups.keys()].map((id) => `group:${id}`)]),
      ),
    },
    {
      id: "add",
      group: "Edit",
      label: "Add a node…",
      keys: ["Tab", "Mod+Space"],
      run: on(app, () => addAtPointer(app)),
    },
    edit("delete", "Delete", ["Delete", "Backspace"], (session) => removeSelection(session)),
    edit("dissolve", "Delete, keep chain", ["Shift+Delete", "Shift+Backspace"], (session) =>
      removeSelection(session, true),
    ),
    edit("duplicate", "Duplicate", ["Mod+D"], duplicate),
    edit("mute", "Mute", ["M", "Mod+M"], (session) => toggleSleep(session, "mute")),
    edit("bypass", "Bypass", ["B", "Mod+B"], (session) => toggleSleep(session, "bypass")),
    edit("fold", "Fold or open", ["Alt+C"], (session) => toggleFlagOfSelection(session, "collapsed")),
    {
      id: "spread",
      group: "Edit",
      label: "Give the field to all selected nodes that have it",
      keys: ["Alt+Enter"],
      fields: true,
      run: on(app, (session) => app.toasts.announce(`${spreadField(session)} nodes more`)),
      enabled: () => Boolean(app.session && fieldInUse(app.session)?.others.length),
    },
    edit("unused", "Hide or show unused sockets", ["H"], (session) => toggleFlagOfSelection(session, "unused_hidden")),
    edit("pin", "Pin or free", ["P"], (session) => toggleFlagOfSelection(session, "pinned")),
    {
      id: "rename",
      group: "Edit",
      label: "Rename…",
      keys: ["F2"],
      run: on(app, ({ document: doc }) => {
        const found = focusedPort(app);
        if (found) app.levels?.renamePort(found.side, found.slot, found.port);
        else app.editor.services.rename([...doc.selection][0]);
      }),
      enabled: () => some(app)() || focusedPort(app) !== null,
    },
    {
      id: "group",
      group: "Edit",
      label: "Group",
      keys: ["Mod+G"],
      run: on(app, (session) => groupSelection(session, session.viewport.toGraph(app.editor.pointer))),
    },
    {
      id: "arrange",
      group: "Edit",
      label: "Arrange",
      keys: ["Shift+L"],
      run: on(app, (session) => place(session, "arrange")),
    },
    ...["left", "right", "top", "bottom", "columns", "rows"].map((how) => ({
      id: `align-${how}`,
      group: "Edit",
      label: `Align ${how}`,
      run: on(app, (session) => place(session, /** @type {any} */ (how))),
      enabled: () => Boolean(app.session && selectedIds(app.session).length > 1),
    })),
    {
      id: "connect",
      group: "Edit",
      label: "Connect the focused socket, or open the focused subgraph",
      keys: ["Enter"],
      run: () => {
        const id = focusedInstance(app);
        if (id) app.levels?.open(id);
        else connectFocused(app);
      },
      enabled: () => focusedSockets().length > 0 || focusedInstance(app) !== null,
    },
    ...arrowCommands(app),
  ];
}

/** @param {App} app @returns {Command[]} */
function arrowCommands(app) {
  const ways = /** @type {[string, number, number][]} */ ([
    ["ArrowLeft", -1, 0],
    ["ArrowRight", 1, 0],
    ["ArrowUp", 0, -1],
    ["ArrowDown", 0, 1],
  ]);
  return ways.flatMap(([key, dx, dy]) => [
    {
      id: `go-${key}`,
      group: "Move",
      label: `Go to the next node: ${key.slice(5).toLowerCase()}`,
      keys: [key],
      run: () => goTo(app, dx, dy),
    },
    {
      id: `nudge-${key}`,
      group: "Move",
      label: `Move the selection: ${key.slice(5).toLowerCase()}`,
      keys: [`Shift+${key}`],
      run: on(app, (session) => nudge(session, dx * 10, dy * 10)),
      enabled: some(app),
    },
  ]);
}

/** @param {App} app @returns {Command[]} */
function viewCommands(app) {
  return [
    { id: "fit", group: "View", label: "Show everything", keys: [".", "Home"], run: () => app.editor.fit() },
    {
      id: "fit-selection",
      group: "View",
      label: "Show the selection",
      keys: ["F"],
      run: on(app, ({ document: doc }) => app.editor.fit(doc.selection.size ? doc.selection : undefined)),
    },
    {
      id: "zoom-100",
      group: "View",
      label: "Zoom to 100 %",
      keys: ["1"],
      run: on(app, ({ viewport }) => app.editor.zoom(1 / viewport.scale)),
    },
    { id: "zoom-in", group: "View", label: "Zoom in", keys: ["+", "="], run: () => app.editor.zoom(1.25) },
    { id: "zoom-out", group: "View", label: "Zoom out", keys: ["-"], run: () => app.editor.zoom(1 / 1.25) },
    {
      id: "theme",
      group: "View",
      label: "Light or dark",
      run: () => app.settings.set("theme", document.documentElement.dataset.theme === "light" ? "dark" : "light"),
    },
    {
      id: "links",
      group: "View",
      label: "Links: curved, straight, square or hidden",
      keys: ["L"],
      run: () => nextLinkStyle(app),
    },
    {
      id: "strip",
      group: "View",
      label: "Show or hide the picture strip",
      keys: ["G"],
      run: () => app.settings.set("strip", !app.settings.get("strip")),
    },
    {
      id: "map",
      group: "View",
      label: "Show or hide the map",
      keys: ["Shift+M"],
      run: () => app.settings.set("map", !app.settings.get("map")),
    },
    {
      id: "pause",
      group: "Run",
      label: "Pause the queue, or let it go on",
      run: () => app.server.post(`/queue/${app.runner?.paused ? "resume" : "pause"}`, {}),
    },
    {
      id: "commands",
      group: "Help",
      label: "All commands…",
      keys: ["Mod+K", "F1"],
      fields: true,
      run: () => openPalette({ placeholder: "What do you want to do?", find: commandRows(app.commands) }),
    },
    {
      id: "shortcuts",
      group: "Help",
      label: "Keys and gestures",
      keys: ["?"],
      run: async () => (await import("./help.js")).showKeys(app),
    },
    {
      id: "settings",
      group: "View",
      label: "Settings…",
      keys: ["Mod+,"],
      fields: true,
      run: async () => (await import("./settings_dialog.js")).showSettings(app),
    },
  ];
}

/** @param {App} app */
function nextLinkStyle({ settings, toasts }) {
  const styles = /** @type {const} */ (["spline", "straight", "square", "hidden"]);
  const next = styles[(styles.indexOf(settings.get("links")) + 1) % styles.length];
  settings.set("links", next);
  toasts.announce(`Links: ${next}`);
}

/** @param {App} app @returns {Command[]} */
function panelCommands(app) {
  return Object.entries(KINDS).map(([name, { keys, title }]) => ({
    id: `panel-${name}`,
    group: "View",
    label: `Panel: ${title}`,
    keys: [keys],
    run: () => app.panels.toggle(name),
  }));
}

/** @param {App} app */
function addAtPointer(app) {
  const { session, editor } = app;
  if (!session) return;
  const box = editor.stage.getBoundingClientRect();
  const [x, y] = editor.pointer;
  const inside = x > 0 && y > 0 && x < box.width && y < box.height;
  const local = /** @type {[number, number]} */ (inside ? [x, y] : [box.width / 2, box.height / 3]);
  editor.services.search({ at: session.viewport.toGraph(local), screen: [box.left + local[0], box.top + local[1]] });
}

/** The sockets of the focused node, or the focused socket. @returns {HTMLElement[]} */
function focusedSockets() {
  const active = document.activeElement;
  if (active?.matches("[data-slot]")) return [/** @type {HTMLElement} */ (active)];
  return active?.matches(".node") ? [...active.querySelectorAll(/** @type {any} */ ("[data-slot]:not(.offer)"))] : [];
}

/** The node that has the keyboard, where it is a subgraph. @param {App} app */
function focusedInstance({ session }) {
  const { activeElement: active } = document;
  const id = active instanceof HTMLElement && active.matches(".node") ? active.dataset.node : undefined;
  return id && session?.hasInside(String(session.document.graph.node(id)?.type)) ? id : null;
}

/** Join with the keyboard: choose a socket of the focused node, then its partner. @param {App} app */
function connectFocused(app) {
  const { session } = app;
  const sockets = focusedSockets();
  if (!session) return;
  const rows = sockets.flatMap((element) => {
    const socket = readSocket(element);
    return partners(session, socket).map((partner) => ({
      title: `${element.getAttribute("aria-label")?.split(",")[0]} → ${partner.name}`,
      detail: "connect",
      run: partner.join,
    }));
  });
  openPalette({
    placeholder: "Connect to…",
    find: (query) => rows.filter((row) => row.title.toLowerCase().includes(query.toLowerCase())),
  });
}

/**
 * Put the keyboard on the nearest node in a direction.
 * @param {App} app
 * @param {number} dx
 * @param {number} dy
 */
function goTo(app, dx, dy) {
  const { session, editor } = app;
  if (!session) return;
  const [from] = selectedIds(session);
  const middle = (/** @type {string} */ id) => {
    const [x, y, width, height] = session.scene.box(id);
    return [x + width / 2, y + height / 2];
  };
  const [x, y] = from ? middle(from) : session.viewport.toGraph([0, 0]);
  let [best, least] = ["", Infinity];
  for (const id of session.document.graph.nodes.keys()) {
    const [nx, ny] = middle(id);
    const along = (nx - x) * dx + (ny - y) * dy;
    const aside = Math.abs((nx - x) * dy) + Math.abs((ny - y) * dx);
    if (id !== from && (along > 1 || !from) && along + aside * 2 < least) [best, least] = [id, along + aside * 2];
  }
  if (!best) return;
  session.document.select([best]);
  const [left, top] = session.viewport.visible(-60);
  const box = session.scene.box(best);
  const [, , width, height] = session.viewport.visible(-60);
  if (box[0] < left || box[1] < top || box[0] + box[2] > left + width || box[1] + box[3] > top + height)
    editor.fit([best]);
  requestAnimationFrame(() => editor.nodes.mounted.get(best)?.root.focus({ preventScroll: true }));
}
