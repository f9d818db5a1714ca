/**
 * The shapes of a workflow file, as types only. A record is the parsed JSON object itself: keys that are not named here
 * stay on it and are written back.
 *
 * @typedef {string | number} NodeId
 * @typedef {[number, number]} Pair
 * @typedef {{name: string, type: string | string[] | number, link?: number | null, label?: string, shape?: number,
 *   widget?: {name: string}, [key: string]: unknown}} InputSlot
 * @typedef {{name: string, type: string | string[] | number, links?: number[] | null, label?: string, shape?: number,
 *   slot_index?: number, [key: string]: unknown}} OutputSlot
 * @typedef {{id: NodeId, type: string, pos: Pair | Record<string, number>, size?: Pair | Record<string, number>,
 *   flags?: {collapsed?: boolean, pinned?: boolean, unused_hidden?: boolean, [key: string]: unknown}, order?: number, mode?: number,
 *   inputs?: InputSlot[], outputs?: OutputSlot[], properties?: Record<string, unknown>,
 *   widgets_values?: unknown[] | Record<string, unknown>, title?: string, color?: string, bgcolor?: string,
 *   [key: string]: unknown}} NodeRecord
 * @typedef {{id: number, origin_id: NodeId, origin_slot: number, target_id: NodeId, target_slot: number,
 *   type: string | string[] | number, parentId?: number, [key: string]: unknown}} LinkRecord
 * @typedef {{id?: number, title: string, bounding: [number, number, number, number], color?: string,
 *   font_size?: number, flags?: {pinned?: boolean}, [key: string]: unknown}} GroupRecord
 * @typedef {{id: number, parentId?: number, pos: Pair, linkIds?: number[], [key: string]: unknown}} RerouteRecord
 * @typedef {Record<string, any>} WorkflowRecord
 * @typedef {"node" | "link" | "group" | "reroute" | "root"} Kind
 */

/** Values of a node's `mode` that mean something here. */
export const MODE = Object.freeze({ ALWAYS: 0, MUTED: 2, BYPASS: 4 });

/** Ids that stand for the outside world inside a subgraph definition. */
export const SUBGRAPH_INPUT = -10;
export const SUBGRAPH_OUTPUT = -20;

/** The classes of the nodes that show these two ids inside; no file has them. */
export const BORDER = Object.freeze({ INPUTS: "subgraph inputs", OUTPUTS: "subgraph outputs" });

/** Whether a node stands for the outside of the subgraph that it is in. @param {NodeRecord | undefined} node */
export function isBorder(node) {
  return node?.type === BORDER.INPUTS || node?.type === BORDER.OUTPUTS;
}

/**
 * A stored pair, which old files write as {"0": x, "1": y}.
 * @param {Pair | Record<string, number> | undefined} value
 * @param {Pair} fallback
 * @returns {Pair}
 */
export function pair(value, fallback) {
  if (!value) return fallback;
  const [x, y] = [Number(/** @type {any} */ (value)[0]), Number(/** @type {any} */ (value)[1])];
  return Number.isFinite(x) && Number.isFinite(y) ? [x, y] : fallback;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
