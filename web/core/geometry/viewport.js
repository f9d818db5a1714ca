/**
 * The part of the graph on screen.
 *
 * @typedef {[number, number]} Point
 * @typedef {[number, number, number, number]} Bounds left, top, width, height
 */

export const MINIMUM_SCALE = 0.05;
export const MAXIMUM_SCALE = 4;

export class Viewport {
  constructor() {
    /** Graph units per screen pixel is 1 / scale. */
    this.scale = 1;
    /** @type {Point} the screen place of the graph's origin, in CSS pixels */
    this.offset = [0, 0];
    /** @type {Point} */
    this.size = [1, 1];
  }

  /** @param {Point} point @returns {Point} */
  toGraph([x, y]) {
    return [(x - this.offset[0]) / this.scale, (y - this.offset[1]) / this.scale];
  }

  /** @param {Point} point @returns {Point} */
  toScreen([x, y]) {
    return [x * this.scale + this.offset[0], y * this.scale + this.offset[1]];
  }

  /** @param {number} dx @param {number} dy in CSS pixels */
  panBy(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
  }

  /**
   * Scale, keeping a screen point over the same graph point.
   * @param {number} factor
   * @param {Point} at
   */
  zoomAt(factor, at) {
    const scale = Math.min(Math.max(this.scale * factor, MINIMUM_SCALE), MAXIMUM_SCALE);
    const ratio = scale / this.scale;
    this.offset = [at[0] - (at[0] - this.offset[0]) * ratio, at[1] - (at[1] - this.offset[1]) * ratio];
    this.scale = scale;
  }

  /**
   * Show some bounds in the middle.
   * @param {Bounds} bounds
   * @param {{margin?: number, maximum?: number, insets?: {top: number, right: number, bottom: number, left: number}}} [options]
   */
  fit([x, y, width, height], { margin = 48, maximum = 1, insets = { top: 0, right: 0, bottom: 0, left: 0 } } = {}) {
    const free = [this.size[0] - insets.left - insets.right, this.size[1] - insets.top - insets.bottom];
    const wanted = Math.min(
      (free[0] - 2 * margin) / Math.max(width, 1),
      (free[1] - 2 * margin) / Math.max(height, 1),
      maximum,
    );
    this.scale = Math.min(Math.max(wanted, MINIMUM_SCALE), MAXIMUM_SCALE);
    this.offset = [
      insets.left + free[0] / 2 - (x + width / 2) * this.scale,
      insets.top + free[1] / 2 - (y + height / 2) * this.scale,
    ];
  }

  /**
   * @param {number} [margin] in CSS pixels
   * @returns {Bounds} what is on screen, in graph units
   */
  visible(margin = 0) {
    const [x, y] = this.toGraph([-margin, -margin]);
    return [x, y, (this.size[0] + 2 * margin) / this.scale, (this.size[1] + 2 * margin) / this.scale];
  }
}

/** @param {Bounds} a @param {Bounds} b */
export function overlap(a, b) {
  return a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
}

/** @param {Point} a @param {Point} b @returns {Bounds} */
export function boundsOf(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
}
