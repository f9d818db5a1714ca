import { isBorder } from "../../core/doc/schema.js";
import { addReroute } from "../../core/graph/reroutes.js";
import { boundsOf } from "../../core/geometry/viewport.js";
import { linkGesture, linkThrough, readSocket } from "./linking.js";
import { mutedAt } from "../muted_links.js";
import { cutGesture, moveGesture, resizeGroupGesture, resizeNodeGesture } from "./moving.js";

/**
 * One machine for all presses: what is under the pointer decides which gesture begins, and the gesture gets all events
 * until it ends. And the wheel, which needs no machine.
 *
 * @typedef {import("../editor.js").Editor} Editor
 * @typedef {{move: (event: PointerEvent) => void, up: (event: PointerEvent) => void, cancel: () => void, edges?: boolean}} Gesture
 * @typedef {{x: number, y: number, at: import("../editor.js").Point, target: "node" | "link" | "group" | "reroute" | "field" | "port" | "muted",
 *   key: string, segment?: number}} MenuRequest
 */

const CLICK_PIXELS = 5;
const LONG_PRESS_MS = 500;
const TOUCH_SLACK = 8;
const EDGE = 32;
const EDGE_SPEED = 12;
const LINK_REACH = 7;

/** @param {Editor} editor */
export function listenPointer(editor) {
  const { stage } = editor;
  const state = {
    /** @type {Gesture | null} */ gesture: null,
    /** @type {Map<number, [number, number]>} */ touches: new Map(),
    /** @type {PointerEvent | null} */ last: null,
    press: 0,
    /** @type {[number, number]} where the first finger came down */ down: [0, 0],
  };
  const end = (/** @type {PointerEvent | null} */ event) => {
    clearTimeout(state.press);
    const { gesture } = state;
    state.gesture = null;
    editor.pinching = false;
    editor.nodes.pinned.clear();
    stage.classList.remove("panning");
    if (event) gesture?.up(event);
    else gesture?.cancel();
    editor.invalidate();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") state.touches.set(event.pointerId, [event.clientX, event.clientY]);
    if (state.touches.size === 2) {
      end(null);
      state.gesture = pinchGesture(editor, state.touches);
      editor.pinching = true;
      return;
    }
    if (state.gesture || !editor.session || ownsPointer(event)) return;
    state.gesture = begin(editor, event);
    if (!state.gesture) return;
    capture(stage, event);
    state.down = [event.clientX, event.clientY];
    if (event.pointerType === "touch")
      state.press = window.setTimeout(() => {
        end(null);
        state.gesture = heldGesture(editor, event);
      }, LONG_PRESS_MS);
    edgePan(editor, state);
  });
  stage.addEventListener("pointermove", (event) => {
    editor.pointer = editor.local(event);
    if (state.touches.has(event.pointerId)) state.touches.set(event.pointerId, [event.clientX, event.clientY]);
    if (Math.hypot(event.clientX - state.down[0], event.clientY - state.down[1]) > TOUCH_SLACK) clearTimeout(state.press);
    state.last = event;
    if (state.gesture) state.gesture.move(event);
    else if (editor.pick) editor.pick.follow(event);
    else hover(editor, event);
  });
  const release = (/** @type {PointerEvent} */ event) => {
    state.touches.delete(event.pointerId);
    if (state.gesture) end(event.type === "pointerup" ? event : null);
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Escape" || !(state.gesture || editor.pick)) return;
      end(null);
      editor.pick?.drop();
      event.preventDefault(); // it has had its effect
    },
    { capture: true },
  );
  stage.addEventListener("dblclick", (event) => doubleClick(editor, event));
  stage.addEventListener("contextmenu", (event) => {
    if (/** @type {Element} */ (event.target).closest("input, textarea")) return;
    event.preventDefault();
    if (state.gesture) end(null);
    openMenu(editor, event);
  });
}

/** Fields and buttons in nodes look after their own presses. @param {PointerEvent} event */
function ownsPointer(event) {
  const target = /** @type {Element} */ (event.target);
  if (target.closest("[data-slot]") || event.button === 1) return false;
  return target.closest("input, textarea, button, .field, .callout, .overlay") !== null;
}

