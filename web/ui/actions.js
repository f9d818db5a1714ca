import { isBorder, MODE, pair } from "../core/doc/schema.js";
import { align, arrange } from "../core/graph/arrange.js";
import { stringifyJson } from "../core/format/json.js";
import { copySelection, paste, readClip } from "../core/graph/clipboard.js";
import { addGroup, membersOf, padded, union } from "../core/graph/groups.js";
import { connect, disconnect, insertOnLink } from "../core/graph/links.js";
import { addNode, removeNodes, toggleFlag, toggleMode } from "../core/graph/nodes.js";
import { removeReroute } from "../core/graph/reroutes.js";
import { firstInputFor } from "../core/nodes/widgets.js";
import { alike, compatible } from "../core/graph/slot_types.js";
import { joinInput } from "../view/interact/linking.js";
import { moveTo } from "../view/interact/moving.js";

/**
 * What one can do to the selection. Each is one named step of undo.
 *
 * @typedef {import("../view/session.js").Session} Session
 */

/** @param {Session} session @returns {string[]} ids of the selected nodes */
export function selectedIds({ document }) {
  return document.selectedNodes().map((node) => String(node.id));
}

/** @param {Session} session @param {boolean} [keepChain] */
export function removeSelection(session, keepChain = false) {
  const { document } = session;
  const keys = [...document.selection];
  document.transact(keepChain ? "Delete, keep chain" : "Delete", (tx) => {
    removeNodes(tx, selectedIds(session), { keepChain });
    for (const key of keys) {
      const [kind, id] = key.split(":");
      if (kind === "group") tx.remove("group", id);
      if (kind === "reroute") removeReroute(tx, Number(id));
    }
  });
}

/** @param {Session} session @param {"mute" | "bypass"} what */
export function toggleSleep(session, what) {
  const mode = what === "mute" ? MODE.MUTED : MODE.BYPASS;
  session.document.transact(what === "mute" ? "Mute" : "Bypass", (tx) => toggleMode(tx, selectedIds(session), mode));
}

const FLAGS = Object.freeze({ collapsed: "Fold", pinned: "Pin", unused_hidden: "Hide unused sockets" });

/** @param {Session} session @param {keyof typeof FLAGS} flag */
export function toggleFlagOfSelection(session, flag) {
  session.document.transact(FLAGS[flag], (tx) => toggleFlag(tx, selectedIds(session), flag));
}

/** @param {Session} session @returns {string | null} the selection as text */
export function copyText({ document }) {
  const clip = copySelection(document);
  return clip && stringifyJson(clip);
}

/**
 * @param {Session} session
 * @param {string} text
 * @param {[number, number] | null} at
 * @param {boolean} [outerLinks]
 * @returns {boolean} false where the text is no clip
 */
export function pasteText(session, text, at, outerLinks = false) {
  const clip = readClip(text);
  if (!clip) return false;
  const { document } = session;
  document.select(document.transact("Paste", (tx) => paste(tx, clip, at, { outerLinks })));
  return true;
}

/** @param {Session} session */
export function duplicate({ document }) {
  const clip = copySelection(document);
  if (clip) document.select(document.transact("Duplicate", (tx) => paste(tx, clip, null, { outerLinks: true })));
}

/** @param {Session} session @param {[number, number]} at */
export function groupSelection({ document, scene }, at) {
  const boxes = [...document.selection].map((key) => scene.boundsOf(key)).filter((box) => box !== null);
  document.select([document.transact("Group", (tx) => addGroup(tx, boxes, at))]);
}

/** Fit a group to what is in it. @param {Session} session @param {number} id @param {string[]} members */
export function fitGroup({ document, scene }, id, members) {
  const boxes = members.map((key) => scene.boundsOf(key)).filter((box) => box !== null);
  if (boxes.length)
    document.transact("Fit group", (tx) => tx.set("group", id, ["bounding"], padded(union(boxes)).map(Math.round)));
}

/** @param {Session} session @returns {import("../core/graph/arrange.js").Box[]} of the selection, or of all nodes */
function boxes({ document, scene }) {
  const chosen = [...document.graph.nodes.keys()].filter((id) => document.selection.has(id));
  const ids = chosen.length > 1 ? chosen : [...document.graph.nodes.keys()];
  return ids.map((id) => {
    const [x, y, width, height] = scene.box(id);
    return { id, x, y, width, height };
  });
}

/**
 * @param {Session} session
 * @param {import("../core/graph/arrange.js").Alignment | "arrange"} how
 */
export function place(session, how) {
  const all = boxes(session);
  if (all.length < 2) return;
  const places = how === "arrange" ? arrange(session.document.graph, all) : align(all, how);
  const before = new Map(all.map((box) => [box.id, box]));
  const groups = how === "arrange" ? groupsOf(session) : [];
  session.document.transact(how === "arrange" ? "Arrange" : "Align", (tx) => {
    for (const [id, [x, y]] of places) {
      const box = before.get(id);
      const pos = /** @type {any} */ (tx.graph.node(id)).pos;
      if (box) moveTo(tx, id, [Math.round(pos[0] + x - box.x), Math.round(pos[1] + y - box.y)]);
    }
    for (const { id, members } of groups) {
      const inside = members.map((member) => {
        const [x, y, width, height] = session.scene.box(member);
        return /** @type {[number, number, number, number]} */ ([...(places.get(member) ?? [x, y]), width, height]);
      });
      tx.set("group", id, ["bounding"], padded(union(inside)).map(Math.round));
    }
  });
}

/** The groups with the nodes inside them, so that they can go with them. @param {Session} session */
function groupsOf({ document: { graph }, scene }) {
  return [...graph.groups.keys()]
    .map((id) => ({ id, members: membersOf(graph, id, (node) => scene.box(node)).filter((key) => !key.includes(":")) }))
    .filter(({ members }) => members.length);
}

