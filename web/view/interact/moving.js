import { isBorder, pair } from "../../core/doc/schema.js";
import { copySelection, paste } from "../../core/graph/clipboard.js";
import { membersOf } from "../../core/graph/groups.js";
import { detach, disconnect, fittingPair, insertOnLink } from "../../core/graph/links.js";
import { alignTo } from "../../core/geometry/guides.js";

/**
 * Dragging nodes, groups and reroute points, changing sizes, cutting links.
 *
 * @typedef {import("../editor.js").Editor} Editor
 * @typedef {import("../session.js").Session} Session
 * @typedef {import("./pointer.js").Gesture} Gesture
 */

const START_PIXELS = 3;
const GRID = 10;
const GUIDE_PIXELS = 7;
const SHAKE_PIXELS = 30;
const SHAKE_TURNS = 4;
const SHAKE_MS = 900;

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {string} key what was pressed
 * @param {() => void} click when it did not move
 * @returns {Gesture}
 */
export function moveGesture(editor, down, key, click) {
  const { document, scene } = /** @type {import("../session.js").Session} */ (editor.session);
  const start = editor.graphPoint(down);
  const label = `Move`;
  const gestureKey = `move:${down.timeStamp}`;
  /** @type {Map<string, [number, number]> | null} */
  let origins = null;
  const shaken = shakeOf(down);
  return {
    edges: true,
    move(event) {
      const at = editor.graphPoint(event);
      if (!origins) {
        if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < START_PIXELS) return;
        if (down.altKey && !key.startsWith("reroute")) duplicateInPlace(document);
        origins = originsOf(document, scene);
        for (const moving of origins.keys()) editor.nodes.pinned.add(moving);
      }
      const shift = snapped(editor, origins, key, [at[0] - start[0], at[1] - start[1]], event);
      document.transact(
        label,
        (tx) => {
          for (const [moving, [x, y]] of /** @type {Map<string, [number, number]>} */ (origins))
            moveTo(tx, moving, [x + shift[0], y + shift[1]]);
        },
        { key: gestureKey },
      );
      if (shaken(event)) shakeOff(editor, [...origins.keys()], gestureKey);
      editor.overlay.dropLink = origins.size === 1 && !key.includes(":") ? linkUnder(editor, key, at) : null;
    },
    up() {
      const link = editor.overlay.dropLink;
      editor.overlay.dropLink = null;
      editor.overlay.guides = [];
      if (!origins) return click();
      if (link !== null) document.transact("Insert on link", (tx) => insertOnLink(tx, link, key), { key: gestureKey });
      document.history.seal();
    },
    cancel() {
      editor.overlay.dropLink = null;
      editor.overlay.guides = [];
      if (origins)
        document.transact(label, (tx) => origins?.forEach((place, moving) => moveTo(tx, moving, place)), {
          key: gestureKey,
        });
      document.history.seal();
    },
  };
}

/**
 * Whether the pointer goes quickly to and fro: so many turns, each after so long a way, in so short a time.
 * @param {{clientX: number, timeStamp: number}} down
 * @returns {(event: {clientX: number, timeStamp: number}) => boolean} true once, at the last turn
 */
export function shakeOf(down) {
  let [turned, way] = [down.clientX, 0];
  /** @type {number[]} */
  let turns = [];
  let done = false;
  return ({ clientX, timeStamp }) => {
    const next = Math.sign(clientX - turned);
    if (next === 0 || done) return false;
    if (next === way || Math.abs(clientX - turned) < SHAKE_PIXELS) {
      if (next === way) turned = clientX;
      return false;
    }
    if (way) turns = [...turns, timeStamp].filter((time) => timeStamp - time < SHAKE_MS);
    [turned, way] = [clientX, next];
    done = turns.length >= SHAKE_TURNS;
    return done;
  };
}

/**
 * Take the links off nodes that are shaken; what fed them feeds what they fed.
 * @param {Editor} editor
 * @param {string[]} keys
 * @param {string} key of the gesture, of which this is a part
 */
function shakeOff(editor, keys, key) {
  const { document } = /** @type {Session} */ (editor.session);
  const nodes = keys.filter((each) => document.graph.nodes.has(each) && !isBorder(document.graph.node(each)));
  if (!nodes.length) return;
  document.transact("Move", (tx) => nodes.forEach((id) => detach(tx, id)), { key });
  editor.services.announce("Shaken off its links");
}

/** @param {import("../../core/doc/document.js").Document} document */
function duplicateInPlace(document) {
  const clip = copySelection(document);
  if (!clip) return;
  const corners = clip.nodes.map((node) => pair(node.pos, [0, 0]));
  const at = /** @type {[number, number]} */ ([
    Math.min(...corners.map(([x]) => x)),
    Math.min(...corners.map(([, y]) => y)),
  ]);
  document.select(
    document.transact("Duplicate", (tx) => paste(tx, clip, clip.nodes.length ? at : null, { outerLinks: true })),
  );
}

/**
 * Where all that moves stands now: the selection, and what is inside selected groups. Pinned nodes stay.
 * @param {import("../../core/doc/document.js").Document} document
 * @param {import("../../core/geometry/scene.js").Scene} scene
 */
