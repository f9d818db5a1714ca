import { overlap } from "../core/geometry/viewport.js";
import { h } from "../view/dom.js";

/**
 * The whole graph in a corner, with the part on screen framed. It comes when something is out of sight.
 *
 * @typedef {import("../core/geometry/viewport.js").Bounds} Bounds
 */

const [WIDTH, HEIGHT, EDGE] = [190, 122, 8];
/** Milliseconds for which the picture of the nodes is good while the view moves over it. */
const GOOD_FOR = 200;

export class Minimap {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.asked = false;
    this.scale = 1;
    /** @type {[number, number]} what lies at the map's corner */
    this.corner = [0, 0];
    this.canvas = h("canvas", { width: WIDTH * 2, height: HEIGHT * 2 });
    /** The nodes alone, so that a frame in which only the view moves costs one copy. */
    this.nodes = h("canvas", { width: WIDTH * 2, height: HEIGHT * 2 });
    this.painted = { at: -Infinity, key: "" };
    /** @type {Bounds | null} what holds all nodes, as of the last look */
    this.all = null;
    this.later = 0;
    this.root = h(
      "div",
      {
        class: "map overlay",
        role: "img",
        "aria-label": "Map of the graph",
        hidden: true,
        on: { pointerdown: (/** @type {PointerEvent} */ event) => this.#press(event) },
      },
      this.canvas,
    );
    app.shell.field.append(this.root);
    new ResizeObserver(() => this.update()).observe(app.shell.field);
  }

  /** Draw in the next frame: the view, the graph, a run or the settings changed. */
  update() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.#draw();
    });
  }

  #draw() {
    const { session, settings } = this.app;
    const view = session?.viewport.visible();
    const stale = performance.now() - this.painted.at > GOOD_FOR;
    if (stale) {
      const boxes = session ? [...session.document.graph.nodes.keys()].map((id) => session.scene.box(id)) : [];
      this.all = boxes.length && view ? around(boxes) : null;
      this.painted = { at: performance.now(), key: "" };
    } else {
      // What changed meanwhile is shown when the picture is looked at again.
      clearTimeout(this.later);
      this.later = window.setTimeout(() => this.update(), GOOD_FOR + 20);
    }
    const { all } = this;
    this.root.hidden = !settings.get("map") || !session || !all || !view || within(all, view);
    if (this.root.hidden || !session || !all || !view) return;
    const shown = overlap(all, view) ? around([all, view]) : all;
    const whole = area(shown) > 6 * area(all) ? all : shown;
    this.scale = Math.min((WIDTH - 2 * EDGE) / whole[2], (HEIGHT - 2 * EDGE) / whole[3]);
    this.corner = [
      whole[0] - (WIDTH / this.scale - whole[2]) / 2,
      whole[1] - (HEIGHT / this.scale - whole[3]) / 2,
    ];
    const key = `${session.document.uid} ${session.document.place} ${this.scale} ${this.corner}`;
    if (key !== this.painted.key) this.#paintNodes(session);
    this.painted.key = key;
    this.#paintView(view);
  }

  /** @param {Bounds} view */
  #paintView(view) {
    const pen = this.canvas.getContext("2d");
    if (!pen) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.nodes, 0, 0);
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    pen.lineWidth = 1.5;
    const [x, y] = this.#place(view);
    pen.strokeRect(x, y, view[2] * this.scale, view[3] * this.scale);
  }

  /** @param {import("../view/session.js").Session} session */
  #paintNodes(session) {
    const pen = this.nodes.getContext("2d");
    if (!pen) return;
    const style = getComputedStyle(document.documentElement);
    const names = ["--line", "--accent", "--map-node", "--danger", "--good"];
    const colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(name)]));
    const colour = (/** @type {string} */ name) => colours[name];
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    for (const group of session.document.graph.groups.values()) {
      pen.fillStyle = group.color || colour("--line");
      pen.globalAlpha = 0.35;
      this.#box(pen, /** @type {Bounds} */ (group.bounding));
    }
    pen.globalAlpha = 1;
    for (const [id, node] of session.document.graph.nodes) {
      const state = session.job?.nodes.get(id)?.state;
      const bad = session.problems.has(id) || state === "failed" || session.missing(node.type);
      const plain = session.document.selection.has(id) ? "--accent" : "--map-node";
      pen.fillStyle = colour(bad ? "--danger" : state === "running" ? "--good" : plain);
      pen.globalAlpha = node.mode ? 0.4 : 1;
      this.#box(pen, session.scene.box(id));
    }
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen @param {Bounds} box */
  #box(pen, box) {
    const [x, y] = this.#place(box);
    pen.fillRect(x, y, Math.max(box[2] * this.scale, 1.5), Math.max(box[3] * this.scale, 1.5));
  }

  /** @param {Bounds} box */
  #place([x, y]) {
    return [(x - this.corner[0]) * this.scale, (y - this.corner[1]) * this.scale];
  }

  /** Bring what was pointed at to the middle, and follow. @param {PointerEvent} down */
  #press(down) {
    const box = this.root.getBoundingClientRect();
    const [scale, corner] = [this.scale, this.corner]; // as they are now: the map must not run away under the hand
    const go = (/** @type {PointerEvent} */ event) => {
      const { session, editor } = this.app;
      if (!session) return;
      const { viewport } = session;
      const [x, y] = viewport.toScreen([
        (event.clientX - box.left) / scale + corner[0],
        (event.clientY - box.top) / scale + corner[1],
      ]);
      viewport.panBy(viewport.size[0] / 2 - x, viewport.size[1] / 2 - y);
      editor.moved();
    };
    down.preventDefault();
    this.root.setPointerCapture(down.pointerId);
    this.root.addEventListener("pointermove", go);
    this.root.addEventListener("lostpointercapture", () => this.root.removeEventListener("pointermove", go), {
      once: true,
    });
    go(down);
  }
}

/** @param {Bounds[]} boxes @returns {Bounds} what holds all */
function around(boxes) {
  const left = Math.min(...boxes.map(([x]) => x));
  const top = Math.min(...boxes.map(([, y]) => y));
  const right = Math.max(...boxes.map(([x, , width]) => x + width));
  const bottom = Math.max(...boxes.map(([, y, , height]) => y + height));
  return [left, top, right - left, bottom - top];
}

/** @param {Bounds} inner @param {Bounds} outer */
function within(inner, outer) {
  return (
    inner[0] >= outer[0] &&
    inner[1] >= outer[1] &&
    inner[0] + inner[2] <= outer[0] + outer[2] &&
    inner[1] + inner[3] <= outer[1] + outer[3]
  );
}

/** @param {Bounds} box */
function area([, , width, height]) {
  return width * height;
}
