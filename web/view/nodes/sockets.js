import { socketShape, typeColour, typeName } from "../../core/graph/slot_types.js";
import { titleOf } from "../../core/graph/nodes.js";
import { SLOT } from "../../core/nodes/layout.js";
import { h } from "../dom.js";

/**
 * A socket: a button, so that keyboards and screen readers reach it. `data-slot` is what gestures read: side, index, and
 * the widget's name where the socket belongs to one ("in:-1:steps" is a widget whose socket is not made yet).
 *
 * @param {import("../session.js").Session} session
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 * @param {"in" | "out"} side
 * @param {import("../../core/nodes/layout.js").Socket} socket
 * @param {import("../../core/nodes/layout.js").Layout} layout
 */
export function makeSocket(session, node, side, socket, layout) {
  const def = session.definitionFor(node);
  const slot = side === "in" ? node.inputs?.[socket.slot] : node.outputs?.[socket.slot];
  const port =
    side === "in"
      ? def?.inputs.find((input) => input.name === (socket.widget ?? slot?.name))
      : def?.outputs[socket.slot];
  const type = slot?.type ?? port?.type ?? "*";
  const name = slot?.label || slot?.name || socket.widget || typeName(type);
  const joined = describeLink(session, node, side, socket.slot);
  const optional = Boolean(port && "optional" in port && port.optional) || slot?.shape === 7;
  const shape = socketShape(type, {
    isList: Boolean(port && "isList" in port && port.isList) || slot?.shape === 6,
    optional,
  });
  const button = h(
    "button",
    {
      type: "button",
      tabindex: -1,
      class: `socket ${side} ${shape}${joined ? " joined" : ""}${socket.widget ? " of-widget" : ""}${socket.slot < 0 ? " offer" : ""}${slot?.fresh ? " fresh" : ""}`,
      "aria-label": `${side === "in" ? "Input" : "Output"} ${name}, ${typeName(type)}${joined ? `, ${joined}` : ""}`,
      title: [`${name} · ${typeName(type)}`, port?.tooltip].filter(Boolean).join("\n"),
      data: {
        slot: `${side}:${socket.slot}:${socket.widget ?? ""}`,
        type: typeName(type),
        input: side === "in" ? (slot?.name ?? socket.widget ?? "") : "",
      },
    },
    h("span", { class: "dot" }),
    socket.widget || layout.collapsed ? null : h("span", { class: "socket-name" }, name),
  );
  placeSocket(button, socket.y);
  button.style.setProperty("--type", typeColour(type));
  return button;
}

/**
 * @param {HTMLElement} element
 * @param {number} y its middle, in graph units from the top of the node's body
 */
export function placeSocket(element, y) {
  element.style.top = `${y - SLOT / 2}px`;
}

/**
 * @param {import("../session.js").Session} session
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 * @param {"in" | "out"} side
 * @param {number} slot
 */
function describeLink(session, node, side, slot) {
  const { graph } = session.document;
  const name = (/** @type {import("../../core/doc/schema.js").NodeId} */ id) => {
    const other = graph.node(id);
    return other ? `${titleOf(other, session.definitionFor(other))} ${id}` : String(id);
  };
  if (side === "in") {
    const link = slot < 0 ? undefined : graph.linkInto(node.id, slot);
    return link ? `from ${name(link.origin_id)}` : "";
  }
  const links = graph.linksOutOf(node.id, slot);
  return links.length ? `to ${links.map((link) => name(link.target_id)).join(", ")}` : "";
}
