import { pair } from "../doc/schema.js";
import { pointsOf } from "../graph/reroutes.js";
import { typeColour } from "../graph/slot_types.js";
import { bare, layoutNode, nodeBox, TITLE } from "../nodes/layout.js";
import { curveBounds, distanceTo, linkCurves } from "./curves.js";
import { SpatialGrid } from "./spatial.js";
import { overlap } from "./viewport.js";

/**
 * Where everything in a graph is. Filled from the document, updated from its change sets, never written by drawing.
 *
 * @typedef {import("./viewport.js").Point} Point
 * @typedef {import("./viewport.js").Bounds} Bounds
 * @typedef {import("../nodes/layout.js").Layout} Layout
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {{curves: import("./curves.js").Curve[], gaps: number[], bounds: Bounds, colour: string}} LinkPath gaps: for each
 *   curve, after how many reroute points it comes
 */

const REROUTE_RADIUS = 9;
const GROUP_HEADER = 34;

export class Scene {
  /**
   * @param {import("../doc/graph.js").Graph} graph
   * @param {(node: NodeRecord) => NodeDef | undefined} definitionOf
   * @param {(node: NodeRecord) => boolean} hasMedia
   */
  constructor(graph, definitionOf, hasMedia) {
    this.graph = graph;
    this.definitionOf = definitionOf;
    this.hasMedia = hasMedia;
    /** @type {Map<string, Layout>} */
    this.layouts = new Map();
    /** @type {Map<string, Bounds>} */
    this.boxes = new Map();
    this.nodes = new SpatialGrid();
    /** @type {Map<number, LinkPath>} */
    this.paths = new Map();
    this.links = new SpatialGrid();
    /** @type {import("./curves.js").LinkStyle} */
    this.style = "spline";
    this.rebuild();
  }

  /** Draw links in another way. @param {import("./curves.js").LinkStyle} style */
  restyle(style) {
    if (style === this.style) return;
    this.style = style;
    for (const id of this.graph.links.keys()) this.#placeLink(id);
  }

  rebuild() {
    for (const id of [...this.boxes.keys()]) this.#dropNode(id);
    for (const id of [...this.paths.keys()]) this.#dropLink(id);
    for (const id of this.graph.nodes.keys()) this.#placeNode(id);
    for (const id of this.graph.links.keys()) this.#placeLink(id);
  }

