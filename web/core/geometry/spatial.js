/**
 * A grid of cells that says which boxes are near without looking at all of them.
 *
 * @typedef {import("./viewport.js").Bounds} Bounds
 */

const CELL = 512;
/** More rows than any graph has, so that each cell has a number of its own. */
const ROWS = 2 ** 24;

export class SpatialGrid {
  constructor() {
    /** @type {Map<number, Set<string>>} */
    this.cells = new Map();
    /** @type {Map<string, {bounds: Bounds, cells: number[]}>} */
    this.items = new Map();
    /** Grows with every change. */
    this.revision = 0;
  }

  /**
   * @param {string} key
   * @param {Bounds} bounds
   */
  set(key, bounds) {
    this.delete(key);
    const cells = [...cellsOf(bounds)];
    for (const cell of cells) {
      const members = this.cells.get(cell);
      if (members) members.add(key);
      else this.cells.set(cell, new Set([key]));
    }
    this.items.set(key, { bounds, cells });
    this.revision += 1;
  }

  /** @param {string} key */
  delete(key) {
    for (const cell of this.items.get(key)?.cells ?? []) {
      const members = this.cells.get(cell);
      members?.delete(key);
      if (members?.size === 0) this.cells.delete(cell);
    }
    if (this.items.delete(key)) this.revision += 1;
  }

  /**
   * @param {Bounds} area
   * @returns {Set<string>} the keys whose boxes overlap it
   */
  query(area) {
    const found = new Set();
    if (this.#wide(area)) {
      for (const [key, { bounds }] of this.items) if (touches(bounds, area)) found.add(key);
      return found;
    }
    for (const cell of cellsOf(area)) {
      for (const key of this.cells.get(cell) ?? []) {
        const item = this.items.get(key);
        if (item && touches(item.bounds, area)) found.add(key);
      }
    }
    return found;
  }

  /**
   * Visit the keys whose boxes overlap an area, without making a set of them where they are many.
   * @param {Bounds} area
   * @param {(key: string) => void} visit
   */
  each(area, visit) {
    if (!this.#wide(area)) for (const key of this.query(area)) visit(key);
    else for (const [key, { bounds }] of this.items) if (touches(bounds, area)) visit(key);
  }

  /** Whether an area has more cells than there are boxes. @param {Bounds} area */
  #wide([, , width, height]) {
    return (width / CELL) * (height / CELL) > this.items.size;
  }

  /** @returns {Bounds | null} bounds of everything */
  extent() {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const {
      bounds: [x, y, width, height],
    } of this.items.values()) {
      left = Math.min(left, x);
      top = Math.min(top, y);
      right = Math.max(right, x + width);
      bottom = Math.max(bottom, y + height);
    }
    return this.items.size ? [left, top, right - left, bottom - top] : null;
  }
}

/** @param {Bounds} a @param {Bounds} b */
function touches(a, b) {
  return a[0] <= b[0] + b[2] && b[0] <= a[0] + a[2] && a[1] <= b[1] + b[3] && b[1] <= a[1] + a[3];
}

/** @param {Bounds} bounds */
function* cellsOf([x, y, width, height]) {
  const [right, bottom] = [Math.floor((x + width) / CELL), Math.floor((y + height) / CELL)];
  for (let column = Math.floor(x / CELL); column <= right; column += 1) {
    for (let row = Math.floor(y / CELL); row <= bottom; row += 1) yield column * ROWS + row;
  }
}
