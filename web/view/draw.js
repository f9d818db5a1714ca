import { MODE, pair } from "../core/doc/schema.js";
import { linkCurve } from "../core/geometry/curves.js";
import { pointsOf } from "../core/graph/reroutes.js";
import { typeColour } from "../core/graph/slot_types.js";
import { bare, TITLE } from "../core/nodes/layout.js";

/**
 * What the canvas shows. Links go many in one path: a path for each colour and strength.
 *
 * @typedef {CanvasRenderingContext2D} Context
 * @typedef {Record<string, string>} Colours
 * @typedef {{node: import("../core/doc/schema.js").NodeRecord, box: import("../core/geometry/viewport.js").Bounds,
 *   title: string, selected: boolean, dim: boolean, missing: boolean, problem: boolean, running: boolean}} FarNode
 * @typedef {{box: import("../core/geometry/viewport.js").Bounds, title: string}} GoneNode
 * @typedef {{from: [number, number], to: [number, number], colour: string, fits: boolean}} LooseLink
 * @typedef {{path: Path2D, strong: boolean, colour: string, alpha: number}} Batch
 * @typedef {{key: unknown[], batches: Batch[], stubs: import("../core/geometry/scene.js").LinkPath[]}} KeptLinks
 */

const GRID = 20;
const STRAIGHT_BELOW = 0.18;
const STUB = 12;
const FEW_LINKS = 400;
/** @type {import("../core/geometry/viewport.js").Bounds} */
const EVERYWHERE = [-1e9, -1e9, 2e9, 2e9];
const FONT = "system-ui, sans-serif";

/**
 * Dots that thin out as one goes away.
 * @param {Context} context in CSS pixels
 * @param {import("../core/geometry/viewport.js").Viewport} viewport
 * @param {Colours} colours
 */
export function drawGrid(context, viewport, colours) {
  let step = GRID * viewport.scale;
  while (step < 18) step *= 4;
  const [width, height] = viewport.size;
  const startX = ((viewport.offset[0] % step) + step) % step;
  const startY = ((viewport.offset[1] % step) + step) % step;
  const radius = Math.min(Math.max(viewport.scale, 1.1), 1.6);
  context.fillStyle = colours.grid;
  for (let x = startX; x < width; x += step) {
    for (let y = startY; y < height; y += step) context.fillRect(x - radius / 2, y - radius / 2, radius, radius);
  }
}

/**
 * @param {Context} context in graph units, as all below
 * @param {import("../core/doc/schema.js").GroupRecord} group
 * @param {boolean} selected
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawGroup(context, group, selected, scale, colours) {
  const [x, y, width, height] = group.bounding;
  const colour = group.color || "#5b6b8c";
  context.beginPath();
  context.roundRect(x, y, width, height, 10);
  context.fillStyle = withAlpha(colour, 0.16);
  context.fill();
  context.lineWidth = (selected ? 2.5 : 1) / Math.max(scale, 0.3);
  context.strokeStyle = selected ? colours.accent : withAlpha(colour, 0.75);
  context.stroke();
  const size = Math.max(Number(group.font_size) || 24, 11 / scale) * 0.75;
  context.font = `600 ${size}px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = colours.text;
  context.save();
  context.beginPath();
  context.rect(x, y - size, width, height + size);
  context.clip();
  context.fillText(group.title || "Group", x + 14, y + Math.max(18, size * 0.8));
  context.restore();
  if (scale > 0.4) drawCorner(context, x + width, y + height, colour);
}

/** @param {Context} context @param {number} x @param {number} y @param {string} colour */
function drawCorner(context, x, y, colour) {
  context.beginPath();
  context.moveTo(x - 5, y - 14);
  context.lineTo(x - 14, y - 5);
  context.moveTo(x - 5, y - 9);
  context.lineTo(x - 9, y - 5);
  context.lineWidth = 1.5;
  context.strokeStyle = colour;
  context.stroke();
}

