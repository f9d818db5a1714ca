import { linkCurve } from "../core/geometry/curves.js";
import { MODE } from "../core/doc/schema.js";

/**
 * Links, many in one path: a path for each colour and strength.
 *
 * @typedef {CanvasRenderingContext2D} Context
 * @typedef {{from: [number, number], to: [number, number], colour: string, fits: boolean}} LooseLink
 */

const STRAIGHT_BELOW = 0.18;

/**
 * @param {Context} context
 * @param {import("./session.js").Session} session
 * @param {import("../core/geometry/viewport.js").Bounds} area
 * @param {import("./canvas_layer.js").Overlay} overlay
 * @param {Record<string, string>} colours
 */
export function drawLinks(context, session, area, overlay, colours) {
  const {
    scene,
    document,
    viewport: { scale },
  } = session;
  /** @type {Map<string, {path: Path2D, strong: boolean, colour: string, alpha: number}>} */
  const batches = new Map();
  for (const key of scene.links.query(area)) {
    const id = Number(key);
    const path = scene.paths.get(id);
    const link = document.graph.links.get(id);
    if (!path || !link) continue;
    const strong = isStrong(session, link) || overlay.hoverLink === id;
    const faded = !strong && isAsleep(document.graph, link);
    const name = `${path.colour}${strong}${faded}`;
    let batch = batches.get(name);
    if (!batch) {
      batch = { path: new Path2D(), strong, colour: path.colour, alpha: faded ? 0.25 : strong ? 1 : 0.85 };
      batches.set(name, batch);
    }
    trace(batch.path, path.curves, scale);
  }
  context.lineCap = "round";
  if (scale > STRAIGHT_BELOW) drawEdges(context, batches.values(), colours);
  for (const { path, strong, colour, alpha } of batches.values()) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = Math.max(strong ? 3.6 : 2.4, 0.9 / scale);
    context.stroke(path);
  }
  context.globalAlpha = 1;
  if (overlay.dropLink !== null) markDrop(context, scene, overlay.dropLink, colours);
}

/**
 * A thin rim under all links: it parts those that cross, and makes pale colours visible on a pale field.
 * @param {Context} context
 * @param {Iterable<{path: Path2D, strong: boolean, alpha: number}>} batches
 * @param {Record<string, string>} colours
 */
function drawEdges(context, batches, colours) {
  context.strokeStyle = colours["link-edge"];
  for (const { path, strong, alpha } of batches) {
    context.globalAlpha = alpha * 0.6;
    context.lineWidth = strong ? 5 : 3.6;
    context.stroke(path);
  }
}

/**
 * @param {import("./session.js").Session} session
 * @param {import("../core/doc/schema.js").LinkRecord} link
 */
function isStrong({ document: { selection }, job }, link) {
  if (selection.has(String(link.origin_id)) || selection.has(String(link.target_id))) return true;
  return job?.state === "running" && job.current === String(link.target_id);
}

/**
 * @param {import("../core/doc/graph.js").Graph} graph
 * @param {import("../core/doc/schema.js").LinkRecord} link
 */
function isAsleep(graph, link) {
  return graph.node(link.origin_id)?.mode === MODE.MUTED || graph.node(link.target_id)?.mode === MODE.MUTED;
}

/**
 * @param {Path2D} path
 * @param {import("../core/geometry/curves.js").Curve[]} curves
 * @param {number} scale
 */
function trace(path, curves, scale) {
  for (const [a, b, c, d] of curves) {
    path.moveTo(a[0], a[1]);
    if (scale < STRAIGHT_BELOW) path.lineTo(d[0], d[1]);
    else path.bezierCurveTo(b[0], b[1], c[0], c[1], d[0], d[1]);
  }
}

/**
 * @param {Context} context
 * @param {import("../core/geometry/scene.js").Scene} scene
 * @param {number} id
 * @param {Record<string, string>} colours
 */
function markDrop(context, scene, id, colours) {
  const path = new Path2D();
  trace(path, scene.paths.get(id)?.curves ?? [], 1);
  context.strokeStyle = colours.accent;
  context.lineWidth = 5;
  context.stroke(path);
}

/**
 * The link that hangs on the cursor.
 * @param {Context} context
 * @param {LooseLink} loose
 */
export function drawLooseLink(context, { from, to, colour, fits }) {
  const path = new Path2D();
  trace(path, [linkCurve(from, to)], 1);
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.setLineDash(fits ? [] : [7, 7]);
  context.stroke(path);
  context.setLineDash([]);
  context.beginPath();
  context.arc(to[0], to[1], 5, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}
