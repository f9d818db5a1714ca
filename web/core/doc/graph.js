import { isObject } from "./schema.js";

/** @typedef {import("./schema.js").NodeRecord} NodeRecord */
/** @typedef {import("./schema.js").LinkRecord} LinkRecord */
/** @typedef {import("./schema.js").GroupRecord} GroupRecord */
/** @typedef {import("./schema.js").RerouteRecord} RerouteRecord */
/** @typedef {import("./schema.js").WorkflowRecord} WorkflowRecord */

const LINK_FIELDS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];
const LINK_REST = Symbol("rest of a link tuple");

/**
 * One graph of a workflow: the root, or the inside of a subgraph definition. The node, group and reroute records are
 * the file's own objects. Links are read into one shape whatever the file's, and written back in the file's.
 */
export class Graph {
  /** @param {WorkflowRecord} record the object that owns `nodes` and `links` */
  constructor(record) {
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
    /** @type {WorkflowRecord} */
    const out = { ...this.record };
    out.nodes = [...this.nodes.values(), ...this.strays];
    out.links = [...this.links.values()].map((link) => (this.tuples ? linkTuple(link) : { ...link }));
    if (this.record.groups || this.groups.size) out.groups = [...this.groups.values()];
    if (this.hadReroutes || this.reroutes.size) this.#writeReroutes(out);
    return /** @type {WorkflowRecord} */ (structuredClone(out));
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