function originsOf({ graph, selection }, scene) {
  const keys = new Set(selection);
  for (const key of selection) {
    const [kind, id] = key.split(":");
    if (kind === "group")
      for (const member of membersOf(graph, Number(id), (node) => scene.box(node))) keys.add(member);
  }
  /** @type {Map<string, [number, number]>} */
  const origins = new Map();
  for (const key of keys) {
    const [kind, id] = key.split(":");
    if (kind === "group") {
      const group = graph.groups.get(Number(id));
      if (group && !group.flags?.pinned) origins.set(key, [group.bounding[0], group.bounding[1]]);
    } else if (kind === "reroute") {
      const point = graph.reroutes.get(Number(id));
      if (point) origins.set(key, pair(point.pos, [0, 0]));
    } else {
      const node = graph.node(key);
      if (node && !node.flags?.pinned) origins.set(key, pair(node.pos, [0, 0]));
    }
  }
  return origins;
}

/**
 * @param {import("../../core/doc/transact.js").Transaction} tx
 * @param {string} key
 * @param {[number, number]} to
 */
export function moveTo(tx, key, [x, y]) {
  const [kind, id] = key.split(":");
  if (kind === "group") {
    const [, , width, height] = /** @type {any} */ (tx.graph.groups.get(Number(id))).bounding;
    tx.set("group", id, ["bounding"], [x, y, width, height]);
  } else if (kind === "reroute") {
    tx.set("reroute", id, ["pos"], [x, y]);
  } else {
    tx.set("node", key, ["pos"], [x, y]);
  }
}

/**
 * The shift with the pressed thing in line with its neighbours, else on the grid. Ctrl lets go of both.
 * @param {Editor} editor
 * @param {Map<string, [number, number]>} origins
 * @param {string} key
 * @param {[number, number]} shift
 * @param {PointerEvent} event
 * @returns {[number, number]}
 */
function snapped(editor, origins, key, [dx, dy], event) {
  const lead = origins.has(key) ? key : ([...origins.keys()][0] ?? key); // a dragged copy has another key
  const [x, y] = origins.get(lead) ?? [0, 0];
  const free = event.ctrlKey || event.metaKey || !editor.services.setting("snap");
  const step = free ? 1 : GRID;
  /** @type {[number, number]} */
  const shift = [Math.round((x + dx) / step) * step - x, Math.round((y + dy) / step) * step - y];
  editor.overlay.guides = [];
  if (free || lead.includes(":")) return shift;
  const { scene, viewport } = /** @type {import("../session.js").Session} */ (editor.session);
  const [, , width, height] = scene.box(lead);
  const top = scene.titleHeight(lead);
  const others = [...scene.nodes.query(viewport.visible())].filter((id) => !origins.has(id));
  const found = alignTo(
    [x + dx, y + dy - top, width, height],
    others.map((id) => scene.box(id)),
    GUIDE_PIXELS / viewport.scale,
  );
  editor.overlay.guides = found.lines;
  return [
    found.x === null ? shift[0] : Math.round(found.x - x),
    found.y === null ? shift[1] : Math.round(found.y + top - y),
  ];
}

/**
 * The link that a free node would go into when it is let go here.
 * @param {Editor} editor
 * @param {string} id
 * @param {[number, number]} at
 */
function linkUnder(editor, id, at) {
  const {
    document: { graph },
    scene,
    viewport,
  } = /** @type {import("../session.js").Session} */ (editor.session);
  const node = graph.node(id);
  const tied = [
    ...(node?.inputs ?? []).map((input) => input.link != null),
    ...(node?.outputs ?? []).map((output) => Boolean(output.links?.length)),
  ];
  if (!node || tied.includes(true)) return null;
  const found = scene.linkAt(at, 16 / viewport.scale);
  const link = found && graph.links.get(found.id);
  return link && fittingPair(graph, link, id) ? link.id : null;
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {string} id
 * @returns {Gesture}
 */
export function resizeNodeGesture(editor, down, id) {
  const { document, scene } = /** @type {import("../session.js").Session} */ (editor.session);
  const start = editor.graphPoint(down);
  const { width, height, minimum } = scene.layout(id);
  const before = document.graph.node(id)?.size;
  const options = { key: `size:${id}:${down.timeStamp}` };
  editor.nodes.pinned.add(id);
  return {
    move(event) {
      const [x, y] = editor.graphPoint(event);
      const size = [
        Math.max(minimum[0], Math.round(width + x - start[0])),
        Math.max(minimum[1], Math.round(height + y - start[1])),
      ];
      document.transact("Resize", (tx) => tx.set("node", id, ["size"], size), options);
    },
    up: () => document.history.seal(),
    cancel: () => document.transact("Resize", (tx) => tx.set("node", id, ["size"], before), options),
  };
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} down
 * @param {number} id
 * @returns {Gesture}
 */
export function resizeGroupGesture(editor, down, id) {
  const { document } = /** @type {import("../session.js").Session} */ (editor.session);
  const start = editor.graphPoint(down);
  const before = /** @type {any} */ (document.graph.groups.get(id)).bounding;
  const options = { key: `group-size:${id}:${down.timeStamp}` };
  return {
    move(event) {
      const [x, y] = editor.graphPoint(event);
      const bounding = [
        before[0],
        before[1],
        Math.max(140, before[2] + x - start[0]),
        Math.max(80, before[3] + y - start[1]),
      ].map(Math.round);
      document.transact("Resize group", (tx) => tx.set("group", id, ["bounding"], bounding), options);
    },
    up: () => document.history.seal(),
    cancel: () => document.transact("Resize group", (tx) => tx.set("group", id, ["bounding"], before), options),
  };
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