/** Move the selection. @param {Session} session @param {number} dx @param {number} dy */
export function nudge({ document }, dx, dy) {
  document.transact(
    "Move",
    (tx) => {
      for (const node of document.selectedNodes()) {
        const pos = /** @type {any} */ (node.pos);
        tx.set("node", node.id, ["pos"], [pos[0] + dx, pos[1] + dy]);
      }
    },
    { key: "nudge" },
  );
}

/**
 * @param {Session} session
 * @param {string | undefined} colour undefined takes the colour off
 */
export function paint({ document }, colour) {
  document.transact("Colour", (tx) => {
    for (const key of document.selection) {
      const [kind, id] = key.split(":");
      if (kind === "group") tx.set("group", id, ["color"], colour);
      else if (kind !== "reroute" && !isBorder(tx.graph.node(key))) {
        tx.set("node", key, ["color"], colour);
        tx.set("node", key, ["bgcolor"], undefined);
      }
    }
  });
}

/** @param {Session} session @param {string} key @param {string} title */
export function rename({ document }, key, title) {
  const [kind, id] = key.split(":");
  document.transact("Rename", (tx) =>
    tx.set(kind === "group" ? "group" : "node", kind === "group" ? id : key, ["title"], title || undefined),
  );
}

/**
 * Add a node and join it to what was asked for.
 * @param {Session} session
 * @param {import("../core/nodes/definitions.js").NodeDef} def
 * @param {import("../view/interact/linking.js").SearchRequest} request
 * @returns {string} its id
 */
export function addFromSearch(session, def, request) {
  const { document } = session;
  const id = document.transact(`Add ${def.title}`, (tx) => {
    const node = addNode(tx, def, request.at);
    if (request.to) {
      // Left of what it feeds; one that also has what feeds it stands between the two.
      const [width] = pair(node.size, [0, 0]);
      const left = request.at[0] - width / (request.from ? 2 : 1);
      tx.set("node", node.id, ["pos"], [Math.round(left), Math.round(request.at[1])]);
    }
    const made = String(node.id);
    for (const from of request.from ?? []) {
      const type = tx.graph.node(from.node)?.outputs?.[from.slot]?.type;
      const port = firstInputFor(def, type);
      const slot = (node.inputs ?? []).findIndex((input) => input.name === port?.name);
      if (port) joinInput(session, tx, from, { node: made, slot, widget: port.name });
    }
    if (request.to) joinTo(session, tx, node, request.to);
    if (request.link !== undefined) insertOnLink(tx, request.link, made);
    if (request.from && request.to) joinNeeds(tx, node, def);
    return made;
  });
  document.select([id]);
  return id;
}

/**
 * @param {Session} session
 * @param {import("../core/doc/transact.js").Transaction} tx
 * @param {import("../core/doc/schema.js").NodeRecord} node
 * @param {import("../view/interact/linking.js").Socket} to
 */
function joinTo(session, tx, node, to) {
  const target = tx.graph.node(to.node);
  const def = target && session.definitionFor(target);
  const type =
    to.slot >= 0 ? target?.inputs?.[to.slot]?.type : def?.inputs.find((input) => input.name === to.widget)?.type;
  const slot = (node.outputs ?? []).findIndex((output) => compatible(output.type, type));
  if (slot < 0) return;
  if (node.type === "PrimitiveNode" && def) givePrimitive(session, tx, node, to, def);
  joinInput(session, tx, { node: String(node.id), slot, widget: "" }, to);
}

/**
 * What a node needs besides, such as the VAE of a decoder, where the graph has just one output of the type.
 * @param {import("../core/doc/transact.js").Transaction} tx
 * @param {import("../core/doc/schema.js").NodeRecord} node
 * @param {import("../core/nodes/definitions.js").NodeDef} def
 */
function joinNeeds(tx, node, def) {
  const needed = new Set(def.inputs.filter(({ optional, widget }) => !optional && !widget).map(({ name }) => name));
  for (const [slot, { name, type, link }] of (node.inputs ?? []).entries()) {
    if (link != null || !needed.has(name)) continue;
    const sources = [...tx.graph.nodes.values()].flatMap((other) =>
      (other.outputs ?? []).flatMap((output, at) => (alike(output.type, type) ? [{ node: other.id, slot: at }] : [])),
    );
    const others = sources.filter((source) => String(source.node) !== String(node.id));
    if (others.length === 1) connect(tx, others[0], { node: node.id, slot });
  }
}

/**
 * A primitive takes over the value of the widget that it feeds.
 * @param {Session} _session
 * @param {import("../core/doc/transact.js").Transaction} tx
 * @param {import("../core/doc/schema.js").NodeRecord} node
 * @param {import("../view/interact/linking.js").Socket} to
 * @param {import("../core/nodes/definitions.js").NodeDef} def
 */
function givePrimitive(_session, tx, node, to, def) {
  const index = def.widgets.findIndex((widget) => widget.name === to.widget);
  const values = tx.graph.node(to.node)?.widgets_values;
  const value = Array.isArray(values) ? values[index] : undefined;
  const type = def.inputs.find((input) => input.name === to.widget)?.type ?? "*";
  tx.set("node", node.id, ["widgets_values"], [value ?? null, "fixed"]);
  tx.set("node", node.id, ["outputs", 0, "type"], type);
  tx.set("node", node.id, ["outputs", 0, "name"], type);
}

/** @param {Session} session @param {number} id */
export function cutLink({ document }, id) {
  document.transact("Cut link", (tx) => disconnect(tx, id));
}