/**
 * A node without an element: a box with its title bar, and its name while that can be read.
 * @param {Context} context
 * @param {FarNode} far
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawFarNode(context, far, scale, colours) {
  const [x, y, width, height] = far.box;
  const title = bare(far.node) ? 0 : Math.min(TITLE, height);
  context.globalAlpha = far.dim ? 0.45 : 1;
  context.fillStyle = tinted(far.node.bgcolor, colours.node, colours.tint);
  context.fillRect(x, y, width, height);
  context.fillStyle = far.missing ? colours.danger : tinted(far.node.color, colours["node-title"], colours.tint);
  context.fillRect(x, y, width, title);
  if (scale > 0.1 && title) {
    const size = Math.min(Math.max(14, 9 / scale), TITLE * 1.6);
    context.font = `600 ${size}px ${FONT}`;
    context.textBaseline = "middle";
    context.fillStyle = colours.text;
    context.fillText(
      far.title.slice(0, Math.floor((width / size) * 1.7)),
      x + 12,
      y + (size > TITLE * 0.8 ? size : title / 2),
      width - 20,
    );
  }
  const ring = far.problem ? colours.danger : far.running ? colours.good : far.selected ? colours.accent : "";
  if (ring) {
    context.lineWidth = 2 / scale;
    context.strokeStyle = ring;
    context.strokeRect(x, y, width, height);
  }
  context.globalAlpha = 1;
}

/**
 * Where a node was that is gone.
 * @param {Context} context
 * @param {GoneNode} gone
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawGone(context, { box: [x, y, width, height], title }, scale, colours) {
  context.lineWidth = 1.5 / scale;
  context.strokeStyle = colours.danger;
  context.setLineDash([6 / scale, 5 / scale]);
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
  context.font = `600 ${Math.max(14, 9 / scale)}px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = colours.danger;
  context.fillText(title, x + 12, y + TITLE / 2, width - 20);
}

/**
 * @param {Context} context
 * @param {import("../core/doc/schema.js").RerouteRecord} point
 * @param {boolean} selected
 * @param {Colours} colours
 */
export function drawReroute(context, point, selected, colours) {
  context.beginPath();
  context.arc(point.pos[0], point.pos[1], 6, 0, 2 * Math.PI);
  context.fillStyle = colours.node;
  context.fill();
  context.lineWidth = selected ? 3 : 2;
  context.strokeStyle = selected ? colours.accent : colours["text-dim"];
  context.stroke();
}

/**
 * @param {Context} context
 * @param {import("../core/geometry/viewport.js").Bounds} area
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawMarquee(context, [x, y, width, height], scale, colours) {
  context.fillStyle = withAlpha(colours.accent, 0.12);
  context.fillRect(x, y, width, height);
  context.lineWidth = 1 / scale;
  context.strokeStyle = colours.accent;
  context.strokeRect(x, y, width, height);
}

/**
 * Round the node that would take the link in hand.
 * @param {Context} context
 * @param {import("../core/geometry/viewport.js").Bounds} box
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawRing(context, [x, y, width, height], scale, colours) {
  const gap = 4 / scale;
  context.beginPath();
  context.roundRect(x - gap, y - gap, width + 2 * gap, height + 2 * gap, 12);
  context.lineWidth = 2 / scale;
  context.strokeStyle = colours.accent;
  context.stroke();
}

/**
 * Where a finger rests long enough.
 * @param {Context} context
 * @param {import("../core/geometry/viewport.js").Point} at
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawHeld(context, [x, y], scale, colours) {
  context.beginPath();
  context.arc(x, y, 34 / scale, 0, 2 * Math.PI);
  context.fillStyle = withAlpha(colours.accent, 0.14);
  context.fill();
  context.lineWidth = 2 / scale;
  context.strokeStyle = colours.accent;
  context.stroke();
}

/**
 * @param {Context} context
 * @param {import("../core/geometry/guides.js").GuideLine[]} lines
 * @param {number} scale
 * @param {Colours} colours
 */
export function drawGuides(context, lines, scale, colours) {
  context.beginPath();
  for (const { axis, at, from, to } of lines) {
    context.moveTo(...(axis === "x" ? /** @type {const} */ ([at, from]) : /** @type {const} */ ([from, at])));
    context.lineTo(...(axis === "x" ? /** @type {const} */ ([at, to]) : /** @type {const} */ ([to, at])));
  }
  context.lineWidth = 1 / scale;
  context.strokeStyle = colours.accent;
  context.stroke();
}

/**
 * A colour that somebody gave, as strong as the theme bears it. Canvas and style sheet know the same mix.
 * @param {string | undefined} colour
 * @param {string} ground
 * @param {string} tint a percentage
 */
function tinted(colour, ground, tint) {
  const part = parseFloat(tint) / 100;
  if (!colour || part >= 1) return colour || ground;
  const [a, b] = [channels(colour), channels(ground)];
  return a && b
    ? `rgb(${a.map((value, index) => Math.round(value * part + b[index] * (1 - part))).join(" ")})`
    : ground;
}

