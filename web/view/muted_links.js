import { pair } from "../core/doc/schema.js";
import { distanceTo, linkCurves } from "../core/geometry/curves.js";
import { mutedInputs } from "../core/graph/muted.js";
import { typeColour } from "../core/graph/slot_types.js";

/**
 * Muted links on the field: dashed and pale, where they would be.
 *
 * @typedef {import("./session.js").Session} Session
 * @typedef {import("../core/geometry/viewport.js").Bounds} Bounds
 * @typedef {import("../core/geometry/curves.js").Curve} Curve
 */

/**
 * @param {Session} session
 * @param {Iterable<string>} ids of the nodes that they would feed
 * @returns {Generator<{node: string, slot: number, curves: Curve[], colour: string}>}
 */
function* mutedCurves({ document: { graph }, scene }, ids) {
  for (const node of ids)
    for (const { slot, muted } of mutedInputs(graph, node)) {
      const stops = [
        scene.socket(muted.origin_id, "out", muted.origin_slot),
        ...(muted.points ?? []).map((point) => pair(point.pos, [0, 0])),
        scene.socket(node, "in", slot),
      ];
      const curves = stops.slice(1).flatMap((stop, at) => linkCurves(stops[at], stop, scene.style));
      yield { node, slot, curves, colour: typeColour(muted.type) };
    }
}

/**
 * @param {CanvasRenderingContext2D} context in graph units
 * @param {Session} session
 * @param {Bounds} area in which the nodes are that they would feed
 */
export function drawMuted(context, session, area) {
  for (const { curves, colour } of mutedCurves(session, session.scene.nodes.query(area))) {
    const path = new Path2D();
    for (const [a, b, c, d] of curves) {
      path.moveTo(a[0], a[1]);
      path.bezierCurveTo(b[0], b[1], c[0], c[1], d[0], d[1]);
    }
    context.globalAlpha = 0.55;
    context.setLineDash([3, 7]);
    context.lineWidth = 2.4;
    context.strokeStyle = colour;
    context.stroke(path);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }
}

/**
 * @param {Session} session
 * @param {[number, number]} at
 * @param {number} reach in graph units
 * @returns {{node: string, slot: number} | null} the input whose muted link passes there
 */
export function mutedAt(session, at, reach) {
  for (const { node, slot, curves } of mutedCurves(session, session.document.graph.nodes.keys()))
    if (curves.some((curve) => distanceTo(curve, at) < reach)) return { node, slot };
  return null;
}
