import { pair } from "../../core/doc/schema.js";
import { connect, connectWidget, disconnect } from "../../core/graph/links.js";
import { compatible, typeColour, typeName } from "../../core/graph/slot_types.js";
import { titleOf } from "../../core/graph/nodes.js";
import { leadThrough, pointsOf } from "../../core/graph/reroutes.js";
import { widgetType } from "../../core/nodes/widgets.js";

/**
 * Drawing links. A link is pulled out of an output, out of an empty input, or off an input that has one. It snaps to the
 * nearest fitting socket; over a node it takes the socket that fits best there; let go over nothing it asks which node to
 * make. Who does not drag presses one socket and then the other.
 *
 * @typedef {import("../editor.js").Editor} Editor
 * @typedef {import("./pointer.js").Gesture} Gesture
 * @typedef {import("../session.js").Session} Session
 * @typedef {import("../../core/doc/graph.js").Graph} Graph
 * @typedef {{node: string, slot: number, widget: string}} Socket slot -1 with a widget: its socket is not made yet
 * @typedef {{at: [number, number], screen: [number, number], wanted?: import("../../core/search/node_index.js").Wanted,
 *   from?: Socket[], to?: Socket, link?: number}} SearchRequest from: outputs to join to the new node; to: an input;
 *   link: the link into which the new node goes
 * @typedef {{from: Socket[], to: Socket | null, off: number[], anchor?: Socket, via?: number}} Pull the fixed ends; `off`
 *   are the links that this takes away or moves, `via` is the reroute point from which a new branch starts
 * @typedef {{held: Pull, type: unknown, follow: (event: PointerEvent) => void, drop: () => void}} Pick a socket that was
 *   pressed and waits for its partner
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
  const { graph } = /** @type {Session} */ (editor.session).document;
  const pressed = readSocket(element);
  const { pick } = editor;
  pick?.drop();
  editor.nodes.pinned.add(pressed.node);
  const gesture = pull(editor, down, heldBy(graph, pressed, down.shiftKey));
  return {
    ...gesture,
    up(event) {
      const still = Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) <= CLICK_PIXELS;
      gesture.up(event);
      if (!still) return;
      if (!pick || !joinPick(editor, pick, pressed)) pickUp(editor, pressed);
    },
  };
}

/**
 * A new branch from a reroute point.
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {number} id
 * @returns {Gesture | null}
 */
export function linkThrough(editor, down, id) {
  const { graph } = /** @type {Session} */ (editor.session).document;
  const link = graph.links.get(Number(graph.reroutes.get(id)?.linkIds?.[0]));
  if (!link) return null;
  const origin = { node: String(link.origin_id), slot: link.origin_slot, widget: "" };
  return pull(editor, down, { from: [origin], to: null, off: [], via: id });
}

/**
 * What a press on a socket takes in hand: the socket, the link that it has, or with Shift all links of an output.
 * @param {Graph} graph
 * @param {Socket & {side: string}} pressed
 * @param {boolean} all
 * @returns {Pull}
 */
function heldBy(graph, pressed, all) {
  if (pressed.side === "out") {
    const links = all ? graph.linksOutOf(pressed.node, pressed.slot) : [];
    if (!links.length) return { from: [pressed], to: null, off: [] };
    const to = { node: String(links[0].target_id), slot: links[0].target_slot, widget: "" };
    return { from: [], to, off: links.map((link) => link.id), anchor: pressed };
  }
  const present = pressed.slot < 0 ? undefined : graph.linkInto(pressed.node, pressed.slot);
  if (!present) return { from: [], to: pressed, off: [] };
  return {
    from: [{ node: String(present.origin_id), slot: present.origin_slot, widget: "" }],
    to: null,
    off: [present.id],
  };
}

/**
 * Keep a pressed socket in hand until a second one is pressed, for those who do not drag.
 * @param {Editor} editor
 * @param {Socket & {side: string}} socket
 */
export function pickUp(editor, socket) {
  const session = /** @type {Session} */ (editor.session);
  /** @type {Pull} */
  const held = socket.side === "out" ? { from: [socket], to: null, off: [] } : { from: [], to: socket, off: [] };
  const type = heldType(session, held);
  mark(editor, held, type, true);
  const fixed = fixedEnd(session, held);
  editor.pick = {
    held,
    type,
    follow(event) {
      const at = editor.graphPoint(event);
      const [from, to] = held.from[0] ? [fixed, at] : [at, fixed];
      editor.overlay.loose = { from, to, colour: typeColour(type), fits: false };
      editor.invalidate();
    },
    drop() {
      mark(editor, held, type, false);
      editor.overlay.loose = null;
      editor.pick = null;
      editor.invalidate();
    },
  };
  editor.services.announce(`${typeName(type)} in hand. Choose ${held.from.length ? "an input" : "an output"}.`);
}

