import { connect, connectWidget, disconnect } from "../../core/graph/links.js";
import { compatible, typeColour, typeName } from "../../core/graph/slot_types.js";
import { titleOf } from "../../core/graph/nodes.js";
import { widgetType } from "../../core/nodes/widgets.js";

/**
 * Drawing links. A link is pulled out of an output, out of an empty input, or off an input that has one. It snaps to the
 * nearest fitting socket; let go over nothing it asks which node to make.
 *
 * @typedef {import("../editor.js").Editor} Editor
 * @typedef {import("./pointer.js").Gesture} Gesture
 * @typedef {import("../session.js").Session} Session
 * @typedef {{node: string, slot: number, widget: string}} Socket slot -1 with a widget: its socket is not made yet
 * @typedef {{at: [number, number], screen: [number, number], wanted?: import("../../core/search/node_index.js").Wanted,
 *   from?: Socket[], to?: Socket, link?: number}} SearchRequest from: outputs to join to the new node; to: an input;
 *   link: the link into which the new node goes
 */

const SNAP = 34;
const CLICK_PIXELS = 5;

/**
 * @param {HTMLElement} element
 * @returns {Socket & {side: string}}
 */
export function readSocket(element) {
  const [side, slot, ...widget] = (element.dataset.slot ?? "").split(":");
  const node = /** @type {HTMLElement} */ (element.closest("[data-node]")).dataset.node ?? "";
  return { side, slot: Number(slot), widget: widget.join(":"), node };
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {HTMLElement} element the socket pressed
 * @returns {Gesture}
 */
export function linkGesture(editor, down, element) {
  const session = /** @type {Session} */ (editor.session);
  const { graph } = session.document;
  const pressed = readSocket(element);
  editor.nodes.pinned.add(pressed.node);
  if (pressed.side === "out") {
    const all = down.shiftKey ? graph.linksOutOf(pressed.node, pressed.slot).map((link) => link.id) : [];
    return all.length
      ? pullAll(editor, down, pressed, all)
      : pull(editor, down, { from: [pressed], to: null, off: [] });
  }
  const present = pressed.slot < 0 ? undefined : graph.linkInto(pressed.node, pressed.slot);
  if (!present) return pull(editor, down, { from: [], to: pressed, off: [] });
  const origin = { node: String(present.origin_id), slot: present.origin_slot, widget: "" };
  return pull(editor, down, { from: [origin], to: null, off: [present.id] });
}

/**
 * All links of an output move to another output.
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {Socket} pressed
 * @param {number[]} ids
 */
function pullAll(editor, down, pressed, ids) {
  const { graph } = /** @type {Session} */ (editor.session).document;
  const first = graph.links.get(ids[0]);
  const to = { node: String(first?.target_id), slot: first?.target_slot ?? 0, widget: "" };
  return pull(editor, down, { from: [], to, off: ids, anchor: pressed });
}

/**
 * @typedef {{from: Socket[], to: Socket | null, off: number[], anchor?: Socket}} Pull the fixed ends; `off` are the links
 *   that this takes away or moves
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {Pull} held
 * @returns {Gesture}
 */
function pull(editor, down, held) {
  const session = /** @type {Session} */ (editor.session);
  const type = heldType(session, held);
  const fixed = held.from[0]
    ? session.scene.socket(held.from[0].node, "out", held.from[0].slot)
    : fixedInput(session, /** @type {Socket} */ (held.to));
  let far = false;
  /** @type {HTMLElement | null} */
  let target = null;
  mark(editor, held, type, true);
  const finish = () => {
    mark(editor, held, type, false);
    target?.classList.remove("target");
    editor.overlay.loose = null;
  };
  return {
    edges: true,
    move(event) {
      far ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > CLICK_PIXELS;
      target?.classList.remove("target");
      target = nearestFit(editor, event);
      target?.classList.add("target");
      const at = target ? centre(editor, target) : editor.graphPoint(event);
      const [from, to] = held.from[0] ? [fixed, at] : [at, fixed];
      editor.overlay.loose = { from, to, colour: typeColour(type), fits: target !== null };
      editor.invalidate();
    },
    up(event) {
      const end = target ? readSocket(target) : far ? bodyTarget(editor, event, held, type) : null;
      finish();
      if (end) join(session, held, end);
      else if (far) letGo(editor, event, held, type);
    },
    cancel: finish,
  };
}

/** @param {Session} session @param {Socket} to */
function fixedInput(session, to) {
  if (to.slot >= 0) return session.scene.socket(to.node, "in", to.slot);
  const row = session.scene.layout(to.node).rows.find((candidate) => candidate.widget.name === to.widget);
  const [x, y, , height] = session.scene.box(to.node);
  return /** @type {[number, number]} */ ([x, y + height - session.scene.layout(to.node).height + (row?.y ?? 0) + 13]);
}

/** @param {Session} session @param {Pull} held */
function heldType(session, held) {
  const { graph } = session.document;
  if (held.from[0]) return graph.node(held.from[0].node)?.outputs?.[held.from[0].slot]?.type ?? "*";
  return inputType(session, /** @type {Socket} */ (held.to));
}

/** @param {Session} session @param {Socket} socket */
function inputType(session, { node: id, slot, widget: name }) {
  const node = session.document.graph.node(id);
  if (slot >= 0) return node?.inputs?.[slot]?.type ?? "*";
  const def = node && session.definitionFor(node);
  const widget = def?.widgets.find((candidate) => candidate.name === name);
  return (widget && def && widgetType(widget, def)) ?? "*";
}

/**
 * Show which sockets fit.
 * @param {Editor} editor
 * @param {Pull} held
 * @param {unknown} type
 * @param {boolean} on
 */
function mark(editor, held, type, on) {
  editor.stage.classList.toggle("linking", on);
  const side = held.from.length ? "in" : "out";
  const own = (held.from[0] ?? held.to)?.node;
  for (const element of editor.nodes.root.querySelectorAll(".socket")) {
    const { dataset } = /** @type {HTMLElement} */ (element);
    const mine = /** @type {HTMLElement | null} */ (element.closest("[data-node]"))?.dataset.node === own;
    const fits =
      on &&
      !mine &&
      (dataset.slot ?? "").startsWith(side) &&
      compatible(side === "in" ? type : dataset.type, side === "in" ? dataset.type : type);
    element.classList.toggle("fits", fits);
  }
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @returns {HTMLElement | null}
 */
function nearestFit(editor, event) {
  let best = null;
  let least = SNAP;
  for (const element of editor.nodes.root.querySelectorAll(".socket.fits")) {
    const { left, top, height } =
      element.querySelector(".dot")?.getBoundingClientRect() ?? element.getBoundingClientRect();
    const distance = Math.hypot(left + height / 2 - event.clientX, top + height / 2 - event.clientY);
    if (distance < least) [least, best] = [distance, /** @type {HTMLElement} */ (element)];
  }
  return best;
}

/** @param {Editor} editor @param {HTMLElement} element */
function centre(editor, element) {
  const { left, top, width, height } = (element.querySelector(".dot") ?? element).getBoundingClientRect();
  return editor.graphPoint({ clientX: left + width / 2, clientY: top + height / 2 });
}

/**
 * Let go over the middle of a node: its first free fitting socket.
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {Pull} held
 * @param {unknown} type
 * @returns {Socket | null}
 */
function bodyTarget(editor, event, held, type) {
  const session = /** @type {Session} */ (editor.session);
  const id = session.scene.nodeAt(editor.graphPoint(event));
  const node = id && id !== (held.from[0] ?? held.to)?.node ? session.document.graph.node(id) : null;
  if (!id || !node) return null;
  if (held.from.length) {
    const inputs = (node.inputs ?? [])
      .map((input, slot) => ({ input, slot }))
      .filter(({ input }) => compatible(type, input.type));
    const choice =
      inputs.find(({ input }) => input.link == null && typeName(input.type) === typeName(type)) ??
      inputs.find(({ input }) => input.link == null) ??
      inputs[0];
    return choice ? { node: id, slot: choice.slot, widget: "" } : null;
  }
  const slot = (node.outputs ?? []).findIndex((output) => compatible(output.type, type));
  return slot >= 0 ? { node: id, slot, widget: "" } : null;
}

/**
 * @param {Session} session
 * @param {Pull} held
 * @param {Socket} end
 */
export function join(session, held, end) {
  const { document } = session;
  document.transact("Connect", (tx) => {
    const moving = held.off.map((id) => tx.graph.links.get(id)).filter((link) => link !== undefined);
    for (const link of moving) disconnect(tx, link.id);
    if (held.from.length) joinInput(session, tx, held.from[0], end);
    else if (held.anchor) for (const link of moving) connect(tx, end, { node: link.target_id, slot: link.target_slot });
    else joinInput(session, tx, end, /** @type {Socket} */ (held.to));
  });
}

/**
 * @param {Session} session
 * @param {import("../../core/doc/transact.js").Transaction} tx
 * @param {Socket} from
 * @param {Socket} to
 */
export function joinInput(session, tx, from, to) {
  const node = tx.graph.node(to.node);
  const def = node && session.definitionFor(node);
  if (to.slot < 0 && def) return connectWidget(tx, from, to.node, to.widget, def);
  return connect(tx, from, to);
}

/**
 * Nothing there: a link that was pulled off is cut; a new one asks for a node.
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {Pull} held
 * @param {unknown} type
 */
function letGo(editor, event, held, type) {
  const session = /** @type {Session} */ (editor.session);
  if (held.off.length) {
    session.document.transact("Disconnect", (tx) => held.off.forEach((id) => disconnect(tx, id)));
    editor.services.announce("Link removed");
    return;
  }
  const wanted = held.from.length ? { from: type } : { to: type };
  editor.services.search({
    at: editor.graphPoint(event),
    screen: [event.clientX, event.clientY],
    wanted,
    from: held.from.length ? held.from : undefined,
    to: held.to ?? undefined,
  });
}

/**
 * A stroke with Ctrl and Alt cuts the links that it crosses.
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @returns {Gesture}
 */
export function cutGesture(editor, down) {
  const session = /** @type {Session} */ (editor.session);
  const cut = new Set();
  let last = editor.graphPoint(down);
  const options = { key: `cut:${down.timeStamp}` };
  return {
    move(event) {
      const at = editor.graphPoint(event);
      const steps = Math.max(1, Math.ceil(Math.hypot(at[0] - last[0], at[1] - last[1]) / 4));
      for (let step = 1; step <= steps; step += 1) {
        const t = step / steps;
        const found = session.scene.linkAt([last[0] + (at[0] - last[0]) * t, last[1] + (at[1] - last[1]) * t], 4);
        if (!found) continue;
        cut.add(found.id);
        session.document.transact("Cut links", (tx) => disconnect(tx, found.id), options);
      }
      last = at;
    },
    up() {
      session.document.history.seal();
      editor.services.announce(`${cut.size} links cut`);
    },
    cancel() {
      if (cut.size) session.document.undo();
    },
  };
}

/**
 * The places that a socket can be joined to, for those who do not drag: a name and what to do.
 * @param {Session} session
 * @param {Socket & {side: string}} socket
 * @returns {{name: string, join: () => void}[]}
 */
export function partners(session, socket) {
  const { graph } = session.document;
  const out = socket.side === "out";
  const type = out ? graph.node(socket.node)?.outputs?.[socket.slot]?.type : inputType(session, socket);
  const found = [];
  for (const node of graph.nodes.values()) {
    if (String(node.id) === socket.node) continue;
    for (const [slot, port] of ((out ? node.inputs : node.outputs) ?? []).entries()) {
      if (!(out ? compatible(type, port.type) : compatible(port.type, type))) continue;
      const other = { node: String(node.id), slot, widget: "" };
      const held = out ? { from: [socket], to: null, off: [] } : { from: [], to: socket, off: [] };
      found.push({
        name: `${titleOf(node, session.definitionFor(node))} ${node.id}: ${port.label || port.name}`,
        join: () => join(session, held, other),
      });
    }
  }
  return found;
}
