import { compatible, typeName } from "../graph/slot_types.js";
import { search } from "./fuzzy.js";

/**
 * @typedef {import("../nodes/definitions.js").NodeDef} NodeDef
 * @typedef {{from?: unknown, to?: unknown}} Wanted from: the type of an output that waits; to: of an input that waits
 */

/**
 * The node classes that fit a query and, after a dropped link, its type. Lately used ones come first while nothing is
 * typed; deprecated ones come last.
 * @param {Map<string, NodeDef>} definitions
 * @param {string} query
 * @param {{wanted?: Wanted, recent?: string[], limit?: number}} [options]
 * @returns {NodeDef[]}
 */
export function findNodes(definitions, query, { wanted = {}, recent = [], limit = 60 } = {}) {
  const fitting = [...new Set(definitions.values())].filter((def) => fits(def, wanted));
  if (!query.trim()) return byHabit(fitting, recent, wanted).slice(0, limit);
  const found = search(query, fitting, (def) => [def.title, def.id, ...def.aliases, def.category], limit);
  return [...found.filter((def) => !def.deprecated), ...found.filter((def) => def.deprecated)];
}

/**
 * @param {NodeDef} def
 * @param {Wanted} wanted
 */
function fits(def, { from, to }) {
  if (from !== undefined && to !== undefined) return turns(def, from, to);
  if (from !== undefined) return def.inputs.some((input) => compatible(from, input.type));
  if (to !== undefined) return def.outputs.some((output) => compatible(output.type, to)) || def.id === "PrimitiveNode";
  return true;
}

/**
 * Whether a class turns a value of one type into one of another; not those that take and give anything.
 * @param {NodeDef} def
 * @param {unknown} from
 * @param {unknown} to
 */
function turns(def, from, to) {
  const takes = def.inputs.some(({ type }) => typeName(type) !== "*" && compatible(from, type));
  return takes && !def.deprecated && def.outputs.some(({ type }) => typeName(type) !== "*" && compatible(type, to));
}

/**
 * @param {NodeDef[]} defs
 * @param {string[]} recent
 * @param {Wanted} wanted
 */
function byHabit(defs, recent, { from, to }) {
  const both = from !== undefined && to !== undefined;
  const rank = (/** @type {NodeDef} */ def) => {
    // To turn one into another: what needs the least besides comes first, and what gives this alone.
    if (both) return def.inputs.filter((input) => !input.optional).length + 4 * def.outputs.length + (def.module === "nodes" ? 0 : 50);
    const used = recent.indexOf(def.id);
    const exact =
      from !== undefined
        ? def.inputs.some((input) => input.type === from)
        : to !== undefined && def.outputs.some((output) => output.type === to);
    return (used < 0 ? 100 : used) + (exact ? 0 : 200) + (def.deprecated ? 400 : 0) + (def.module === "nodes" ? 0 : 50);
  };
  return defs
    .map((def) => ({ def, at: rank(def) }))
    .sort((a, b) => a.at - b.at || a.def.title.localeCompare(b.def.title))
    .map(({ def }) => def);
}
