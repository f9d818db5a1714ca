import { readBorders, withBorders } from "./borders.js";
import { isBorder, isObject } from "./schema.js";

/** @typedef {import("./schema.js").NodeRecord} NodeRecord */
/** @typedef {import("./schema.js").LinkRecord} LinkRecord */
/** @typedef {import("./schema.js").GroupRecord} GroupRecord */
/** @typedef {import("./schema.js").RerouteRecord} RerouteRecord */
/** @typedef {import("./schema.js").WorkflowRecord} WorkflowRecord */

const LINK_FIELDS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];
const LINK_REST = Symbol("rest of a link tuple");

/**
 * One graph of a workflow: the root, or the inside of a subgraph definition. The node, group and reroute records are
 * the file's own objects. Links are read into one shape whatever the file's, and written back in the file's. Inside of
 * a definition two nodes stand for its inputs and outputs, so that one joins to them as to any other.
 */
export class Graph {
  /**
   * @param {WorkflowRecord} record the object that owns `nodes` and `links`
   * @param {Graph | null} [root] the workflow's graph, where this is the inside of one of its definitions
   */
  constructor(record, root = null) {
    /** @type {Graph} the workflow's own graph */
    this.root = root ?? this;
    /** @type {Map<string, Graph> | null} the definitions by id, once somebody asked */
    this.registry = null;
    /** @type {WeakMap<object, Graph>} what undo took out is the same when it comes back: patches hold its parts */
    this.insides = new WeakMap();
    /** Whether a change was ever made here; a definition that was not touched is written as it was read. */
    this.touched = false;
    /** @type {WorkflowRecord} */
    this.record = record;
    /** @type {Map<string, NodeRecord>} by id as text, in the file's order */
    this.nodes = new Map();
    /** @type {Map<number, LinkRecord>} */
    this.links = new Map();
    /** @type {Map<number, GroupRecord>} by an id of ours: old files give groups none */
    this.groups = new Map();
    /** @type {Map<number, RerouteRecord>} */
    this.reroutes = new Map();
    const first = list(record.links).find((link) => link !== null);
    /** @type {unknown[]} entries of the list of nodes that are no nodes we can address; kept and written back */
    this.strays = [];
    this.tuples = first === undefined ? Number(record.version ?? 0.4) < 1 : Array.isArray(first);
    this.hadReroutes = false;
    this.#read();
    this.borders = root ? readBorders(this) : "";
  }

  /** The insides of the workflow's subgraph definitions by id, nested ones too. */
  get subgraphs() {
    this.root.registry ??= this.root.#readDefinitions();
    return this.root.registry;
  }

  /** The list of definitions changed: those that are known stay the graphs that they are. */
  definitionsChanged() {
    if (this.registry) this.registry = this.#readDefinitions();
  }

