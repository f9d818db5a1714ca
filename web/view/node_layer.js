import { NodeElement } from "./nodes/node_element.js";

/**
 * Real elements for the nodes near the screen, no others. Values live in the document, so taking an element away loses
 * nothing; those that somebody is using stay.
 */

/** Below this scale nodes are boxes on the canvas. */
export const NEAR = 0.45;
const BUDGET_MS = 4;
const MOUNT_MARGIN = 150;
const KEEP_MARGIN = 450;
const SETTLE_MS = 160;

export class NodeLayer {
  /**
   * @param {HTMLElement} stage
   * @param {import("./editor.js").Editor} editor
   */
  constructor(stage, editor) {
    this.editor = editor;
    this.root = document.createElement("div");
    this.root.className = "nodes";
    stage.append(this.root);
    /** @type {Map<string, NodeElement>} */
    this.mounted = new Map();
    /** @type {Set<string>} pinned while a gesture uses them */
    this.pinned = new Set();
    /** How many elements were ever made: who marks them looks again when it grows. */
    this.made = 0;
    this.last = "";
    this.settle = 0;
  }

  /** @param {string} id */
  has(id) {
    return this.mounted.has(id);
  }

  clear() {
    for (const id of [...this.mounted.keys()]) this.#unmount(id);
  }

  /** @param {Iterable<string>} ids whose records or results changed */
  update(ids) {
    for (const id of ids) {
      const element = this.mounted.get(id);
      if (!element) continue;
      if (this.editor.session?.document.graph.nodes.has(id)) element.update();
      else this.#unmount(id);
    }
  }

  /**
   * Bring the elements in line with the view.
   * @param {import("./session.js").Session} session
   * @returns {boolean} true when there are more to make
   */
  sync(session) {
    const { viewport, scene } = session;
    const far = viewport.scale < NEAR;
    this.root.classList.toggle("far", far);
    this.#move(viewport);
    if (far) return false;
    const wanted = scene.nodes.query(viewport.visible(MOUNT_MARGIN));
    const kept = scene.nodes.query(viewport.visible(KEEP_MARGIN));
    for (const [id, element] of this.mounted) {
      if (!kept.has(id) && !this.pinned.has(id) && !element.busy) this.#unmount(id);
    }
    const until = performance.now() + BUDGET_MS;
    for (const id of wanted) {
      if (this.mounted.has(id)) continue;
      this.#mount(session, id);
      if (performance.now() > until) return true;
    }
    return false;
  }

  /**
   * One transform for all nodes. While it changes the nodes are a texture; when it rests they are drawn sharp again.
   * @param {import("../core/geometry/viewport.js").Viewport} viewport
   */
  #move({ scale, offset: [x, y] }) {
    const transform = `translate(${x}px, ${y}px) scale(${scale})`;
    if (transform === this.last) return;
    this.last = transform;
    this.root.style.transform = transform;
    this.root.classList.add("moving");
    clearTimeout(this.settle);
    this.settle = window.setTimeout(() => this.root.classList.remove("moving"), SETTLE_MS);
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {string} id
   */
  #mount(session, id) {
    const element = new NodeElement(this.editor, session, id);
    this.mounted.set(id, element);
    this.made += 1;
    this.root.append(element.root);
  }

  /** @param {string} id */
  #unmount(id) {
    this.mounted.get(id)?.remove();
    this.mounted.delete(id);
  }
}