/** @param {HTMLElement} stage @param {PointerEvent} event */
function capture(stage, event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (!target.closest("[data-slot]") || event.pointerType !== "touch") stage.setPointerCapture(event.pointerId);
  else target.releasePointerCapture?.(event.pointerId);
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @returns {Gesture | null}
 */
function begin(editor, event) {
  const session = /** @type {import("../session.js").Session} */ (editor.session);
  const target = /** @type {HTMLElement} */ (event.target);
  if (editor.pick && !target.closest("[data-slot]") && event.button === 0) editor.pick.drop();
  if (event.button === 1 || (event.button === 0 && editor.stage.classList.contains("hand")))
    return panGesture(editor, event, null);
  if (event.button !== 0) return null;
  const socket = /** @type {HTMLElement | null} */ (target.closest("[data-slot]"));
  if (socket) return linkGesture(editor, event, socket);
  const corner = /** @type {HTMLElement | null} */ (target.closest("[data-resize]"));
  if (corner) return resizeNodeGesture(editor, event, corner.dataset.resize ?? "");
  const at = editor.graphPoint(event);
  const element = /** @type {HTMLElement | null} */ (target.closest("[data-node]"));
  const node = element?.dataset.node ?? (editor.nodes.root.classList.contains("far") ? session.scene.nodeAt(at) : null);
  if (node) return pressKey(editor, event, node);
  if (event.ctrlKey && event.altKey) return cutGesture(editor, event);
  const reach = (event.pointerType === "touch" ? 18 : 9) / session.viewport.scale;
  const reroute = session.scene.rerouteAt(at, reach);
  if (reroute !== null && event.shiftKey) return linkThrough(editor, event, reroute);
  if (reroute !== null) return pressKey(editor, event, `reroute:${reroute}`);
  const group = session.scene.groupAt(at);
  if (group?.corner) return resizeGroupGesture(editor, event, group.id);
  const link = session.scene.linkAt(at, LINK_REACH / session.viewport.scale);
  if (link && event.altKey)
    return pressKey(
      editor,
      event,
      session.document.transact("Add reroute", (tx) => addReroute(tx, link.id, at, link.segment)),
    );
  if (group && !link) return pressKey(editor, event, `group:${group.id}`);
  const box = event.shiftKey || event.ctrlKey || event.metaKey || editor.services.setting("drag") === "select";
  if (box && event.pointerType !== "touch") return marqueeGesture(editor, event);
  return panGesture(editor, event, () => clickField(editor, event, link));
}

/**
 * Press on something that can be selected: it is selected, and moves when the pointer moves.
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {string} key
 */
function pressKey(editor, event, key) {
  const { document } = /** @type {import("../session.js").Session} */ (editor.session);
  const had = document.selection.has(key);
  if (event.shiftKey || event.ctrlKey || event.metaKey) {
    document.select(
      had && !event.altKey ? [...document.selection].filter((other) => other !== key) : [...document.selection, key],
    );
  } else if (!had) {
    document.select([key]);
  }
  return moveGesture(editor, event, key, () => {
    if (had && !event.shiftKey && !event.ctrlKey && !event.metaKey) document.select([key]);
  });
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 * @param {{id: number, segment: number} | null} link
 */
function clickField(editor, event, link) {
  const { document } = /** @type {import("../session.js").Session} */ (editor.session);
  if (link) {
    editor.services.menu({
      x: event.clientX,
      y: event.clientY,
      at: editor.graphPoint(event),
      target: "link",
      key: String(link.id),
      segment: link.segment,
    });
    return;
  }
  document.select([]);
  if (globalThis.document.activeElement instanceof HTMLElement) globalThis.document.activeElement.blur();
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {(() => void) | null} click
 * @returns {Gesture}
 */
function panGesture(editor, down, click) {
  let [x, y] = [down.clientX, down.clientY];
  let far = false;
  return {
    move(event) {
      far ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > CLICK_PIXELS;
      if (!far) return;
      editor.stage.classList.add("panning");
      editor.session?.viewport.panBy(event.clientX - x, event.clientY - y);
      [x, y] = [event.clientX, event.clientY];
      editor.moved();
    },
    up() {
      if (!far) click?.();
    },
    cancel() {},
  };
}

/**
 * Two fingers: pan with their middle, zoom with their distance.
 * @param {Editor} editor
 * @param {Map<number, [number, number]>} touches
 * @returns {Gesture}
 */
function pinchGesture(editor, touches) {
  const measure = () => {
    const [[ax, ay], [bx, by]] = [...touches.values()];
    const [x, y] = editor.local({ clientX: (ax + bx) / 2, clientY: (ay + by) / 2 });
    return { x, y, size: Math.max(Math.hypot(ax - bx, ay - by), 1) };
  };
  let last = measure();
  return {
    move() {
      if (touches.size < 2) return;
      const now = measure();
      editor.session?.viewport.panBy(now.x - last.x, now.y - last.y);
      editor.session?.viewport.zoomAt(now.size / last.size, [now.x, now.y]);
      last = now;
      editor.moved();
    },
    up() {},
    cancel() {},
  };
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @returns {Gesture}
 */
function marqueeGesture(editor, down) {
  const { document, scene } = /** @type {import("../session.js").Session} */ (editor.session);
  const start = editor.graphPoint(down);
  const before = [...document.selection];
  return {
    edges: true,
    move(event) {
      const area = boundsOf(start, editor.graphPoint(event));
      editor.overlay.marquee = area;
      const inside = scene.keysIn(area);
      document.select(event.altKey ? before.filter((key) => !inside.includes(key)) : [...before, ...inside]);
      editor.invalidate();
    },
    up() {
      if (!editor.overlay.marquee && !down.shiftKey) document.select([]);
      editor.overlay.marquee = null;
      editor.services.announce(`${document.selection.size} selected`);
    },
    cancel() {
      editor.overlay.marquee = null;
      document.select(before);
    },
  };
}

/**
 * Near the edge the view runs on while something is dragged.
 * @param {Editor} editor
 * @param {{gesture: Gesture | null, last: PointerEvent | null}} state
 */
function edgePan(editor, state) {
  const { gesture } = state;
  if (!gesture?.edges) return;
  const step = () => {
    if (state.gesture !== gesture || !editor.session) return;
    const [x, y] = editor.pointer;
    const [width, height] = editor.session.viewport.size;
    const push = (/** @type {number} */ at, /** @type {number} */ size) =>
      at < EDGE ? EDGE - at : at > size - EDGE ? size - EDGE - at : 0;
    const [dx, dy] = [push(x, width), push(y, height)].map(
      (value) => Math.max(-1, Math.min(1, value / EDGE)) * EDGE_SPEED,
    );
    if ((dx || dy) && state.last) {
      editor.session.viewport.panBy(dx, dy);
      gesture.move(state.last);
      editor.moved();
    }
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

/** @param {Editor} editor @param {PointerEvent} event */
function hover(editor, event) {
  const { session } = editor;
  if (!session || event.pointerType === "touch") return;
  const onField = event.target === editor.stage || event.target === editor.canvas.canvas;
  const link = onField ? session.scene.linkAt(editor.graphPoint(event), LINK_REACH / session.viewport.scale) : null;
  if ((link?.id ?? null) === editor.overlay.hoverLink) return;
  editor.overlay.hoverLink = link?.id ?? null;
  editor.stage.classList.toggle("on-link", link !== null);
  editor.invalidate();
}

/** @param {Editor} editor @param {MouseEvent} event */
function doubleClick(editor, event) {
  // The stage captured the pointer, so the event's own target is always the stage.
  const target = document.elementFromPoint(event.clientX, event.clientY) ?? editor.stage;
  const { session } = editor;
  if (!session) return;
  const port = borderSocket(session, target);
  if (port) {
    editor.pick?.drop();
    editor.services.renamePort(readSocket(port));
    return;
  }
  if (target.closest("button, input, textarea, .field, .overlay")) return;
  const node = /** @type {HTMLElement | null} */ (target.closest("[data-node]"));
  if (node) {
    const id = node.dataset.node ?? "";
    const instance = session.hasInside(session.document.graph.node(id)?.type ?? "");
    if (target.closest(".node-head")) editor.services.rename(id);
    else if (instance) editor.services.inside(id);
    return;
  }
  const at = editor.graphPoint(event);
  const group = session.scene.groupAt(at);
  if (group) editor.services.rename(`group:${group.id}`);
  else editor.services.search({ at, screen: [event.clientX, event.clientY] });
}

/**
 * The socket at an element, where it is one of the inputs or outputs of the subgraph that is on screen.
 * @param {import("../session.js").Session} session
 * @param {Element} target
 * @returns {HTMLElement | null}
 */
function borderSocket(session, target) {
  const socket = /** @type {HTMLElement | null} */ (target.closest("[data-slot]"));
  return socket && isBorder(session.document.graph.node(readSocket(socket).node)) ? socket : null;
}

/** @param {Editor} editor @param {{clientX: number, clientY: number, target: EventTarget | null}} event */
function openMenu(editor, event) {
  const { session } = editor;
  if (!session) return;
  const at = editor.graphPoint(event);
  const element = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-node]"));
  const node = element?.dataset.node ?? session.scene.nodeAt(at);
  const reroute = session.scene.rerouteAt(at);
  const link = session.scene.linkAt(at, LINK_REACH / session.viewport.scale);
  const muted = mutedAt(session, at, LINK_REACH / session.viewport.scale);
  const group = session.scene.groupAt(at);
  const place = { x: event.clientX, y: event.clientY, at };
  const select = (/** @type {string} */ key) => {
    if (!session.document.selection.has(key)) session.document.select([key]);
    return key;
  };
  const port = borderSocket(session, /** @type {Element} */ (event.target));
  if (port) {
    const { node: id, slot } = readSocket(port);
    editor.services.menu({ ...place, target: "port", key: `${id}:${slot}` });
  } else if (node) editor.services.menu({ ...place, target: "node", key: select(node) });
  else if (reroute !== null) editor.services.menu({ ...place, target: "reroute", key: select(`reroute:${reroute}`) });
  else if (!link && muted) editor.services.menu({ ...place, target: "muted", key: `${muted.node}:${muted.slot}` });
  else if (link) editor.services.menu({ ...place, target: "link", key: String(link.id), segment: link.segment });
  else if (group) editor.services.menu({ ...place, target: "group", key: select(`group:${group.id}`) });
  else editor.services.menu({ ...place, target: "field", key: "" });
}

/**
 * A finger rested: on a thing its menu opens at once. On the field a ring shows that it counts; moving on draws a box,
 * letting go opens the menu.
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @returns {Gesture | null}
 */
function heldGesture(editor, down) {
  navigator.vibrate?.(12);
  const onField = down.target === editor.stage || down.target === editor.canvas.canvas;
  if (!onField || thingAt(editor, editor.graphPoint(down))) {
    openMenu(editor, down);
    return null;
  }
  const box = marqueeGesture(editor, down);
  let far = false;
  editor.overlay.held = editor.graphPoint(down);
  editor.invalidate();
  const release = () => {
    editor.overlay.held = null;
    editor.invalidate();
  };
  return {
    edges: true,
    move(event) {
      far ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > TOUCH_SLACK;
      if (!far) return;
      release();
      box.move(event);
    },
    up(event) {
      release();
      if (far) box.up(event);
      else openMenu(editor, down);
    },
    cancel() {
      release();
      box.cancel();
    },
  };
}

/** Whether anything but the bare field is there. @param {Editor} editor @param {import("../editor.js").Point} at */
function thingAt({ session }, at) {
  if (!session) return false;
  const { scene, viewport } = session;
  return Boolean(
    scene.nodeAt(at) || scene.rerouteAt(at) !== null || scene.groupAt(at) || scene.linkAt(at, LINK_REACH / viewport.scale),
  );
}

/**
 * The wheel zooms; two fingers on a trackpad pan, and pinch to zoom.
 * @param {Editor} editor
 */
export function listenWheel(editor) {
  editor.stage.addEventListener(
    "wheel",
    (event) => {
      const { session } = editor;
      if (!session) return;
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      const pinch = event.ctrlKey || event.metaKey;
      if (pinch || wheelZooms(editor, event, dx, dy)) {
        const factor = Math.exp(-Math.max(-160, Math.min(160, dy)) * (pinch && Math.abs(dy) < 40 ? 0.01 : 0.0016));
        session.viewport.zoomAt(factor, editor.local(event));
      } else if (event.shiftKey && !dx) {
        session.viewport.panBy(-dy, 0);
      } else {
        session.viewport.panBy(-dx, -dy);
      }
      editor.moved();
    },
    { passive: false },
  );
}

/**
 * A wheel turns in big steps and only one way; a trackpad gives small ones.
 * @param {Editor} editor
 * @param {WheelEvent} event
 * @param {number} dx
 * @param {number} dy
 */
function wheelZooms(editor, event, dx, dy) {
  const choice = editor.services.setting("wheel");
  if (choice === "zoom" || choice === "pan") return choice === "zoom";
  return !event.shiftKey && dx === 0 && (event.deltaMode !== 0 || Math.abs(dy) >= 40);
}
