import { renamePort } from "../core/graph/ports.js";
import { isLevel, levelsTo } from "../view/level.js";
import { fill, h, icon } from "../view/dom.js";
import { renameSubgraph } from "./subgraph_actions.js";

/**
 * Going into subgraphs and out again. The way from the workflow to what is on screen stands at the top of the field;
 * each step of it leads back.
 *
 * @typedef {import("../view/session.js").Session} Session
 */
export class Levels {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.steps = h("ol", {});
    this.root = h("nav", { class: "way overlay", "aria-label": "Where you are", hidden: true }, this.steps);
    /** @type {WeakMap<Session, Map<string, {scale: number, offset: [number, number]}>>} where one looked, by place */
    this.views = new WeakMap();
    /** @type {WeakMap<Session, number>} the revision at which a workflow was left for an inside */
    this.left = new WeakMap();
    app.shell.field.append(this.root);
    this.draw();
  }

  /** Go into a subgraph that is on screen. @param {string} id the instance */
  open(id) {
    const { session } = this.app;
    if (session) this.go([...placeOf(session), id]);
  }

  /** Go one step back. @returns {boolean} false at the top */
  up() {
    const { session } = this.app;
    const place = session ? placeOf(session) : [];
    const from = place.pop();
    if (from === undefined) return false;
    this.go(place);
    this.app.session?.document.select([from]);
    this.app.editor.reveal(from);
    return true;
  }

  /**
   * Show an inside, or the workflow.
   * @param {string[]} ids of the instances that one opens on the way; as far as there is a way
   */
  go(ids) {
    const { app } = this;
    const root = app.tabs.current;
    if (!root || ids.join(":") === root.front.document.place) return;
    this.#leave(root);
    const levels = levelsTo(root, ids);
    const front = levels[levels.length - 1];
    const view = this.views.get(root)?.get(front.document.place);
    if (front !== root && view) Object.assign(front.viewport, view);
    if (front !== root) front.placed = Boolean(view);
    if (front === root && this.left.get(root) !== root.document.revision) root.scene.rebuild();
    root.front = front;
    app.editor.show(front);
    app.journal.viewed(root);
    this.draw();
    app.shell.update();
    for (const panel of ["outline", "nodes"]) app.panels.update(panel);
    app.toasts.announce(isLevel(front) ? `Inside ${front.title}` : `Back in ${root.document.name}`);
    if (!app.shell.stage.contains(document.activeElement)) app.shell.stage.focus({ preventScroll: true });
  }

  /** @param {Session} root */
  #leave(root) {
    const { front } = root;
    if (front === root) this.left.set(root, root.document.revision);
    const views = this.views.get(root) ?? new Map();
    views.set(front.document.place, { scale: front.viewport.scale, offset: [...front.viewport.offset] });
    this.views.set(root, views);
  }

  /**
   * Go to where a step was done that is now undone or done again.
   * @param {Session} root
   * @param {string} place
   */
  travel(root, place) {
    if (root === this.app.tabs.current) this.go(place ? place.split(":") : []);
  }

  /** Go to a node wherever it is. @param {string} path such as "5:12" */
  reveal(path) {
    const ids = path.split(":");
    const id = String(ids.pop());
    this.go(ids);
    const { session, editor } = this.app;
    if (!session?.document.graph.node(id)) return;
    session.document.select([id]);
    editor.fit([id]);
    editor.reveal(id);
  }

  /** Say where one is. */
  draw() {
    const { session } = this.app;
    const place = session ? placeOf(session) : [];
    this.root.hidden = !place.length;
    const label = session && isLevel(session) ? `Graph inside ${session.title}` : "Graph";
    this.app.shell.stage.setAttribute("aria-label", label);
    if (!session || !place.length) return;
    const levels = levelsTo(session.root, place);
    const steps = levels.map((level, depth) => {
      const name = isLevel(level) ? level.title : level.document.name;
      const here = depth === levels.length - 1;
      const step = h(
        "button",
        {
          type: "button",
          class: "way-step",
          "aria-current": here ? "page" : null,
          title: here ? "Rename this subgraph" : `Back to ${name}`,
          on: { click: () => (here ? renameSubgraph(this.app) : this.go(place.slice(0, depth))) },
        },
        name,
      );
      return h("li", {}, depth ? icon("right") : null, step);
    });
    fill(this.steps, ...steps);
  }

  /**
   * Ask for the name of an input or output of the subgraph that is on screen.
   * @param {import("../core/graph/ports.js").Side} side
   * @param {number} slot
   * @param {{name: string, label?: string}} port
   */
  async renamePort(side, slot, port) {
    const { session } = this.app;
    const { askText } = await import("./dialogs.js");
    const kind = side === "inputs" ? "input" : "output";
    const label = await askText(`Rename the ${kind}`, port.label || port.name, "Rename");
    if (label === null) return;
    session?.document.transact(`Rename ${kind}`, (tx) => renamePort(tx, side, slot, label.trim()));
  }
}

/** @param {Session} session @returns {string[]} the instances that lead to it */
function placeOf({ document: { place } }) {
  return place ? place.split(":") : [];
}
