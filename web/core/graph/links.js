import { nextId } from "../doc/ids.js";
import { grownDefinition, isDynamic } from "../nodes/dynamic.js";
import { widgetSlot, widgetType } from "../nodes/widgets.js";
import { leadThrough } from "./reroutes.js";
import { compatible, typeName } from "./slot_types.js";

/**
 * Edits of links, each kept in all three places in which a file stores a link.
 *
 * @typedef {import("../doc/graph.js").Graph} Graph
 * @typedef {import("../doc/transact.js").Transaction} Transaction
 * @typedef {import("../doc/schema.js").NodeId} NodeId
 * @typedef {import("../doc/schema.js").LinkRecord} LinkRecord
 * @typedef {{node: NodeId, slot: number}} End
 */

/**
 * Join an output to an input; what fed the input before is taken away.
 * @param {Transaction} tx
 * @param {End} from
 * @param {End} to
 * @param {{anyType?: boolean}} [options] anyType: for a link that was there before, as some packs make them
 * @returns {LinkRecord | null} null where the two do not fit or would make a ring
 */
export function connect(tx, from, to, { anyType = false } = {}) {
  const { graph } = tx;
  const output = graph.node(from.node)?.outputs?.[from.slot];
  const input = graph.node(to.node)?.inputs?.[to.slot];
  const fits = output && input && (anyType || compatible(output.type, input.type));
  if (!fits || feeds(graph, to.node, from.node)) return null;
  const present = graph.linkInto(to.node, to.slot);
  if (present && String(present.origin_id) === String(from.node) && present.origin_slot === from.slot) return present;
  if (present) disconnect(tx, present.id);
  const id = nextId(graph.links.keys(), graph.record.last_link_id ?? graph.record.state?.lastLinkId);
  const type = typeName(output.type) === "*" ? input.type : output.type;
  const link = {
    id,
    origin_id: idOf(graph, from.node),
    origin_slot: from.slot,
    target_id: idOf(graph, to.node),
    target_slot: to.slot,
    type: typeName(type),
  };
  tx.insert("link", id, link);
  tx.set("root", "", counterPath(graph), id);
  tx.set("node", from.node, ["outputs", from.slot, "links"], [...(output.links ?? []), id]);
  tx.set("node", to.node, ["inputs", to.slot, "link"], id);
  if ("muted_link" in input) tx.set("node", to.node, ["inputs", to.slot, "muted_link"], undefined);
  return link;
}

/**
 * Join two sockets that were joined before, by way of the points that the link had.
 * @param {Transaction} tx
 * @param {End} from
 * @param {End} to
 * @param {import("../doc/schema.js").RerouteRecord[]} points
 */
export function joinBy(tx, from, to, points) {
  const link = connect(tx, from, to, { anyType: true });
  if (link) leadThrough(tx, link.id, points);
}

/**
 * Take a link away, with the reroute points that only it used.
 * @param {Transaction} tx
 * @param {number} id
 */
export function disconnect(tx, id) {
  const { graph } = tx;
  const link = graph.links.get(id);
  if (!link) return;
  const output = graph.node(link.origin_id)?.outputs?.[link.origin_slot];
  if (output?.links?.includes(id)) {
    const left = output.links.filter((other) => other !== id);
    tx.set("node", link.origin_id, ["outputs", link.origin_slot, "links"], left.length ? left : null);
  }
  if (graph.node(link.target_id)?.inputs?.[link.target_slot]?.link === id) {
    tx.set("node", link.target_id, ["inputs", link.target_slot, "link"], null);
  }
  for (const reroute of graph.reroutes.values()) {
    if (!reroute.linkIds?.includes(id)) continue;
    const left = reroute.linkIds.filter((other) => other !== id);
    if (left.length) tx.set("reroute", reroute.id, ["linkIds"], left);
    else tx.remove("reroute", reroute.id);
  }
  tx.remove("link", id);
}

/**
 * Join an output to a widget: its socket is made on the node when it has none yet.
 * @param {Transaction} tx
 * @param {End} from
 * @param {NodeId} node
 * @param {string} name the widget
 * @param {import("../nodes/definitions.js").NodeDef} def
 */
export function connectWidget(tx, from, node, name, def) {
  const slot = ensureWidgetSlot(tx, node, name, def);
  return slot < 0 ? null : connect(tx, from, { node, slot });
}

/**
 * @param {Transaction} tx
 * @param {NodeId} id
 * @param {string} name
 * @param {import("../nodes/definitions.js").NodeDef} def
 * @returns {number} the input's index, -1 where the widget takes no link
 */
export function ensureWidgetSlot(tx, id, name, def) {
  const node = tx.graph.node(id);
  const widget = def.widgets.find((candidate) => candidate.name === name);
  const type = widget && widgetType(widget, def);
  if (!node || !type) return -1;
  const present = widgetSlot(node, name);
  if (present >= 0) return present;
  const inputs = [...(node.inputs ?? []), { name, type, link: null, widget: { name } }];
  tx.set("node", id, ["inputs"], inputs);
  return inputs.length - 1;
}

/**
 * Does the first node feed the second, directly or through others? A node feeds itself.
 * @param {Graph} graph
 * @param {NodeId} first
 * @param {NodeId} second
 */
