/**
 * The shape of links: cubic curves that leave and enter level, or straight lines, which are cubic curves too.
 *
 * @typedef {import("./viewport.js").Point} Point
 * @typedef {[Point, Point, Point, Point]} Curve start, two handles, end
 * @typedef {"spline" | "straight" | "square" | "hidden"} LinkStyle hidden ones are splines that are mostly not drawn
 */

const STUB = 16;

/**
 * @param {Point} from
 * @param {Point} to
 * @param {LinkStyle} style
 * @returns {Curve[]} one after the other
 */
export function linkCurves(from, to, style) {
  if (style === "straight") return [line(from, to)];
  if (style !== "square") return [linkCurve(from, to)];
  const corners = squareCorners(from, to);
  return corners.slice(1).map((corner, index) => line(corners[index], corner));
}

/**
 * Level and upright pieces: over the middle, or round both ends where the target lies behind.
 * @param {Point} from
 * @param {Point} to
 * @returns {Point[]}
 */
function squareCorners(from, to) {
  if (to[0] - from[0] >= 2 * STUB) {
    const x = (from[0] + to[0]) / 2;
    return [from, [x, from[1]], [x, to[1]], to];
  }
  const [out, back, y] = [from[0] + STUB, to[0] - STUB, (from[1] + to[1]) / 2];
  return [from, [out, from[1]], [out, y], [back, y], [back, to[1]], to];
}

/** @param {Point} from @param {Point} to @returns {Curve} */
function line(from, to) {
  return [from, from, to, to];
}

/**
 * @param {Point} from
 * @param {Point} to
 * @returns {Curve}
 */
export function linkCurve(from, to) {
  const dx = to[0] - from[0];
  const dy = Math.abs(to[1] - from[1]);
  const reach =
    dx >= 0 ? Math.max(dx * 0.5, Math.min(28, dy * 0.5)) : Math.min(-dx * 0.6 + 40, 60 + dy * 0.5 + -dx * 0.15);
  return [from, [from[0] + reach, from[1]], [to[0] - reach, to[1]], to];
}

/**
 * @param {Curve} curve
 * @param {number} t 0 at the start, 1 at the end
 * @returns {Point}
 */
export function pointAt([a, b, c, d], t) {
  const s = 1 - t;
  const [wa, wb, wc, wd] = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
  return [wa * a[0] + wb * b[0] + wc * c[0] + wd * d[0], wa * a[1] + wb * b[1] + wc * c[1] + wd * d[1]];
}

/**
 * @param {Curve} curve
 * @returns {import("./viewport.js").Bounds} a box round it, by its handles
 */
export function curveBounds(curve) {
  const [xs, ys] = [curve.map(([x]) => x), curve.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

/**
 * @param {Curve} curve
 * @param {Point} point
 * @returns {number} the distance, in the curve's units
 */
export function distanceTo(curve, point) {
  let best = Infinity;
  let last = curve[0];
  const pieces = 24;
  for (let piece = 1; piece <= pieces; piece += 1) {
    const next = pointAt(curve, piece / pieces);
    best = Math.min(best, segmentDistance(point, last, next));
    last = next;
  }
  return best;
}

/** @param {Point} p @param {Point} a @param {Point} b */
function segmentDistance(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(Math.max(((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length, 0), 1) : 0;
  return Math.hypot(p[0] - a[0] - t * dx, p[1] - a[1] - t * dy);
}