  /** @param {import("../doc/document.js").ChangeSet} change */
  update(change) {
    const links = new Set([...change.links].map(Number));
    for (const id of change.nodes) {
      this.#placeNode(id);
      for (const link of this.#linksOf(id)) links.add(link);
    }
    for (const id of links) {
      // A primitive looks like what it feeds, so a new link may change its rows.
      const origin = this.graph.links.get(id)?.origin_id;
      if (origin !== undefined && this.graph.node(origin)?.type === "PrimitiveNode") this.#placeNode(String(origin));
    }
    if (change.reroutes.size)
      for (const link of this.graph.links.values()) if (link.parentId != null) links.add(link.id);
    for (const id of links) this.#placeLink(id);
  }

  /** Lay a node out anew, because it got or lost a picture. @param {string} id */
  refresh(id) {
    if (!this.graph.nodes.has(id)) return;
    this.#placeNode(id);
    for (const link of this.#linksOf(id)) this.#placeLink(link);
  }

  /** @param {string} id @returns {Layout} */
  layout(id) {
    return /** @type {Layout} */ (this.layouts.get(id));
  }

  /** @param {string} id @returns {Bounds} with the title bar */
  box(id) {
    return this.boxes.get(id) ?? [0, 0, 0, 0];
  }

  /** @param {string} id @returns {number} how far a node's box stands above the place that its record stores */
  titleHeight(id) {
    const node = this.graph.node(id);
    return node && !bare(node) ? TITLE : 0;
  }

  /**
   * The bounds of anything that can be selected.
   * @param {string} key
   * @returns {Bounds | null}
   */
  boundsOf(key) {
    const [kind, id] = key.split(":");
    if (kind === "group") return this.graph.groups.get(Number(id))?.bounding ?? null;
    if (kind !== "reroute") return this.boxes.get(key) ?? null;
    const point = this.graph.reroutes.get(Number(id));
    return point ? [point.pos[0] - 1, point.pos[1] - 1, 2, 2] : null;
  }

  /**
   * @param {import("../doc/schema.js").NodeId} id
   * @param {"in" | "out"} side
   * @param {number} slot
   * @returns {Point}
   */
  socket(id, side, slot) {
    const node = this.graph.node(id);
    const layout = this.layouts.get(String(id));
    if (!node || !layout) return [0, 0];
    const [x, y] = pair(node.pos, [0, 0]);
    const socket = (side === "in" ? layout.inputs : layout.outputs).find((candidate) => candidate.slot === slot);
    return socket ? [x + socket.x, y + socket.y] : [x + (side === "in" ? 0 : layout.width), y];
  }

  /** @param {Point} at @returns {string | null} the topmost node there */
  nodeAt([x, y]) {
    let top = null;
    for (const id of this.nodes.query([x, y, 0, 0])) if (top === null || this.#above(id, top)) top = id;
    return top;
  }

  /**
   * @param {Point} at
   * @param {number} reach in graph units
   * @returns {{id: number, segment: number} | null} the nearest link and which of its pieces
   */
  linkAt(at, reach) {
    let best = null;
    let least = reach;
    for (const key of this.links.query([at[0] - reach, at[1] - reach, 2 * reach, 2 * reach])) {
      const id = Number(key);
      const path = this.paths.get(id);
      for (const [index, curve] of (path?.curves ?? []).entries()) {
        const distance = distanceTo(curve, at);
        if (distance < least) [least, best] = [distance, { id, segment: path?.gaps[index] ?? 0 }];
      }
    }
    return best;
  }

  /**
   * @param {Point} at
   * @param {number} [reach] in graph units; never less than what is drawn
   * @returns {number | null} the nearest reroute point
   */
  rerouteAt([x, y], reach = 0) {
    let [best, least] = [/** @type {number | null} */ (null), Math.max(reach, REROUTE_RADIUS)];
    for (const { id, pos } of this.graph.reroutes.values()) {
      const distance = Math.hypot(pos[0] - x, pos[1] - y);
      if (distance < least) [best, least] = [id, distance];
    }
    return best;
  }

  /**
   * The innermost group whose header is there.
   * @param {Point} at
   * @returns {{id: number, corner: boolean} | null} corner: the handle that changes its size
   */
  groupAt([x, y]) {
    let best = null;
    for (const [
      id,
      {
        bounding: [left, top, width, height],
      },
    ] of this.graph.groups) {
      const inside = x >= left && x <= left + width && y >= top && y <= top + height;
      const corner = inside && x > left + width - 18 && y > top + height - 18;
      if (inside && (y < top + GROUP_HEADER || corner)) best = { id, corner };
    }
    return best;
  }

  /** @param {Bounds} area @returns {string[]} the keys of all that it touches */
  keysIn(area) {
    const groups = [...this.graph.groups]
      .filter(([, group]) => swallowed(area, group.bounding))
      .map(([id]) => `group:${id}`);
    const points = [...this.graph.reroutes.values()].filter(({ pos }) => overlap(area, [pos[0] - 1, pos[1] - 1, 2, 2]));
    return [...this.nodes.query(area), ...groups, ...points.map(({ id }) => `reroute:${id}`)];
  }

  /** @returns {Bounds | null} bounds of the whole graph */
  extent() {
    const grid = this.nodes.extent();
    const all = [...(grid ? [grid] : []), ...[...this.graph.groups.values()].map((group) => group.bounding)];
    if (!all.length) return null;
    const [left, top] = [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
    const right = Math.max(...all.map(([x, , width]) => x + width));
    return [left, top, right - left, Math.max(...all.map(([, y, , height]) => y + height)) - top];
  }

  /** @param {string} id @param {string} other */
  #above(id, other) {
    for (const key of this.graph.nodes.keys()) {
      if (key === id) return false;
      if (key === other) return true;
    }
    return false;
  }

  /** @param {string} id @returns {number[]} */
  #linksOf(id) {
    const node = this.graph.node(id);
    const inputs = (node?.inputs ?? []).flatMap((input) => (input.link == null ? [] : [Number(input.link)]));
    return [...inputs, ...(node?.outputs ?? []).flatMap((output) => (output.links ?? []).map(Number))];
  }

  /** @param {string} id */
  #placeNode(id) {
    const node = this.graph.node(id);
    if (!node) return this.#dropNode(id);
    const layout = layoutNode(node, this.definitionOf(node), this.hasMedia(node));
    const box = nodeBox(node, layout);
    this.layouts.set(id, layout);
    this.boxes.set(id, box);
    this.nodes.set(id, box);
  }

  /** @param {string} id */
  #dropNode(id) {
    this.layouts.delete(id);
    this.boxes.delete(id);
    this.nodes.delete(id);
  }

  /** @param {number} id */
  #placeLink(id) {
    const link = this.graph.links.get(id);
    if (!link || !this.graph.node(link.origin_id) || !this.graph.node(link.target_id)) return this.#dropLink(id);
    const stops = [
      this.socket(link.origin_id, "out", link.origin_slot),
      ...pointsOf(this.graph, link).map((point) => pair(point.pos, [0, 0])),
      this.socket(link.target_id, "in", link.target_slot),
    ];
    const pieces = stops.slice(1).map((stop, index) => linkCurves(stops[index], stop, this.style));
    const curves = pieces.flat();
    const gaps = pieces.flatMap((piece, gap) => piece.map(() => gap));
    const bounds = joined(curves.map(curveBounds));
    const output = this.graph.node(link.origin_id)?.outputs?.[link.origin_slot];
    this.paths.set(id, { curves, gaps, bounds, colour: typeColour(link.type ?? output?.type) });
    this.links.set(String(id), bounds);
  }

  /** @param {number} id */
  #dropLink(id) {
    this.paths.delete(id);
    this.links.delete(String(id));
  }
}

/** @param {Bounds[]} all @returns {Bounds} */
function joined(all) {
  const [left, top] = [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
  const right = Math.max(...all.map(([x, , width]) => x + width));
  return [left, top, right - left, Math.max(...all.map(([, y, , height]) => y + height)) - top];
}

/** @param {Bounds} outer @param {Bounds} inner */
function swallowed(outer, inner) {
  return (
    inner[0] > outer[0] &&
    inner[1] > outer[1] &&
    inner[0] + inner[2] < outer[0] + outer[2] &&
    inner[1] + inner[3] < outer[1] + outer[3]
  );
}

export { bare, TITLE };
