import { pair } from "../../core/doc/schema.js";
import { copySelection, paste } from "../../core/graph/clipboard.js";
import { membersOf } from "../../core/graph/groups.js";
import { fittingPair, insertOnLink } from "../../core/graph/links.js";

/**
 * Dragging nodes, groups and reroute points, and changing sizes.
 *
 * @typedef {import("../editor.js").Editor} Editor
 * @typedef {import("./pointer.js").Gesture} Gesture
 */

const START_PIXELS = 3;
const GRID = 10;

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
      editor.overlay.dropLink = origins.size === 1 && !key.includes(":") ? linkUnder(editor, key, at) : null;
    },
    up() {
      const link = editor.overlay.dropLink;
      editor.overlay.dropLink = null;
      if (!origins) return click();
      if (link !== null) document.transact("Insert on link", (tx) => insertOnLink(tx, link, key), { key: gestureKey });
      document.history.seal();
    },
    cancel() {
      editor.overlay.dropLink = null;
      if (origins)
        document.transact(label, (tx) => origins?.forEach((place, moving) => moveTo(tx, moving, place)), {
          key: gestureKey,
        });
      document.history.seal();
    },
  };
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
 * The shift with the pressed thing on the grid. Ctrl lets go of the grid.
 * @param {Editor} editor
 * @param {Map<string, [number, number]>} origins
 * @param {string} key
 * @param {[number, number]} shift
 * @param {PointerEvent} event
 * @returns {[number, number]}
 */
function snapped(editor, origins, key, [dx, dy], event) {
  const [x, y] = origins.get(key) ?? [...origins.values()][0] ?? [0, 0];
  const free = event.ctrlKey || event.metaKey || !editor.services.setting("snap");
  const step = free ? 1 : GRID;
  return [Math.round((x + dx) / step) * step - x, Math.round((y + dy) / step) * step - y];
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
