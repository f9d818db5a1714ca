import { depths } from "./topology.js";

/**
 * Places for nodes, as numbers only.
 *
 * @typedef {{id: string, x: number, y: number, width: number, height: number}} Box left, top with the title bar
 * @typedef {Map<string, [number, number]>} Places id to left and top
 * @typedef {"left" | "right" | "top" | "bottom" | "centre" | "middle" | "columns" | "rows"} Alignment
 */

const GAP_X = 70;
const GAP_Y = 34;

/**
 * Columns from sources to results; in a column, nodes stand near what they read.
 * @param {import("../doc/graph.js").Graph} graph
 * @param {Box[]} boxes
 * @returns {Places}
 */
export function arrange(graph, boxes) {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const depth = depths(graph, new Set(byId.keys()));
  pullTowardsReaders(graph, depth);
  /** @type {Box[][]} */
  const columns = [];
  for (const box of boxes) (columns[depth.get(box.id) ?? 0] ??= []).push(box);
  const left = Math.min(...boxes.map((box) => box.x));
  const top = Math.min(...boxes.map((box) => box.y));
  /** @type {Places} */
  const places = new Map();
  let x = left;
  for (const column of columns) {
    if (!column) continue;
    let y = top;
    for (const box of sortColumn(graph, column, places)) {
      places.set(box.id, [x, y]);
      y += box.height + GAP_Y;
    }
    x += Math.max(...column.map((box) => box.width)) + GAP_X;
  }
  return places;
}

/**
 * A source that only far nodes read moves to the column before them, so that its links stay short.
 * @param {import("../doc/graph.js").Graph} graph
 * @param {Map<string, number>} depth changed in place
 */
function pullTowardsReaders(graph, depth) {
  const ids = [...depth.keys()].reverse();
  for (const id of ids) {
    let nearest = Infinity;
    for (const output of graph.node(id)?.outputs ?? []) {
      for (const linkId of output.links ?? []) {
        const link = graph.links.get(Number(linkId));
        const reader = link && depth.get(String(link.target_id));
        if (reader !== undefined) nearest = Math.min(nearest, reader);
      }
    }
    if (Number.isFinite(nearest)) depth.set(id, Math.max(depth.get(id) ?? 0, nearest - 1));
  }
}

/**
 * @param {import("../doc/graph.js").Graph} graph
 * @param {Box[]} column
 * @param {Places} places of the columns before
 */
function sortColumn(graph, column, places) {
  const weight = (/** @type {Box} */ box) => {
    const above = (graph.node(box.id)?.inputs ?? []).flatMap((input) => {
      const link = input.link == null ? undefined : graph.links.get(Number(input.link));
      const place = link && places.get(String(link.origin_id));
      return place ? [place[1] + link.origin_slot * 22] : [];
    });
    return above.length ? above.reduce((sum, value) => sum + value, 0) / above.length : box.y;
  };
  return column
    .map((box) => ({ box, at: weight(box) }))
    .sort((a, b) => a.at - b.at || a.box.y - b.box.y)
    .map(({ box }) => box);
}

/**
 * @param {Box[]} boxes
 * @param {Alignment} how "columns" and "rows" spread the boxes with equal gaps
 * @returns {Places}
 */
export function align(boxes, how) {
  const left = Math.min(...boxes.map((box) => box.x));
  const top = Math.min(...boxes.map((box) => box.y));
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  if (how === "columns" || how === "rows") return distribute(boxes, how === "columns" ? 0 : 1);
  /** @type {Record<string, (box: Box) => [number, number]>} */
  const rules = {
    left: (box) => [left, box.y],
    right: (box) => [right - box.width, box.y],
    top: (box) => [box.x, top],
    bottom: (box) => [box.x, bottom - box.height],
    centre: (box) => [(left + right - box.width) / 2, box.y],
    middle: (box) => [box.x, (top + bottom - box.height) / 2],
  };
  return new Map(boxes.map((box) => [box.id, rules[how](box)]));
}

/**
 * @param {Box[]} boxes
 * @param {0 | 1} axis
 * @returns {Places}
 */
function distribute(boxes, axis) {
  const start = (/** @type {Box} */ box) => (axis === 0 ? box.x : box.y);
  const size = (/** @type {Box} */ box) => (axis === 0 ? box.width : box.height);
  const sorted = [...boxes].sort((a, b) => start(a) - start(b));
  const first = start(sorted[0]);
  const end = Math.max(...boxes.map((box) => start(box) + size(box)));
  const free = end - first - boxes.reduce((sum, box) => sum + size(box), 0);
  const gap = boxes.length > 1 ? Math.max(free / (boxes.length - 1), 10) : 0;
  let at = first;
  /** @type {Places} */
  const places = new Map();
  for (const box of sorted) {
    places.set(box.id, axis === 0 ? [at, box.y] : [box.x, at]);
    at += size(box) + gap;
  }
  return places;
}
