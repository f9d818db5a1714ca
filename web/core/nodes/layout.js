import { pair } from "../doc/schema.js";
import { isLinked, widgetLinked, widgetSlot, widgetsOf } from "./widgets.js";

/**
 * Where everything in a node is, from the record alone: loading needs no measuring, and sizes stay what they were.
 * All lengths are in graph units, from the top left of the node's body. The title bar is above the body, as in the files.
 *
 * @typedef {import("./definitions.js").NodeDef} NodeDef
 * @typedef {import("../doc/schema.js").NodeRecord} NodeRecord
 * @typedef {{slot: number, x: number, y: number, widget: string | null}} Socket
 * @typedef {{widget: import("./widgets.js").Widget, y: number, height: number, slot: number, linked: boolean}} WidgetRow
 * @typedef {{width: number, height: number, collapsed: boolean, inputs: Socket[], outputs: Socket[],
 *   rows: WidgetRow[], media: {y: number, height: number} | null, minimum: [number, number]}} Layout
 */

export const TITLE = 30;
export const SLOT = 22;
export const WIDGET = 26;
const PADDING = 8;
const TEXT_MINIMUM = 64;
const MEDIA_MINIMUM = 120;
const MINIMUM_WIDTH = 150;
const COLLAPSED_WIDTH = 150;
const REROUTE = 36;

/**
 * @param {NodeRecord} node
 * @param {NodeDef | undefined} def
 * @param {boolean} [media] does the node show pictures?
 * @returns {Layout}
 */
export function layoutNode(node, def, media = false) {
  if (node.type === "Reroute") return rerouteLayout(node);
  const all = widgetsOf(node, def);
  const widgets = all.filter((widget) => isShown(widget, node));
  const [askedWidth, askedHeight] = pair(node.size, [210, 0]);
  const unused = Boolean(node.flags?.unused_hidden);
  const plain = (node.inputs ?? [])
    .map((input, slot) => ({ input, slot }))
    .filter(({ input }) => !ownedByWidget(input, all) && !(unused && input.link == null && !input.muted_link));
  const outputs = (node.outputs ?? [])
    .map((output, slot) => ({ output, slot }))
    .filter(({ output }) => !(unused && !output.links?.length));
  const slotRows = Math.max(plain.length, outputs.length);
  const top = slotRows ? slotRows * SLOT + PADDING : PADDING;
  const texts = widgets.filter((widget) => widget.kind === "text").length;
  const fixed = (widgets.length - texts) * WIDGET;
  const minimumHeight = top + fixed + texts * TEXT_MINIMUM + (media ? MEDIA_MINIMUM : 0) + PADDING;
  const width = Math.max(askedWidth, MINIMUM_WIDTH);
  const height = Math.max(askedHeight, minimumHeight);
  if (node.flags?.collapsed) return collapsedLayout(node);
  const textHeight = texts ? (height - top - fixed - PADDING - (media ? MEDIA_MINIMUM : 0)) / texts : 0;
  const rows = placeRows(node, widgets, top, textHeight);
  const end = rows.length ? rows[rows.length - 1].y + rows[rows.length - 1].height : top - PADDING;
  return {
    width,
    height,
    collapsed: false,
    rows,
    inputs: [...plain.map(({ slot }, row) => ({ slot, x: 0, y: middle(row), widget: null })), ...rowSockets(rows)],
    outputs: outputs.map(({ slot }, row) => ({ slot, x: width, y: middle(row), widget: null })),
    media: media ? { y: end + PADDING, height: height - end - 2 * PADDING } : null,
    minimum: [MINIMUM_WIDTH, minimumHeight],
  };
}

/**
 * Hidden fields are never shown, advanced ones when the node is told to, or when a link feeds them.
 * @param {import("./widgets.js").Widget} widget
 * @param {NodeRecord} node
 */
function isShown({ name, options }, node) {
  if (options.hidden) return false;
  return !options.advanced || Boolean(node.showAdvanced) || widgetLinked(node, name);
}

/** @param {number} row */
function middle(row) {
  return PADDING / 2 + row * SLOT + SLOT / 2;
}

/**
 * @param {import("../doc/schema.js").InputSlot} input
 * @param {import("./widgets.js").Widget[]} widgets
 */
function ownedByWidget(input, widgets) {
  return input.widget != null && widgets.some((widget) => widget.name === input.widget?.name);
}

/**
 * @param {NodeRecord} node
 * @param {import("./widgets.js").Widget[]} widgets
 * @param {number} top
 * @param {number} textHeight
 * @returns {WidgetRow[]}
 */
function placeRows(node, widgets, top, textHeight) {
  let y = top;
  return widgets.map((widget) => {
    const height = widget.kind === "text" ? textHeight : WIDGET;
    const row = { widget, y, height, slot: widgetSlot(node, widget.name), linked: isLinked(node, widget) };
    y += height;
    return row;
  });
}

/** @param {WidgetRow[]} rows */
function rowSockets(rows) {
  return rows
    .filter((row) => row.slot >= 0)
    .map((row) => ({
      slot: row.slot,
      x: 0,
      y: row.y + Math.min(row.height, WIDGET) / 2,
      widget: row.widget.name,
    }));
}

/**
 * @param {NodeRecord} node
 * @returns {Layout}
 */
function collapsedLayout(node) {
  const y = -TITLE / 2;
  return {
    width: COLLAPSED_WIDTH,
    height: 0,
    collapsed: true,
    rows: [],
    media: null,
    minimum: [COLLAPSED_WIDTH, 0],
    inputs: (node.inputs ?? []).map((_, slot) => ({ slot, x: 0, y, widget: null })),
    outputs: (node.outputs ?? []).map((_, slot) => ({ slot, x: COLLAPSED_WIDTH, y, widget: null })),
  };
}

/**
 * @param {NodeRecord} node
 * @returns {Layout}
 */
function rerouteLayout(node) {
  const y = REROUTE / 2;
  const width = Math.max(pair(node.size, [75, 0])[0], 2 * REROUTE);
  return {
    width,
    height: REROUTE,
    collapsed: false,
    rows: [],
    media: null,
    minimum: [2 * REROUTE, REROUTE],
    inputs: (node.inputs ?? []).map((_, slot) => ({ slot, x: 0, y, widget: null })),
    outputs: (node.outputs ?? []).map((_, slot) => ({ slot, x: width, y, widget: null })),
  };
}

/** Whether a node is drawn without a title bar. @param {NodeRecord} node */
export function bare(node) {
  return node.type === "Reroute";
}

/**
 * The box of a node in graph units, title bar included.
 * @param {NodeRecord} node
 * @param {Layout} layout
 * @returns {[number, number, number, number]} left, top, width, height
 */
export function nodeBox(node, layout) {
  const [x, y] = pair(node.pos, [0, 0]);
  const title = bare(node) ? 0 : TITLE;
  return [x, y - title, layout.width, layout.height + title];
}
