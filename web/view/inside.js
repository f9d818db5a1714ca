import { Document } from "../core/doc/document.js";
import { pair, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from "../core/doc/schema.js";
import { titleOf } from "../core/graph/nodes.js";
import { promotedSockets, subgraphsOf } from "../core/graph/subgraphs.js";
import { readDefinition } from "../core/nodes/definitions.js";
import { widgetsOf, widgetValue } from "../core/nodes/widgets.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { Editor } from "./editor.js";
import { Session } from "./session.js";

/**
 * The inside of a subgraph, to be looked at: a window over the graph with the way back at its top. What is shown is a
 * copy, so nothing done in it reaches the file.
 *
 * @typedef {{session: Session, name: string}} Level
 */

const INPUTS = "subgraph inputs";
const OUTPUTS = "subgraph outputs";

/** A document that cannot be changed. */
class Glass extends Document {
  /** Changes nothing. @override @returns {any} */
  transact() {
    return undefined;
  }
}

/**
 * @param {Session} outer the graph that holds the instance
 * @param {string} id the instance
 * @param {import("./editor.js").Services} services
 */
export function lookInside(outer, id, services) {
  const first = levelOf(outer, id);
  if (!first) return;
  /** @type {Level[]} */
  const levels = [];
  const way = h("ol", { class: "inside-way" });
  const stage = h("div", { class: "stage", role: "region", "aria-label": "Inside" });
  const dialog = h(
    "dialog",
    { class: "inside", "aria-label": `Inside ${first.name}` },
    h(
      "header",
      { class: "inside-head" },
      h("nav", { "aria-label": "Where you are" }, way),
      h("span", { class: "dim" }, "To look at; it cannot be changed here."),
      iconButton("close", "Back to the graph", () => dialog.close()),
    ),
    h("div", { class: "inside-field" }, stage),
  );
  document.body.append(dialog);
  dialog.showModal();
  const editor = new Editor(stage, {
    ...services,
    ...Object.fromEntries(["upload", "search", "menu", "rename", "connect", "moved"].map((name) => [name, () => {}])),
    inside: (inner) => enter(levelOf(levels[levels.length - 1].session, inner)),
  });
  const show = () => {
    const level = levels[levels.length - 1];
    fill(way, ...steps([outer.document.name, ...levels.map(({ name }) => name)], back));
    stage.setAttribute("aria-label", `Inside ${level.name}`);
    editor.show(level.session);
  };
  const back = (/** @type {number} */ depth) => {
    levels.length = depth;
    if (depth) show();
    else dialog.close();
  };
  const enter = (/** @type {Level | null} */ level) => {
    if (!level) return;
    levels.push(level);
    show();
    services.announce(`Inside ${level.name}`);
  };
  dialog.addEventListener("close", () => {
    editor.close();
    dialog.remove();
  });
  enter(first);
}

/**
 * The way from the graph to here; each step but the last leads back.
 * @param {string[]} names
 * @param {(depth: number) => void} back
 */
function steps(names, back) {
  return names.map((name, depth) => {
    const last = depth === names.length - 1;
    const step = last
      ? h("span", { "aria-current": "page" }, name)
      : h("button", { type: "button", class: "link", on: { click: () => back(depth) } }, name);
    return h("li", {}, depth ? icon("right") : null, step);
  });
}

/**
 * @param {Session} outer
 * @param {string} id
 * @returns {Level | null} null where the node is no instance of a subgraph
 */
function levelOf(outer, id) {
  const { graph } = outer.document;
  const instance = graph.node(id);
  const inner = instance && subgraphsOf(graph).get(instance.type);
  if (!instance || !inner) return null;
  /** @type {import("../core/doc/schema.js").WorkflowRecord} */
  const record = structuredClone({ ...inner.record, definitions: graph.record.definitions });
  record.nodes = [...(record.nodes ?? []), ...borders(record)];
  const document = new Glass(record, { name: String(inner.record.name ?? "Subgraph") });
  const session = new Session(document, outer.catalogue);
  session.locked = true;
  for (const [type, title] of [
    [INPUTS, "Inputs"],
    [OUTPUTS, "Outputs"],
  ])
    session.own.set(type, { ...readDefinition(type, { display_name: title }), virtual: true });
  showValues(outer, instance, session);
  session.scene.rebuild();
  return { session, name: titleOf(instance, outer.definitionFor(instance)) };
}

/**
 * Nodes that stand for the outside: one gives what the instance gets, one takes what it gives.
 * @param {import("../core/doc/schema.js").WorkflowRecord} record
 * @returns {import("../core/doc/schema.js").NodeRecord[]}
 */
function borders(record) {
  const links = [...(record.links ?? [])].filter((link) => link && !Array.isArray(link));
  const base = { flags: {}, mode: 0, properties: {}, widgets_values: [] };
  const place = (/** @type {any} */ border) => {
    const [x = 0, y = 0, width = 140] = border?.bounding ?? [];
    return { pos: pair([x, y], [0, 0]), size: pair([width, 0], [140, 0]) };
  };
  const name = (/** @type {any} */ port) => ({ name: port.label || port.name, type: port.type });
  const outputs = (record.inputs ?? []).map((/** @type {any} */ port, /** @type {number} */ slot) => ({
    ...name(port),
    links: links.filter((link) => Number(link.origin_id) === SUBGRAPH_INPUT && link.origin_slot === slot).map(({ id }) => id),
  }));
  const inputs = (record.outputs ?? []).map((/** @type {any} */ port, /** @type {number} */ slot) => ({
    ...name(port),
    link: links.find((link) => Number(link.target_id) === SUBGRAPH_OUTPUT && link.target_slot === slot)?.id ?? null,
  }));
  return [
    { ...base, ...place(record.inputNode), id: SUBGRAPH_INPUT, type: INPUTS, inputs: [], outputs },
    { ...base, ...place(record.outputNode), id: SUBGRAPH_OUTPUT, type: OUTPUTS, inputs, outputs: [] },
  ];
}

/**
 * Show inside what the instance says outside.
 * @param {Session} outer
 * @param {import("../core/doc/schema.js").NodeRecord} instance
 * @param {Session} session
 */
function showValues(outer, instance, session) {
  const { graph } = session.document;
  const promised = widgetsOf(instance, outer.definitionFor(instance));
  for (const [slot, socket] of promotedSockets(graph)) {
    const widget = promised.find((candidate) => candidate.name === graph.record.inputs?.[slot]?.name);
    const name = socket.node.inputs?.[socket.slot]?.widget?.name;
    const inner = widgetsOf(socket.node, session.definitionFor(socket.node)).find((other) => other.name === name);
    const values = /** @type {any} */ (socket.node.widgets_values);
    if (widget && inner && values && inner.path[1] !== -1) values[inner.path[1]] = widgetValue(instance, widget);
  }
}
