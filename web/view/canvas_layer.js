import { overlap } from "../core/geometry/viewport.js";
import { MODE } from "../core/doc/schema.js";
import {
  drawFarNode,
  drawFloating,
  drawGone,
  drawGrid,
  drawGroup,
  drawGuides,
  drawHeld,
  drawLinks,
  drawLooseLink,
  drawMarquee,
  drawReroute,
  drawRing,
  readColours,
} from "./draw.js";
import { drawMuted } from "./muted_links.js";

/**
 * The canvas under the nodes: grid, groups, links, and every node that has no element at the moment.
 *
 * @typedef {{marquee: import("../core/geometry/viewport.js").Bounds | null, loose: import("./draw.js").LooseLink | null,
 *   hoverLink: number | null, dropLink: number | null, dropNode: string | null,
 *   held: import("../core/geometry/viewport.js").Point | null, guides: import("../core/geometry/guides.js").GuideLine[],
 *   gone: import("./draw.js").GoneNode[]}} Overlay
 *   marquee: the box of a selection; loose: the link in hand; hoverLink, dropLink, dropNode: what is under it; held: where
 *   a finger rests; guides: the lines that a dragged node is on; gone: nodes of another state of the graph
 */

export class CanvasLayer {
  /** @param {HTMLElement} stage */
  constructor(stage) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "under";
    this.canvas.setAttribute("aria-hidden", "true");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { alpha: false }));
    this.stage = stage;
    /** @type {import("./draw.js").KeptLinks} the paths of all links as last seen from afar */
    this.farLinks = { key: [], batches: [], stubs: [] };
    this.colours = readColours(stage);
    stage.prepend(this.canvas);
  }

  /** After a change of theme. */
  recolour() {
    this.colours = readColours(this.stage);
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {Overlay} overlay
   * @param {{far: boolean, mounted: (id: string) => boolean}} nodes
   */
  draw(session, overlay, nodes) {
    const { context, colours } = this;
    const { viewport, scene, document } = session;
    const ratio = this.#resize(viewport.size);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colours.field;
    context.fillRect(0, 0, viewport.size[0], viewport.size[1]);
    drawGrid(context, viewport, colours);
    const {
      scale,
      offset: [x, y],
    } = viewport;
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
    const area = viewport.visible(40);
    for (const [id, group] of document.graph.groups) {
      if (overlap(area, group.bounding))
        drawGroup(context, group, document.selection.has(`group:${id}`), scale, colours);
    }
    drawLinks(context, session, { area, overlay, colours, kept: this.farLinks });
    drawFloating(context, session);
    if (scene.style !== "hidden") drawMuted(context, session, area);
    for (const point of document.graph.reroutes.values()) {
      drawReroute(context, point, document.selection.has(`reroute:${point.id}`), colours);
    }
    if (session === session.root) for (const gone of overlay.gone) drawGone(context, gone, scale, colours);
    scene.nodes.each(area, (id) => {
      if (nodes.far || !nodes.mounted(id)) this.#farNode(session, id, scale);
    });
    if (overlay.dropNode) drawRing(context, scene.box(overlay.dropNode), scale, colours);
    if (overlay.loose) drawLooseLink(context, overlay.loose);
    if (overlay.held) drawHeld(context, overlay.held, scale, colours);
    if (overlay.guides.length) drawGuides(context, overlay.guides, scale, colours);
    if (overlay.marquee) drawMarquee(context, overlay.marquee, scale, colours);
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {string} id
   * @param {number} scale
   */
  #farNode(session, id, scale) {
    const node = session.document.graph.node(id);
    if (!node) return;
    const run = session.job?.nodes.get(id);
    drawFarNode(
      this.context,
      {
        node,
        box: session.scene.box(id),
        title: node.title || session.definitionFor(node)?.title || node.type,
        selected: session.document.selection.has(id),
        dim: node.mode === MODE.MUTED || node.mode === MODE.BYPASS,
        missing: session.missing(node.type),
        problem: session.problems.has(id) || run?.state === "failed",
        running: run?.state === "running",
      },
      scale,
      this.colours,
    );
  }

  /** @param {[number, number]} size @returns {number} device pixels per CSS pixel */
  #resize([width, height]) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    return ratio;
  }
}
