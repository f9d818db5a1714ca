/**
 * Lines that a dragged box comes to rest on: the edges and middles of its neighbours.
 *
 * @typedef {import("./viewport.js").Bounds} Bounds
 * @typedef {{axis: "x" | "y", at: number, from: number, to: number}} GuideLine at: its place on the axis; from, to: its ends
 *   on the other one
 */

/**
 * @param {Bounds} box where the box would be
 * @param {Bounds[]} others
 * @param {number} reach how near counts
 * @returns {{x: number | null, y: number | null, lines: GuideLine[]}} the box's new left and top, null where no line is near
 */
export function alignTo(box, others, reach) {
  const across = nearest(box, others, 0, reach);
  const down = nearest(box, others, 1, reach);
  const lines = [];
  const placed = /** @type {Bounds} */ ([across?.start ?? box[0], down?.start ?? box[1], box[2], box[3]]);
  if (across) lines.push(line("x", across, placed));
  if (down) lines.push(line("y", down, placed));
  return { x: across?.start ?? null, y: down?.start ?? null, lines };
}

/**
 * The neighbour whose start, middle or end is nearest to the same of the box.
 * @param {Bounds} box
 * @param {Bounds[]} others
 * @param {0 | 1} axis
 * @param {number} reach
 * @returns {{start: number, at: number, other: Bounds} | null}
 */
function nearest(box, others, axis, reach) {
  let best = null;
  let least = reach;
  for (const other of others) {
    for (const part of [0, 0.5, 1]) {
      const at = other[axis] + other[axis + 2] * part;
      const distance = Math.abs(at - box[axis] - box[axis + 2] * part);
      // Of equal fits the nearest neighbour wins, so that the line is short.
      if (distance > least || (best && distance === least && away(box, other) >= away(box, best.other))) continue;
      [least, best] = [distance, { start: at - box[axis + 2] * part, at, other }];
    }
  }
  return best;
}

/** @param {Bounds} a @param {Bounds} b */
function away(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

/**
 * @param {"x" | "y"} axis
 * @param {{at: number, other: Bounds}} found
 * @param {Bounds} box
 * @returns {GuideLine}
 */
function line(axis, { at, other }, box) {
  const along = axis === "x" ? 1 : 0;
  const ends = [box[along], box[along] + box[along + 2], other[along], other[along] + other[along + 2]];
  return { axis, at, from: Math.min(...ends), to: Math.max(...ends) };
}
