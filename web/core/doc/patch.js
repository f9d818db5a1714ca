/**
 * Changes to a document as data. Three kinds: a value set at a path inside a record, a record put in, a record taken
 * out. Each carries what it replaced, so that its inverse needs no look at the document.
 *
 * @typedef {import("./schema.js").Kind} Kind
 * @typedef {{op: "set", kind: Kind, id: string, path: (string | number)[], value: unknown, old: unknown,
 *   next?: string, graph?: string}} SetPatch next: the key that stood behind one that is taken away; graph: the
 *   definition in whose inside it is, where it is in one
 * @typedef {{op: "insert" | "remove", kind: Kind, id: string, record: any, before: string | null,
 *   graph?: string}} MovePatch
 * @typedef {SetPatch | MovePatch} Patch
 */

/** What stands for "there was no such key". Text, because patches are stored in the journal. */
export const ABSENT = "\u0000absent";

/**
 * @param {Patch} patch
 * @returns {Patch}
 */
export function invert(patch) {
  if (patch.op === "set") return { ...patch, value: patch.old, old: patch.value };
  return { ...patch, op: patch.op === "insert" ? "remove" : "insert" };
}

/**
 * The patches that undo a list, in the order in which to apply them.
 * @param {Patch[]} patches
 */
export function invertAll(patches) {
  return patches.map(invert).reverse();
}

/**
 * @param {import("./graph.js").Graph} graph
 * @param {Kind} kind
 * @returns {Map<any, any>}
 */
export function collection(graph, kind) {
  if (kind === "node") return graph.nodes;
  if (kind === "link") return graph.links;
  if (kind === "group") return graph.groups;
  if (kind === "reroute") return graph.reroutes;
  throw new TypeError(`a document has no collection of ${kind}`);
}

/**
 * The key of a record in its collection: nodes have text ids, all else numbers.
 * @param {Kind} kind
 * @param {string} id
 */
export function keyOf(kind, id) {
  return kind === "node" ? id : Number(id);
}

/**
 * Apply one patch to a workflow, in place.
 * @param {import("./graph.js").Graph} root
 * @param {Patch} patch
 */
export function applyPatch(root, patch) {
  const graph = patch.graph === undefined ? root : root.subgraphs.get(patch.graph);
  if (!graph) throw new RangeError(`no subgraph ${patch.graph} in the document`);
  graph.touched = true;
  if (patch.op === "set") {
    setAt(recordOf(graph, patch.kind, patch.id), patch);
    if (patch.kind === "root" && patch.path[0] === "definitions") root.definitionsChanged();
    return;
  }
  const records = collection(graph, patch.kind);
  const key = keyOf(patch.kind, patch.id);
  if (patch.op === "remove") records.delete(key);
  else insertBefore(records, key, patch.record, patch.before === null ? null : keyOf(patch.kind, patch.before));
}

/**
 * @param {import("./graph.js").Graph} graph
 * @param {Kind} kind
 * @param {string} id
 */
export function recordOf(graph, kind, id) {
  return kind === "root" ? graph.record : collection(graph, kind).get(keyOf(kind, id));
}

/**
 * The id after which record an id stands, as text, or null at the end: what an undo needs to restore the file's order.
 * @param {Map<any, any>} records
 * @param {unknown} key
 * @returns {string | null}
 */
export function follower(records, key) {
  const keys = records.keys();
  for (const candidate of keys) if (candidate === key) break;
  const next = keys.next();
  return next.done ? null : String(next.value);
}

/**
 * @param {any} record
 * @param {(string | number)[]} path
 * @returns {unknown} the value there, or ABSENT
 */
export function valueAt(record, path) {
  let at = record;
  for (const key of path) {
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, key)) return ABSENT;
    at = at[key];
  }
  return at;
}

/**
 * The key behind a path's last one in its object, so that what is taken away can come back to its place.
 * @param {any} record
 * @param {(string | number)[]} path
 * @returns {string | undefined}
 */
export function keyBehind(record, path) {
  const holder = valueAt(record, path.slice(0, -1));
  if (holder === null || typeof holder !== "object" || Array.isArray(holder)) return undefined;
  const keys = Object.keys(holder);
  return keys[keys.indexOf(String(path[path.length - 1])) + 1];
}

/**
 * @param {any} record
 * @param {SetPatch} patch
 */
function setAt(record, { path, value, next }) {
  const holder = path.slice(0, -1).reduce((at, key) => at[key], record);
  const last = path[path.length - 1];
  if (value === ABSENT) {
    if (Array.isArray(holder)) holder.length = Math.min(holder.length, Number(last));
    else delete holder[last];
    return;
  }
  const later = next === undefined || Object.hasOwn(holder, last) ? [] : Object.keys(holder);
  const moved = later.slice(later.indexOf(String(next))).map((key) => [key, holder[key]]);
  for (const [key] of moved) delete holder[key];
  holder[last] = value;
  for (const [key, kept] of moved) holder[key] = kept;
}

/**
 * @param {Map<any, any>} records
 * @param {unknown} key
 * @param {any} record
 * @param {unknown} before
 */
function insertBefore(records, key, record, before) {
  if (before === null || !records.has(before)) {
    records.set(key, record);
    return;
  }
  // A Map has no other way to put something in the middle; clearing it is much quicker than taking entries out.
  const keys = [...records.keys()];
  const values = [...records.values()];
  records.clear();
  for (const [at, other] of keys.entries()) {
    if (other === before) records.set(key, record);
    records.set(other, values[at]);
  }
}
