import { portsOf } from "../core/doc/borders.js";
import { insideOf } from "../core/doc/inner.js";
import { BORDER, SUBGRAPH_INPUT } from "../core/doc/schema.js";
import { titleOf } from "../core/graph/nodes.js";
import { settlePorts } from "../core/graph/ports.js";
import { holds } from "../core/graph/subgraphs.js";
import { readDefinition } from "../core/nodes/definitions.js";
import { widgetsOf, widgetValue } from "../core/nodes/widgets.js";
import { Session } from "./session.js";

/**
 * The inside of a subgraph on screen, as one came to it: a session whose results are a part of the workflow's.
 *
 * @typedef {import("../core/nodes/definitions.js").NodeDef} NodeDef
 * @typedef {import("../core/doc/schema.js").NodeRecord} NodeRecord
 * @typedef {import("../core/run/jobs.js").Job} Job
 */

/** @type {Map<string, NodeDef>} */
const BORDERS = new Map(
  Object.entries({ [BORDER.INPUTS]: "Inputs", [BORDER.OUTPUTS]: "Outputs" }).map(([type, title]) => [
    type,
    { ...readDefinition(type, { display_name: title }), virtual: true },
  ]),
);

class Level extends Session {
  /**
   * @param {Session} above what one sees who goes one step back
   * @param {string} instance the node that was opened there
   * @param {import("../core/doc/document.js").Document & {id: string}} document
   */
  constructor(above, instance, document) {
    super(document, above.root.catalogue, above.root);
    this.above = above;
    this.instance = instance;
    this.type = document.id;
    const prefix = `${document.place}:`;
    this.prefix = prefix;
    this.problems = new Under(() => this.root.problems, prefix);
    this.previews = new Under(() => this.root.previews, prefix);
    this.pictures = new Under(() => this.root.pictures, prefix);
    /** @type {{of: Job | null, as: Job | null}} the last run and how it looks from here */
    this.seen = { of: null, as: null };
    Object.defineProperty(this, "job", { get: () => this.#job() });
    this.scene.rebuild();
  }

  /** The workflow's session follows the document. @override */
  start() {}

  /** What one calls the inside. */
  get title() {
    const node = this.above.document.graph.node(this.instance);
    return node ? titleOf(node, this.above.definitionFor(node)) : "Subgraph";
  }

  /** @override @param {string} type @returns {NodeDef | undefined} */
  definition(type) {
    return BORDERS.get(type) ?? this.root.definition(type);
  }

  /** A subgraph is no part of itself. @override */
  get definitions() {
    const { graph } = this.document;
    const fits = (/** @type {[string, NodeDef]} */ [id, { module }]) =>
      module !== "subgraph" || !holds(graph, id, this.type);
    return new Map([...this.root.definitions].filter(fits));
  }

  /** @override @param {string} type */
  missing(type) {
    return !BORDERS.has(type) && this.root.missing(type);
  }

  /** @override @param {string} type */
  hasInside(type) {
    return this.root.hasInside(type);
  }

  /** @override @param {Map<string, NodeDef>} catalogue */
  recatalogue(catalogue) {
    this.catalogue = catalogue;
    this.scene.rebuild();
  }

  /** @override @param {Iterable<string>} ids @returns {string[]} */
  local(ids) {
    return [...ids].filter((id) => id.startsWith(this.prefix)).map((id) => id.slice(this.prefix.length));
  }

  /** @override @param {string} id */
  path(id) {
    return this.prefix + id;
  }

  /**
   * A widget that is joined to an input shows what the instance says there, because that is what runs.
   * @override
   * @param {NodeRecord} node
   * @param {import("../core/nodes/widgets.js").Widget} widget
   * @returns {unknown}
   */
  valueOf(node, widget) {
    const { graph } = this.document;
    const slot = (node.inputs ?? []).findIndex((input) => input.widget?.name === widget.name);
    const link = slot < 0 ? undefined : graph.linkInto(node.id, slot);
    if (!link || Number(link.origin_id) !== SUBGRAPH_INPUT) return widgetValue(node, widget);
    const name = portsOf(graph).inputs[link.origin_slot]?.name;
    const instance = this.above.document.graph.node(this.instance);
    const widgets = instance ? widgetsOf(instance, this.above.definitionFor(instance)) : [];
    const outer = widgets.find((each) => each.name === name);
    return instance && outer ? this.above.valueOf(instance, outer) : widgetValue(node, widget);
  }

  /** The workflow's run as it looks from in here. @returns {Job | null} */
  #job() {
    const { job } = this.root;
    if (job === this.seen.of) return this.seen.as;
    const level = this;
    const as =
      job &&
      Object.create(job, {
        nodes: { value: new Under(() => job.nodes, this.prefix) },
        current: { get: () => (job.at === null ? null : (level.local([job.at])[0]?.split(":")[0] ?? null)) },
      });
    this.seen = { of: job, as };
    return as;
  }
}

/**
 * The part of a map whose keys begin with the way to a level.
 * @template Value
 * @extends {Map<string, Value>}
 */
class Under extends Map {
  /**
   * @param {() => Map<string, Value>} whole
   * @param {string} prefix
   */
  constructor(whole, prefix) {
    super();
    this.whole = whole;
    this.prefix = prefix;
  }

  /** @override @param {string} id */
  get(id) {
    return this.whole().get(this.prefix + id);
  }

  /** @override @param {string} id */
  has(id) {
    return this.whole().has(this.prefix + id);
  }

  /** @override @param {string} id */
  delete(id) {
    return this.whole().delete(this.prefix + id);
  }

  /** @override @param {string} id @param {Value} value */
  set(id, value) {
    this.whole().set(this.prefix + id, value);
    return this;
  }
}

/**
 * The sessions on the way to an inside, the workflow's first.
 * @param {Session} root
 * @param {string[]} ids of the instances that one opens on the way
 * @returns {Session[]} as far as there is a way
 */
export function levelsTo(root, ids) {
  root.followPorts ??= (tx) => settlePorts(tx, (node) => root.definitionFor(node));
  /** @type {Session[]} */
  const levels = [root];
  for (const [depth, id] of ids.entries()) {
    const document = insideOf(root.document, ids.slice(0, depth + 1));
    if (!document) break;
    levels.push(new Level(levels[depth], id, document));
  }
  return levels;
}

/** @param {Session} session @returns {session is Level} */
export function isLevel(session) {
  return session instanceof Level;
}