/**
 * @param {string} colour #rgb or #rrggbb
 * @returns {number[] | null} red, green, blue from 0 to 255
 */
function channels(colour) {
  const long = colour.replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3");
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(long);
  return match && match.slice(1).map((part) => parseInt(part, 16));
}

/** The colours that the canvas takes from the style sheet. */
const NAMES = [
  "field",
  "grid",
  "grid-strong",
  "node",
  "node-title",
  "text",
  "text-dim",
  "accent",
  "danger",
  "good",
  "warn",
  "outline",
  "bypass",
  "link-edge",
  "tint",
];

/**
 * @param {Element} element
 * @returns {Record<string, string>} by name without the dashes of the property
 */
export function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || "#888"]));
}

/**
 * @param {string} colour #rgb or #rrggbb
 * @param {number} alpha
 * @returns {string} with alpha; other notations come back as they are
 */
export function withAlpha(colour, alpha) {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(colour);
  const long = short ? `#${short[1]}${short[1]}${short[2]}${short[2]}${short[3]}${short[3]}` : colour;
  if (!/^#[0-9a-f]{6}$/i.test(long)) return colour;
  return (
    long +
    Math.round(alpha * 255)
      .toString(16)
      .padStart(2, "0")
  );
}

/**
 * @param {Context} context
 * @param {import("./session.js").Session} session
 * @param {{area: import("../core/geometry/viewport.js").Bounds, overlay: import("./canvas_layer.js").Overlay,
 *   colours: Colours, kept: KeptLinks}} view kept: changed in place
 */
export function drawLinks(context, session, { area, overlay, colours, kept }) {
  const { scene, document, viewport } = session;
  const { scale } = viewport;
  const far = scale < STRAIGHT_BELOW && scene.links.items.size > FEW_LINKS;
  const key = far ? farKey(session, overlay) : [];
  if (!far || key.some((part, index) => part !== kept.key[index]))
    Object.assign(kept, { key, ...batchLinks(session, far ? EVERYWHERE : area, overlay) });
  context.lineCap = "round";
  if (scale > STRAIGHT_BELOW) drawEdges(context, kept.batches, colours);
  for (const { path, strong, colour, alpha } of kept.batches) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = Math.max(strong ? 3.6 : 2.4, 0.9 / scale);
    context.stroke(path);
  }
  for (const path of kept.stubs) drawStubs(context, path);
  context.globalAlpha = 1;
  if (overlay.dropLink !== null && document.graph.links.has(overlay.dropLink))
    markDrop(context, scene, overlay.dropLink, colours);
}

/**
 * What the paths of far links depend on; where one looks is not of it.
 * @param {import("./session.js").Session} session
 * @param {import("./canvas_layer.js").Overlay} overlay
 * @returns {unknown[]}
 */
function farKey({ document, scene, job }, { hoverLink }) {
  const running = job?.state === "running" ? job.current : "";
  return [document, document.revision, scene.links.revision, document.selection, hoverLink, running];
}

/**
 * @param {import("./session.js").Session} session
 * @param {import("../core/geometry/viewport.js").Bounds} area
 * @param {import("./canvas_layer.js").Overlay} overlay
 * @returns {{batches: Batch[], stubs: import("../core/geometry/scene.js").LinkPath[]}}
 */
function batchLinks(session, area, overlay) {
  const { scene, document, viewport } = session;
  /** @type {Map<string, Batch>} */
  const batches = new Map();
  /** @type {import("../core/geometry/scene.js").LinkPath[]} */
  const stubs = [];
  scene.links.each(area, (key) => {
    const id = Number(key);
    const path = scene.paths.get(id);
    const link = document.graph.links.get(id);
    if (!path || !link) return;
    const strong = isStrong(session, link) || overlay.hoverLink === id;
    if (scene.style === "hidden" && !strong) {
      stubs.push(path);
      return;
    }
    const faded = !strong && isAsleep(document.graph, link);
    const name = `${path.colour}${strong}${faded}`;
    let batch = batches.get(name);
    if (!batch) {
      batch = { path: new Path2D(), strong, colour: path.colour, alpha: faded ? 0.25 : strong ? 1 : 0.85 };
      batches.set(name, batch);
    }
    trace(batch.path, path.curves, viewport.scale);
  });
  return { batches: [...batches.values()], stubs };
}

