import { nextId } from "../doc/ids.js";

/**
 * Groups are coloured boxes; what is inside a box belongs to it.
 *
 * @typedef {[number, number, number, number]} Bounds left, top, width, height
 */

const MARGIN = 16;
const HEADER = 40;
const DEFAULT_COLOUR = "#5b6b8c";

/**
 * @param {Bounds} outer
 * @param {Bounds} inner
 */
export function contains(outer, inner) {
  return (
    inner[0] >= outer[0] &&
    inner[1] >= outer[1] &&
    inner[0] + inner[2] <= outer[0] + outer[2] &&
    inner[1] + inner[3] <= outer[1] + outer[3]
  );
}

/**
 * The smallest bounds round some.
 * @param {Bounds[]} all at least one
 * @returns {Bounds}
 */
export function union(all) {
  const left = Math.min(...all.map(([x]) => x));
  const top = Math.min(...all.map(([, y]) => y));
  const right = Math.max(...all.map(([x, , width]) => x + width));
  const bottom = Math.max(...all.map(([, y, , height]) => y + height));
  return [left, top, right - left, bottom - top];
}

/**
 * A group round some boxes, or one at a point when there are none.
 * @param {import("../doc/transact.js").Transaction} tx
 * @param {Bounds[]} boxes
 * @param {[number, number]} at
 * @returns {string} its selection key
 */
export function addGroup(tx, boxes, at) {
  const id = nextId(tx.graph.groups.keys(), 0);
  const bounding = boxes.length ? padded(union(boxes)) : [at[0], at[1], 420, 280];
  tx.insert("group", id, { id, title: "Group", bounding, color: DEFAULT_COLOUR, font_size: 24, flags: {} });
  return `group:${id}`;
}

/**
 * @param {Bounds} bounds
 * @returns {Bounds}
 */
export function padded([x, y, width, height]) {
  return [x - MARGIN, y - HEADER, width + 2 * MARGIN, height + HEADER + MARGIN];
}

/**
 * The groups and nodes whose boxes are inside a group's.
 * @param {import("../doc/graph.js").Graph} graph
 * @param {number} id
 * @param {(nodeId: string) => Bounds} boxOf
 * @returns {string[]} selection keys
 */
export function membersOf(graph, id, boxOf) {
  const outer = graph.groups.get(id)?.bounding;
  if (!outer) return [];
  const nodes = [...graph.nodes.keys()].filter((key) => centreInside(outer, boxOf(key)));
  const groups = [...graph.groups].filter(([other, group]) => other !== id && contains(outer, group.bounding));
  const reroutes = [...graph.reroutes.values()].filter(({ pos }) => contains(outer, [pos[0], pos[1], 0, 0]));
  return [
    ...nodes,
    ...groups.map(([other]) => `group:${other}`),
    ...reroutes.map((reroute) => `reroute:${reroute.id}`),
  ];
}

/**
 * @param {Bounds} outer
 * @param {Bounds} box
 */
function centreInside(outer, [x, y, width, height]) {
  return contains(outer, [x + width / 2, y + height / 2, 0, 0]);
}
