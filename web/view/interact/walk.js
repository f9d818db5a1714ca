import { disconnect } from "../../core/graph/links.js";
import { toggleLink } from "../../core/graph/muted.js";
import { portAt, removePort } from "../../core/graph/ports.js";
import { joinPick, pickUp, readSocket } from "./linking.js";

/**
 * The keyboard inside nodes. Tab goes through a node's sockets and fields; arrows go from socket to socket, Alt and an
 * arrow along a link or between a field and its socket; Enter joins from a list, Space joins by hand, Delete cuts.
 *
 * @typedef {import("../editor.js").Editor} Editor
 */

const SOCKETS = ".socket:not(.offer)";

/** @param {Editor} editor */
export function listenWalk(editor) {
  const { root } = editor.nodes;
  root.addEventListener("focusin", (event) => reachable(/** @type {Element} */ (event.target), 0));
  root.addEventListener("focusout", (event) => {
    const next = /** @type {Element | null} */ (event.relatedTarget);
    const node = /** @type {Element} */ (event.target).closest(".node");
    if (node && !node.contains(next)) reachable(node, -1);
  });
  root.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const handled = target.matches("[data-slot]")
      ? onSocket(editor, target, event)
      : target.matches(".node")
        ? onNode(target, event)
        : onField(target, event);
    if (!handled) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/**
 * The sockets of the node that has the keyboard are in the way of Tab; those of all others are not.
 * @param {Element} inside
 * @param {0 | -1} index
 */
function reachable(inside, index) {
  for (const socket of inside.closest(".node")?.querySelectorAll(SOCKETS) ?? [])
    /** @type {HTMLElement} */ (socket).tabIndex = index;
}

/** @param {HTMLElement} node @param {KeyboardEvent} event @returns {boolean} */
function onNode(node, event) {
  if (!event.altKey || event.key !== "ArrowDown") return false;
  return focusOn(node.querySelector(SOCKETS) ?? node.querySelector("input, textarea, button.combo, .toggle"));
}

/** From a field to the socket that can feed it. @param {HTMLElement} field @param {KeyboardEvent} event */
function onField(field, event) {
  const name = /** @type {HTMLElement | null} */ (field.closest(".widget"))?.dataset.input;
  if (!name || !event.altKey || event.key !== "ArrowLeft") return false;
  const sockets = [...(field.closest(".node")?.querySelectorAll("[data-slot^='in:']") ?? [])];
  return focusOn(sockets.find((socket) => /** @type {HTMLElement} */ (socket).dataset.input === name));
}

/**
 * @param {Editor} editor
 * @param {HTMLElement} element
 * @param {KeyboardEvent} event
 * @returns {boolean}
 */
function onSocket(editor, element, event) {
  const socket = readSocket(element);
  const node = /** @type {HTMLElement} */ (element.closest(".node"));
  if (event.ctrlKey || event.metaKey) return false;
  if (event.altKey) return along(editor, socket, event.key) || toField(node, element, event.key);
  switch (event.key) {
    case "ArrowUp":
    case "ArrowDown":
      return focusOn(neighbour(node, element, socket.side, event.key === "ArrowDown" ? 1 : -1));
    case "ArrowLeft":
      return focusOn(node.querySelector(`${SOCKETS}.in`));
    case "ArrowRight":
      return focusOn(node.querySelector(`${SOCKETS}.out`));
    case "Enter":
      if (editor.pick) joinPick(editor, editor.pick, socket);
      else editor.services.connect();
      return true;
    case " ":
      if (editor.pick) joinPick(editor, editor.pick, socket);
      else pickUp(editor, socket);
      return true;
    case "Delete":
    case "Backspace":
      return cut(editor, socket) || dropPort(editor, socket);
    case "m":
      return muteAt(editor, socket);
    case "Escape":
      editor.pick?.drop();
      return focusOn(node);
    default:
      return false;
  }
}

/**
 * Mute the link of an input, or wake it.
 * @param {Editor} editor
 * @param {import("./linking.js").Socket & {side: string}} socket
 * @returns {boolean}
 */
function muteAt(editor, { side, node, slot }) {
  const { document } = /** @type {import("../session.js").Session} */ (editor.session);
  if (side !== "in" || slot < 0) return false;
  const done = document.transact("Mute link", (tx) => toggleLink(tx, node, slot));
  editor.services.announce(done ? `Link ${done}` : "There is no link");
  return true;
}

/** @param {Element | null | undefined} element @returns {true} */
function focusOn(element) {
  /** @type {HTMLElement | null | undefined} */ (element)?.focus({ preventScroll: true });
  return true;
}

/**
 * @param {HTMLElement} node
 * @param {HTMLElement} element
 * @param {string} side
 * @param {number} step
 */
function neighbour(node, element, side, step) {
  const all = [...node.querySelectorAll(`${SOCKETS}.${side}`)];
  const at = all.indexOf(element);
  return at < 0 ? all[0] : all[(at + step + all.length) % all.length];
}

/**
 * Go to the other end of a link.
 * @param {Editor} editor
 * @param {import("./linking.js").Socket & {side: string}} socket
 * @param {string} key
 * @returns {boolean}
 */
function along(editor, { node, slot, side }, key) {
  const graph = editor.session?.document.graph;
  const link =
    side === "in" && key === "ArrowLeft"
      ? graph?.linkInto(node, slot)
      : side === "out" && key === "ArrowRight"
        ? graph?.linksOutOf(node, slot)[0]
        : undefined;
  if (!link) return false;
  const [id, end] =
    side === "in"
      ? [String(link.origin_id), `out:${link.origin_slot}:`]
      : [String(link.target_id), `in:${link.target_slot}:`];
  editor.reveal(id, (root) => focusOn(root.querySelector(`[data-slot^='${end}']`)));
  return true;
}

/** @param {HTMLElement} node @param {HTMLElement} element @param {string} key @returns {boolean} */
function toField(node, element, key) {
  if (key !== "ArrowRight" || !element.classList.contains("of-widget")) return false;
  const name = CSS.escape(element.dataset.input ?? "");
  return focusOn(node.querySelector(`.widget[data-input="${name}"] :is(input, textarea, button)`));
}

/**
 * @param {Editor} editor
 * @param {import("./linking.js").Socket & {side: string}} socket
 * @returns {boolean}
 */
function cut(editor, { node, slot, side }) {
  const document = editor.session?.document;
  const into = document?.graph.linkInto(node, slot);
  const links = side === "out" ? (document?.graph.linksOutOf(node, slot) ?? []) : into ? [into] : [];
  if (!document || !links.length) return false;
  document.transact("Disconnect", (tx) => links.forEach((link) => disconnect(tx, link.id)));
  editor.services.announce(links.length > 1 ? `${links.length} links removed` : "Link removed");
  return true;
}

/**
 * An input or output of the subgraph on screen that nothing is joined to goes.
 * @param {Editor} editor
 * @param {import("./linking.js").Socket} socket
 * @returns {true}
 */
function dropPort(editor, { node, slot }) {
  const document = editor.session?.document;
  const found = portAt(document?.graph.node(node), slot);
  if (!document || !found) return true;
  document.transact("Remove a port", (tx) => removePort(tx, found.side, slot));
  editor.services.announce(`${found.port.label || found.port.name} removed`);
  return true;
}