/**
 * The ends of a link that is not shown, so that one sees there is one.
 * @param {Context} context
 * @param {import("../core/geometry/scene.js").LinkPath} path
 */
function drawStubs(context, { curves, colour }) {
  const [from, to] = [curves[0][0], curves[curves.length - 1][3]];
  context.globalAlpha = 0.8;
  context.strokeStyle = colour;
  context.lineWidth = 2.4;
  context.beginPath();
  for (const [[x, y], way] of /** @type {const} */ ([
    [from, 1],
    [to, -1],
  ])) {
    context.moveTo(x, y);
    context.lineTo(x + way * STUB, y);
    context.moveTo(x + way * (STUB + 7), y);
    context.arc(x + way * (STUB + 4), y, 3, 0, 2 * Math.PI);
  }
  context.stroke();
}

/**
 * The links that hang on reroute points but end nowhere: files keep them, so they are shown.
 * @param {Context} context
 * @param {import("./session.js").Session} session
 */
export function drawFloating(context, { document: { graph }, scene }) {
  for (const raw of Array.isArray(graph.record.floatingLinks) ? graph.record.floatingLinks : []) {
    if (!raw || typeof raw !== "object") continue;
    const points = pointsOf(graph, raw).map((point) => pair(point.pos, [0, 0]));
    const from = graph.node(raw.origin_id) && scene.socket(raw.origin_id, "out", Number(raw.origin_slot));
    const to = graph.node(raw.target_id) && scene.socket(raw.target_id, "in", Number(raw.target_slot));
    const stops = [...(from ? [from] : []), ...points, ...(to ? [to] : [])];
    const path = new Path2D();
    stops.slice(1).forEach((stop, index) => trace(path, [linkCurve(stops[index], stop)], 1));
    context.setLineDash([6, 6]);
    context.lineWidth = 2.4;
    context.strokeStyle = typeColour(raw.type);
    context.stroke(path);
    context.setLineDash([]);
  }
}

/**
 * A thin rim under all links: it parts those that cross, and makes pale colours visible on a pale field.
 * @param {Context} context
 * @param {Iterable<{path: Path2D, strong: boolean, alpha: number}>} batches
 * @param {Record<string, string>} colours
 */
function drawEdges(context, batches, colours) {
  context.strokeStyle = colours["link-edge"];
  for (const { path, strong, alpha } of batches) {
    context.globalAlpha = alpha * 0.6;
    context.lineWidth = strong ? 5 : 3.6;
    context.stroke(path);
  }
}

/**
 * @param {import("./session.js").Session} session
 * @param {import("../core/doc/schema.js").LinkRecord} link
 */
function isStrong({ document: { selection }, job }, link) {
  if (selection.has(String(link.origin_id)) || selection.has(String(link.target_id))) return true;
  return job?.state === "running" && job.current === String(link.target_id);
}

/**
 * @param {import("../core/doc/graph.js").Graph} graph
 * @param {import("../core/doc/schema.js").LinkRecord} link
 */
function isAsleep(graph, link) {
  return graph.node(link.origin_id)?.mode === MODE.MUTED || graph.node(link.target_id)?.mode === MODE.MUTED;
}

/**
 * @param {Path2D} path
 * @param {import("../core/geometry/curves.js").Curve[]} curves
 * @param {number} scale
 */
function trace(path, curves, scale) {
  for (const [a, b, c, d] of curves) {
    path.moveTo(a[0], a[1]);
    if (scale < STRAIGHT_BELOW) path.lineTo(d[0], d[1]);
    else path.bezierCurveTo(b[0], b[1], c[0], c[1], d[0], d[1]);
  }
}

/**
 * @param {Context} context
 * @param {import("../core/geometry/scene.js").Scene} scene
 * @param {number} id
 * @param {Record<string, string>} colours
 */
function markDrop(context, scene, id, colours) {
  const path = new Path2D();
  trace(path, scene.paths.get(id)?.curves ?? [], 1);
  context.strokeStyle = colours.accent;
  context.lineWidth = 5;
  context.stroke(path);
}

/**
 * The link that hangs on the cursor.
 * @param {Context} context
 * @param {LooseLink} loose
 */
export function drawLooseLink(context, { from, to, colour, fits }) {
  const path = new Path2D();
  trace(path, [linkCurve(from, to)], 1);
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.setLineDash(fits ? [] : [7, 7]);
  context.stroke(path);
  context.setLineDash([]);
  context.beginPath();
  context.arc(to[0], to[1], 5, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}