  /** @returns {Map<string, Graph>} */
  #readDefinitions() {
    const found = new Map();
    const collect = (/** @type {any} */ record) => {
      for (const definition of list(record?.definitions?.subgraphs)) {
        if (!isObject(definition) || found.has(definition.id)) continue;
        const present = this.registry?.get(definition.id) ?? this.insides.get(definition);
        const inner = present ?? new Graph(definition, this);
        this.insides.set(definition, inner);
        found.set(definition.id, inner);
        collect(definition);
      }
    };
    collect(this.record);
    return found;
  }

  #read() {
    const { record } = this;
    for (const node of list(record.nodes)) {
      if (isNode(node) && !this.nodes.has(String(node.id))) this.nodes.set(String(node.id), node);
      else this.strays.push(node);
    }
    for (const raw of list(record.links)) {
      const link = readLink(raw);
      if (link) this.links.set(link.id, link);
    }
    let groupId = 1;
    for (const group of list(record.groups))
      if (isObject(group) && list(group.bounding).length === 4)
        this.groups.set(groupId++, /** @type {GroupRecord} */ (group));
    this.#readReroutes();
  }

  #readReroutes() {
    const extra = isObject(this.record.extra) ? this.record.extra : {};
    const stored = this.record.reroutes ?? extra.reroutes;
    this.hadReroutes = Array.isArray(stored);
    for (const reroute of list(stored)) {
      if (isObject(reroute)) this.reroutes.set(Number(reroute.id), /** @type {RerouteRecord} */ (reroute));
    }
    for (const extension of list(extra.linkExtensions)) {
      const link = isObject(extension) ? this.links.get(Number(extension.id)) : undefined;
      if (link) link.parentId = Number(extension.parentId);
    }
  }

  /** The record as it is stored: the same object graph with the collections written back. A deep copy. */
  toRecord() {
    return /** @type {WorkflowRecord} */ (structuredClone(this.#written()));
  }

  /**
   * @param {Graph[]} [above] the definitions in which this one lies
   * @returns {WorkflowRecord} shares its parts with this graph
   */
  #written(above = []) {
    const changed = [...(this.root.registry?.values() ?? [])].some(({ touched }) => touched);
    const out = changed ? this.#withDefinitions([...above, this]) : { ...this.record };
    if (this.root !== this && !this.touched) return out;
    out.nodes = [...this.nodes.values()].filter((node) => !isBorder(node)).concat(/** @type {any} */ (this.strays));
    if (this.root !== this) Object.assign(out, withBorders(this));
    out.links = [...this.links.values()].map((link) => (this.tuples ? linkTuple(link) : { ...link }));
    if (this.record.groups || this.groups.size) out.groups = [...this.groups.values()];
    if (this.hadReroutes || this.reroutes.size) this.#writeReroutes(out);
    return out;
  }

  /**
   * @param {Graph[]} above
   * @returns {WorkflowRecord} the record with the definitions in it as they are now
   */
  #withDefinitions(above) {
    const { definitions } = this.record;
    if (!Array.isArray(definitions?.subgraphs)) return { ...this.record };
    const subgraphs = definitions.subgraphs.map((/** @type {any} */ raw) => {
      const inner = isObject(raw) ? this.subgraphs.get(raw.id) : undefined;
      return inner && !above.includes(inner) ? inner.#written(above) : raw;
    });
    return { ...this.record, definitions: { ...definitions, subgraphs } };
  }

  /** @param {WorkflowRecord} out */
  #writeReroutes(out) {
    const reroutes = [...this.reroutes.values()];
    if (!this.tuples) {
      out.reroutes = reroutes;
      return;
    }
    const parents = [...this.links.values()].filter((link) => link.parentId != null);
    const linkExtensions = parents.map(({ id, parentId }) => ({ id, parentId }));
    out.extra = { ...out.extra };
    if (linkExtensions.length || out.extra.linkExtensions) out.extra.linkExtensions = linkExtensions;
    out.extra.reroutes = reroutes;
  }

  /**
   * @param {import("./schema.js").NodeId} id
   * @returns {NodeRecord | undefined}
   */
  node(id) {
    return this.nodes.get(String(id));
  }

  /**
   * The link that feeds an input, or undefined. The input's own record decides.
   * @param {import("./schema.js").NodeId} id
   * @param {number} slot
   */
  linkInto(id, slot) {
    const link = this.node(id)?.inputs?.[slot]?.link;
    return link == null ? undefined : this.links.get(Number(link));
  }

  /**
   * The links that leave an output.
   * @param {import("./schema.js").NodeId} id
   * @param {number} slot
   * @returns {LinkRecord[]}
   */
  linksOutOf(id, slot) {
    const ids = this.node(id)?.outputs?.[slot]?.links ?? [];
    return ids.map((link) => this.links.get(Number(link))).filter((link) => link !== undefined);
  }
}

/**
 * @param {unknown} value
 * @returns {value is NodeRecord}
 */
function isNode(value) {
  if (!isObject(value) || value.id == null) return false;
  return [value.inputs, value.outputs].every(
    (ports) => ports == null || (Array.isArray(ports) && ports.every(isObject)),
  );
}

/**
 * @param {unknown} value
 * @returns {any[]}
 */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * A link from a tuple or an object; null for anything else, which old files contain.
 * @param {any} raw
 * @returns {LinkRecord | null}
 */
function readLink(raw) {
  if (Array.isArray(raw)) {
    if (raw.length < 5) return null;
    const link = /** @type {any} */ (Object.fromEntries(LINK_FIELDS.map((field, i) => [field, raw[i]])));
    if (raw.length > LINK_FIELDS.length) link[LINK_REST] = raw.slice(LINK_FIELDS.length);
    return numbered(link);
  }
  return isObject(raw) && raw.id != null ? numbered({ .../** @type {any} */ (raw) }) : null;
}

/** @param {LinkRecord} link */
function numbered(link) {
  link.id = Number(link.id);
  link.origin_slot = Number(link.origin_slot);
  link.target_slot = Number(link.target_slot);
  return link;
}

/** @param {LinkRecord} link */
function linkTuple(link) {
  const rest = /** @type {any} */ (link)[LINK_REST] ?? [];
  return [...LINK_FIELDS.map((field) => link[field]), ...rest];
}