/**
 * Join what is in hand to a second socket.
 * @param {Editor} editor
 * @param {Pick} pick
 * @param {Socket & {side: string}} socket
 * @returns {boolean} whether they fit
 */
export function joinPick(editor, pick, socket) {
  const session = /** @type {Session} */ (editor.session);
  pick.drop();
  const fits = admits(session, pick.held, pick.type)(socket);
  if (!fits && offerTurning(editor, pick.held, pick.type, socket)) return true;
  if (fits) join(session, pick.held, socket);
  editor.services.announce(fits ? "Connected" : "These two do not fit");
  return fits;
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {Pull} held
 * @returns {Gesture}
 */
function pull(editor, down, held) {
  const session = /** @type {Session} */ (editor.session);
  const type = heldType(session, held);
  const fixed = fixedEnd(session, held);
  let far = false;
  let seen = editor.nodes.made;
  /** @type {HTMLElement | null} */
  let target = null;
  /** @type {Socket | null} */
  let end = null;
  mark(editor, held, type, true);
  const finish = () => {
    mark(editor, held, type, false);
    target?.classList.remove("target");
    editor.overlay.loose = null;
    editor.overlay.dropNode = null;
  };
  return {
    edges: true,
    move(event) {
      far ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > CLICK_PIXELS;
      if (seen !== editor.nodes.made) mark(editor, held, type, true); // the view ran on and brought new nodes
      seen = editor.nodes.made;
      target?.classList.remove("target");
      target = nearestFit(editor, event);
      end = target ? readSocket(target) : far ? bodyTarget(editor, event, held, type) : null;
      if (!target && end) target = socketElement(editor, held.from.length ? "in" : "out", end);
      target?.classList.add("target");
      editor.overlay.dropNode = end?.node ?? null;
      const at = target ? centre(editor, target) : editor.graphPoint(event);
      const [from, to] = held.from[0] ? [fixed, at] : [at, fixed];
      editor.overlay.loose = { from, to, colour: typeColour(type), fits: end !== null };
      editor.invalidate();
    },
    up(event) {
      finish();
      if (end) {
        join(session, held, end);
        editor.services.announce("Connected");
      } else if (far) letGo(editor, event, held, type);
    },
    cancel: finish,
  };
}

/**
 * The element of a socket, where its node has one.
 * @param {Editor} editor
 * @param {"in" | "out"} side
 * @param {Socket} socket
 */
function socketElement(editor, side, { node, slot, widget }) {
  const sockets = [...(editor.nodes.mounted.get(node)?.root.querySelectorAll(".socket") ?? [])];
  const name = `${side}:${slot}:`;
  return /** @type {HTMLElement | null} */ (
    sockets.find((element) => {
      const at = /** @type {HTMLElement} */ (element).dataset.slot ?? "";
      return slot < 0 ? at === `${name}${widget}` : at.startsWith(name);
    }) ?? null
  );
}

/**
 * Where the end that does not move is, in graph units.
 * @param {Session} session
 * @param {Pull} held
 * @returns {[number, number]}
 */
function fixedEnd(session, { from: [from], to, via }) {
  if (via !== undefined) return pair(session.document.graph.reroutes.get(via)?.pos, [0, 0]);
  return from ? session.scene.socket(from.node, "out", from.slot) : fixedInput(session, /** @type {Socket} */ (to));
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
 * What may be joined to what is held: the other side, a type that fits, another node, and no ring.
 * @param {Session} session
 * @param {Pull} held
 * @param {unknown} type
 * @returns {(socket: Socket & {side?: string}) => boolean}
 */
function admits(session, held, type) {
  const { graph } = session.document;
  const forward = held.from.length > 0;
  const own = (held.from[0] ?? held.to)?.node ?? "";
  const kin = forward ? upstream(graph, own) : downstream(graph, own);
  return (socket) => {
    if ((socket.side === "in") !== forward || kin.has(socket.node)) return false;
    const other = forward ? inputType(session, socket) : graph.node(socket.node)?.outputs?.[socket.slot]?.type;
    return forward ? compatible(type, other) : compatible(other, type);
  };
}

/** A node and all that feeds it. @param {Graph} graph @param {string} start */
function upstream(graph, start) {
  return reach(start, (id) =>
    (graph.node(id)?.inputs ?? []).map((_, slot) => graph.linkInto(id, slot)?.origin_id ?? null),
  );
}

/** A node and all that it feeds. @param {Graph} graph @param {string} start */
function downstream(graph, start) {
  return reach(start, (id) =>
    (graph.node(id)?.outputs ?? []).flatMap((_, slot) => graph.linksOutOf(id, slot).map((link) => link.target_id)),
  );
}

/**
 * @param {string} start
 * @param {(id: string) => (string | number | null)[]} next
 */
function reach(start, next) {
  const seen = new Set([start]);
  for (const id of seen) for (const other of next(id)) if (other !== null) seen.add(String(other));
  return seen;
}

/**
 * Show which sockets fit.
 * @param {Editor} editor
 * @param {Pull} held
 * @param {unknown} type
 * @param {boolean} on
 */
function mark(editor, held, type, on) {
  const session = /** @type {Session} */ (editor.session);
  editor.stage.classList.toggle("linking", on);
  const fits = on ? admits(session, held, type) : () => false;
  for (const element of editor.nodes.root.querySelectorAll(".socket"))
    element.classList.toggle("fits", fits(readSocket(/** @type {HTMLElement} */ (element))));
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
 * Over the middle of a node: its first free socket of just this type, then any free one that fits, then a widget of the
 * type, then one in use.
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {Pull} held
 * @param {unknown} type
 * @returns {Socket | null}
 */
function bodyTarget(editor, event, held, type) {
  const session = /** @type {Session} */ (editor.session);
  const id = session.scene.nodeAt(editor.graphPoint(event));
  const node = id && session.document.graph.node(id);
  if (!id || !node) return null;
  const fits = admits(session, held, type);
  if (!held.from.length) {
    const slot = (node.outputs ?? []).findIndex((_, at) => fits({ side: "out", node: id, slot: at, widget: "" }));
    return slot >= 0 ? { node: id, slot, widget: "" } : null;
  }
  const inputs = (node.inputs ?? [])
    .map((input, slot) => ({ input, slot }))
    .filter(({ slot }) => fits({ side: "in", node: id, slot, widget: "" }));
  const free = inputs.filter(({ input }) => input.link == null);
  const choice = free.find(({ input }) => typeName(input.type) === typeName(type)) ?? free[0];
  if (choice) return { node: id, slot: choice.slot, widget: "" };
  const row = session.scene.layout(id).rows.find(({ widget, slot }) => {
    const offered = inputType(session, { node: id, slot: -1, widget: widget.name });
    return slot < 0 && typeName(offered) === typeName(type) && typeName(type) !== "*";
  });
  if (row && fits({ side: "in", node: id, slot: -1, widget: row.widget.name }))
    return { node: id, slot: -1, widget: row.widget.name };
  return inputs[0] ? { node: id, slot: inputs[0].slot, widget: "" } : null;
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
    if (held.from.length) {
      const made = joinInput(session, tx, held.from[0], end);
      if (made && held.via !== undefined)
        leadThrough(tx, made.id, pointsOf(tx.graph, { ...made, parentId: held.via }));
    } else if (held.anchor) for (const link of moving) connect(tx, end, { node: link.target_id, slot: link.target_slot });
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
  const under = globalThis.document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-slot]");
  if (under && offerTurning(editor, held, type, readSocket(/** @type {HTMLElement} */ (under)))) return;
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
 * Two sockets of different types: offer the nodes that turn one into the other.
 * @param {Editor} editor
 * @param {Pull} held
 * @param {unknown} type of what is held
 * @param {Socket & {side: string}} socket
 * @returns {boolean} false where no node can stand between them: two inputs or outputs, or a ring
 */
function offerTurning(editor, held, type, socket) {
  const session = /** @type {Session} */ (editor.session);
  if (held.off.length || held.via !== undefined) return false;
  const { graph } = session.document;
  const other = held.from.length
    ? inputType(session, socket)
    : (graph.node(socket.node)?.outputs?.[socket.slot]?.type ?? "*");
  // Whether they may be joined but for their types.
  if (typeName(other) === "*" || !admits(session, held, other)(socket)) return false;
  const [from, to] = held.from.length ? [held.from[0], socket] : [socket, /** @type {Socket} */ (held.to)];
  const [a, b] = [session.scene.socket(from.node, "out", from.slot), fixedInput(session, to)];
  editor.services.search({
    at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2],
    screen: editor.screenPoint([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]),
    wanted: held.from.length ? { from: type, to: other } : { from: other, to: type },
    from: [from],
    to,
  });
  return true;
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
  const held = out ? { from: [socket], to: null, off: [] } : { from: [], to: socket, off: [] };
  const fits = admits(session, held, heldType(session, held));
  const [x, y] = session.scene.box(socket.node);
  const away = (/** @type {string} */ id) => {
    const [left, top] = session.scene.box(id);
    return Math.hypot(left - x, top - y);
  };
  const nearest = [...graph.nodes.keys()].sort((a, b) => away(a) - away(b));
  return nearest.flatMap((id) => {
    const node = /** @type {import("../../core/doc/schema.js").NodeRecord} */ (graph.node(id));
    return ((out ? node.inputs : node.outputs) ?? []).flatMap((port, slot) => {
      const other = { side: out ? "in" : "out", node: id, slot, widget: "" };
      if (!fits(other)) return [];
      const name = `${titleOf(node, session.definitionFor(node))} ${id}: ${port.label || port.name}`;
      return [{ name, join: () => join(session, held, other) }];
    });
  });
}
