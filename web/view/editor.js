import { toggleFlag } from "../core/graph/nodes.js";
import { CanvasLayer } from "./canvas_layer.js";
import { NEAR, NodeLayer } from "./node_layer.js";

const NARROW = 700;
const READABLE = 0.62;

/**
 * The field: one document at a time on a canvas and a layer of elements. Holds no document state.
 *
 * @typedef {import("../core/geometry/viewport.js").Point} Point
 * @typedef {import("./session.js").Session} Session
 * @typedef {{
 *   address: (file: import("../core/run/jobs.js").FileRef) => string,
 *   view: (files: import("../core/run/jobs.js").FileRef[], index: number) => void,
 *   upload: (session: Session, id: string, file: File) => void,
 *   announce: (text: string) => void,
 *   search: (request: import("./interact/linking.js").SearchRequest) => void,
 *   menu: (request: import("./interact/pointer.js").MenuRequest) => void,
 *   rename: (key: string) => void,
 *   setting: (name: string) => any,
 *   embeddings: () => Promise<string[]>,
 *   connect: () => void,
 *   inside: (id: string) => void,
 *   renamePort: (socket: import("./interact/linking.js").Socket) => void,
 *   moved: () => void,
 * }} Services what the field asks of the rest of the page
 */
export class Editor {
  /**
   * @param {HTMLElement} stage
   * @param {Services} services
   */
  constructor(stage, services) {
    this.stage = stage;
    this.services = services;
    /** @type {Session | null} */
    this.session = null;
    /** @type {import("./canvas_layer.js").Overlay} */
    this.overlay = {
      marquee: null,
      loose: null,
      hoverLink: null,
      dropLink: null,
      dropNode: null,
      held: null,
      guides: [],
      gone: [],
    };
    /** @type {import("./interact/linking.js").Pick | null} */
    this.pick = null;
    this.canvas = new CanvasLayer(stage);
    this.nodes = new NodeLayer(stage, this);
    this.scheduler = new Scheduler(() => this.#frame());
    /** Whether two fingers have the view: whatever one of them began is off. */
    this.pinching = false;
    /** @type {Point} the last place of the pointer, in CSS pixels of the stage */
    this.pointer = [0, 0];
    /** @type {(() => void)[]} */
    this.stops = [];
    /** @type {Point | null} where the stage's corner is in the window */
    this.corner = null;
    /** Whether what is set now is set on all selected nodes that have the field: while Alt is held. */
    this.everywhere = false;
    this.insets = { top: 0, right: 0, bottom: 0, left: 0 };
    this.frames = { count: 0, milliseconds: 0 };
    new ResizeObserver(() => this.#measure()).observe(stage);
  }

  /** Hear the pointer and the keyboard. What they need comes once the graph has been drawn. */
  async listen() {
    const [{ listenPointer, listenWheel }, { listenWalk }] = await Promise.all([
      import("./interact/pointer.js"),
      import("./interact/walk.js"),
    ]);
    listenPointer(this);
    listenWheel(this);
    listenWalk(this);
    const heed = (/** @type {any} */ { altKey }) => (this.everywhere = altKey);
    for (const type of ["pointerdown", "pointermove", "pointerup", "click", "keydown", "keyup"])
      document.addEventListener(type, heed, { capture: true, passive: true });
    window.addEventListener("blur", () => (this.everywhere = false));
  }

  /** @param {Session | null} session */
  show(session) {
    for (const stop of this.stops.splice(0)) stop();
    this.pick?.drop();
    this.nodes.clear();
    this.session = session;
    if (!session) return;
    const { document } = session;
    this.stops.push(
      document.subscribe((change) => {
        session.scene.update(change);
        this.nodes.update(touched(session, change));
        this.invalidate();
      }),
    );
    this.stops.push(session.root.document.subscribe((_, patches) => this.refresh(session.showing(patches))));
    const listener = () => {
      this.nodes.update(this.nodes.mounted.keys());
      this.invalidate();
    };
    document.selectionListeners.add(listener);
    this.stops.push(() => document.selectionListeners.delete(listener));
    this.restyle();
    this.#measure();
    if (!session.placed) this.fit();
  }

  invalidate() {
    this.scheduler.ask();
  }

  /** Draw nodes anew whose results changed. @param {Iterable<string>} ids */
  refresh(ids) {
    const all = [...ids];
    if (!this.session) return;
    for (const id of all) this.session.scene.refresh(id);
    this.nodes.update(all);
    this.invalidate();
  }

  /** Links as the settings want them: splines, straight, square, or hidden. */
  restyle() {
    this.session?.scene.restyle(this.services.setting("links") ?? "spline");
    this.invalidate();
  }

  recolour() {
    this.canvas.recolour();
    this.invalidate();
  }

  /** Show everything, or some keys. @param {Iterable<string>} [keys] */
  fit(keys) {
    const { session } = this;
    if (!session) return;
    const bounds = keys
      ? [...keys].map((key) => session.scene.boundsOf(key)).filter((box) => box !== null)
      : [session.scene.extent()].filter((box) => box !== null);
    if (!bounds.length || session.viewport.size[0] < 10) return;
    const [left, top] = [Math.min(...bounds.map((box) => box[0])), Math.min(...bounds.map((box) => box[1]))];
    const right = Math.max(...bounds.map((box) => box[0] + box[2]));
    const bottom = Math.max(...bounds.map((box) => box[1] + box[3]));
    session.viewport.fit([left, top, right - left, bottom - top], {
      insets: this.insets,
      margin: Math.min(48, session.viewport.size[0] * 0.05),
    });
    if (!session.placed && session.viewport.scale < READABLE && session.viewport.size[0] < NARROW)
      this.#startAt(left, top);
    session.placed = true;
    this.moved();
  }

  /**
   * On a narrow screen the whole graph is too small to read: begin at its upper left instead.
   * @param {number} left
   * @param {number} top
   */
  #startAt(left, top) {
    const viewport = /** @type {Session} */ (this.session).viewport;
    viewport.scale = READABLE;
    viewport.offset = [16 - left * READABLE, 24 - top * READABLE];
  }

  /**
   * Bring a node into view and do something with its element.
   * @param {string} id
   * @param {(root: HTMLElement) => void} [act] else it gets the keyboard
   */
  reveal(id, act = (root) => root.focus({ preventScroll: true })) {
    const { session } = this;
    if (!session) return;
    const [left, top, width, height] = session.viewport.visible(-20);
    const [x, y, w, h] = session.scene.box(id);
    const seen = x >= left && y >= top && x + w <= left + width && y + h <= top + height;
    if (!seen || session.viewport.scale < NEAR) this.fit([id]);
    let frames = 60; // elements are made a few a frame
    const wait = () => {
      const element = this.nodes.mounted.get(id);
      if (element) act(element.root);
      else if ((frames -= 1)) requestAnimationFrame(wait);
    };
    wait();
  }

  /** The view changed. */
  moved() {
    this.services.moved();
    this.invalidate();
  }

  /** @param {number} factor */
  zoom(factor) {
    const { session } = this;
    if (!session) return;
    const [width, height] = session.viewport.size;
    session.viewport.zoomAt(factor, [width / 2, height / 2]);
    this.moved();
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} in CSS pixels of the stage */
  local(event) {
    const { left, top } = this.stage.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} */
  graphPoint(event) {
    return this.session ? this.session.viewport.toGraph(this.local(event)) : [0, 0];
  }

  /** @param {Point} at in graph units @returns {Point} in CSS pixels of the window */
  screenPoint([x, y]) {
    const { left, top } = this.stage.getBoundingClientRect();
    const { scale, offset } = /** @type {Session} */ (this.session).viewport;
    return [left + x * scale + offset[0], top + y * scale + offset[1]];
  }

  /** The keyboard came to a node. @param {string} id */
  focused(id) {
    const { session } = this;
    if (session && !session.document.selection.has(id)) session.document.select([id]);
  }

  /** @param {string[]} ids */
  fold(ids) {
    this.session?.document.transact("Fold", (tx) => toggleFlag(tx, ids, "collapsed"));
  }

  /** Take a node's complaints away. @param {string} id */
  dismiss(id) {
    this.session?.problems.delete(id);
    const run = this.session?.job?.nodes.get(id);
    if (run) run.message = "";
    this.refresh([id]);
  }

  #measure() {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    if (!this.session || width < 10) return;
    // A panel that opens covers a part of the graph; the graph itself stays where it is on the screen.
    if (this.session.placed && this.corner) this.session.viewport.panBy(this.corner[0] - left, this.corner[1] - top);
    this.corner = [left, top];
    this.session.viewport.size = [width, height];
    if (!this.session.placed) this.fit();
    this.invalidate();
  }

  #frame() {
    const { session } = this;
    if (!session) return false;
    const start = performance.now();
    const more = this.nodes.sync(session);
    const far = this.nodes.root.classList.contains("far");
    this.canvas.draw(session, this.overlay, { far, mounted: (id) => this.nodes.has(id) });
    this.frames.count += 1;
    this.frames.milliseconds += performance.now() - start;
    return more;
  }
}

/** Draws once per frame at most, however often it is asked. */
class Scheduler {
  /** @param {(now: number) => boolean} work returns true when another frame is needed at once */
  constructor(work) {
    this.work = work;
    this.asked = false;
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame((now) => {
      this.asked = false;
      if (this.work(now)) this.ask();
    });
  }
}

/**
 * The nodes whose elements a change concerns: those changed and those whose links changed.
 * @param {Session} session
 * @param {import("../core/doc/document.js").ChangeSet} change
 */
function touched({ document: { graph } }, change) {
  const ids = new Set(change.nodes);
  for (const id of change.links) {
    const link = graph.links.get(Number(id));
    if (link) ids.add(String(link.origin_id)).add(String(link.target_id));
  }
  return ids;
}