export function feeds(graph, first, second) {
  const goal = String(first);
  const seen = new Set();
  const waiting = [String(second)];
  while (waiting.length) {
    const id = /** @type {string} */ (waiting.pop());
    if (id === goal) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    for (const input of graph.node(id)?.inputs ?? []) {
      const link = input.link == null ? undefined : graph.links.get(Number(input.link));
      if (link) waiting.push(String(link.origin_id));
    }
  }
  return false;
}

/**
 * Put a node into a link: what fed the target feeds the node, and the node feeds the target.
 * @param {Transaction} tx
 * @param {number} linkId
 * @param {NodeId} node
 * @returns {boolean} false where the node has no fitting pair of sockets
 */
export function insertOnLink(tx, linkId, node) {
  const link = tx.graph.links.get(linkId);
  const fit = link && fittingPair(tx.graph, link, node);
  if (!link || !fit) return false;
  const { origin_id, origin_slot, target_id, target_slot } = link;
  connect(tx, { node: origin_id, slot: origin_slot }, { node, slot: fit.input });
  connect(tx, { node, slot: fit.output }, { node: target_id, slot: target_slot });
  return true;
}

/**
 * @param {Graph} graph
 * @param {LinkRecord} link
 * @param {NodeId} id
 * @returns {{input: number, output: number} | null} the sockets with which a node would sit in a link
 */
export function fittingPair(graph, link, id) {
  const node = graph.node(id);
  const origin = graph.node(link.origin_id)?.outputs?.[link.origin_slot];
  const target = graph.node(link.target_id)?.inputs?.[link.target_slot];
  if (!node || !origin || !target || [link.origin_id, link.target_id].some((end) => String(end) === String(id)))
    return null;
  const input = (node.inputs ?? []).findIndex(
    (slot) => slot.link == null && !slot.widget && compatible(origin.type, slot.type),
  );
  const output = (node.outputs ?? []).findIndex((slot) => compatible(slot.type, target.type));
  return input >= 0 && output >= 0 ? { input, output } : null;
}

/**
 * Take links off a node but keep the chain: what fed it now feeds what it fed, where the types fit.
 * @param {Transaction} tx
 * @param {NodeId} id
 */
export function dissolve(tx, id) {
  const { graph } = tx;
  const node = graph.node(id);
  for (const [slot, output] of (node?.outputs ?? []).entries()) {
    for (const link of graph.linksOutOf(id, slot)) {
      const target = graph.node(link.target_id)?.inputs?.[link.target_slot];
      const source = target && sourceFor(graph, id, output.type, target.type);
      disconnect(tx, link.id);
      if (source) connect(tx, source, { node: link.target_id, slot: link.target_slot });
    }
  }
}

/**
 * Take all links off a node but keep the chain.
 * @param {Transaction} tx
 * @param {NodeId} id
 */
export function detach(tx, id) {
  dissolve(tx, id);
  const { inputs = [] } = tx.graph.node(id) ?? {};
  for (const { link } of [...inputs]) if (link != null) disconnect(tx, Number(link));
}

/**
 * @param {Graph} graph
 * @param {NodeId} id
 * @param {unknown} outputType
 * @param {unknown} targetType
 * @returns {End | null} what feeds the first input of the same type
 */
function sourceFor(graph, id, outputType, targetType) {
  for (const [slot, input] of (graph.node(id)?.inputs ?? []).entries()) {
    const link = graph.linkInto(id, slot);
    if (link && typeName(input.type) === typeName(outputType) && compatible(input.type, targetType)) {
      return { node: link.origin_id, slot: link.origin_slot };
    }
  }
  return null;
}

/**
 * @param {Graph} graph
 * @param {NodeId} id
 */
function idOf(graph, id) {
  return graph.node(id)?.id ?? id;
}

/** @param {Graph} graph */
function counterPath(graph) {
  return graph.record.state ? ["state", "lastLinkId"] : ["last_link_id"];
}

/**
 * Bring a node's sockets in line with its choices and links: missing ones are made at the end, those that no choice wants
 * any more go, with their links, and free ones beyond the growth go from the end.
 * @param {Transaction} tx
 * @param {import("../doc/schema.js").NodeRecord} node
 * @param {import("../nodes/definitions.js").NodeDef} def its class as declared
 */
export function conformSockets(tx, node, def) {
  const inputs = grownDefinition(def, node).inputs;
  const wanted = new Set(inputs.map((input) => input.name));
  const groups = def.inputs.filter((input) => isDynamic(input.type)).map((input) => `${input.name}.`);
  const dead = (/** @type {import("../doc/schema.js").InputSlot} */ slot) =>
    groups.some((group) => slot.name.startsWith(group)) && !wanted.has(slot.name);
  for (const slot of node.inputs ?? []) if (dead(slot) && slot.link != null) disconnect(tx, Number(slot.link));
  const present = node.inputs ?? [];
  const kept = present.filter((slot) => !dead(slot));
  const names = new Set(kept.map((slot) => slot.name));
  const added = inputs
    .filter((input) => !input.widget && !names.has(input.name))
    .map((input) => ({ name: input.name, type: input.type, link: null, ...(input.optional ? { shape: 7 } : {}) }));
  if (!added.length && kept.length === present.length) return;
  tx.set("node", node.id, ["inputs"], [...kept, ...added]);
  for (const [slot, input] of kept.entries()) {
    const link = input.link == null ? undefined : tx.graph.links.get(Number(input.link));
    if (link && link.target_slot !== slot) tx.set("link", link.id, ["target_slot"], slot);
  }
}
