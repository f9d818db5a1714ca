import { isLinked, setWidget, widgetsOf } from "../../core/nodes/widgets.js";

/**
 * The same field on several nodes: what is set on one of the selected can be set on all of them.
 *
 * @typedef {import("../session.js").Session} Session
 * @typedef {import("../../core/nodes/widgets.js").Widget} Widget
 * @typedef {{id: string, widget: Widget, value: unknown}} FieldValue
 */

/**
 * The fields of the other selected nodes that have the name and the kind of one, with what they would get: a number
 * within their own limits. Fields that a link feeds, and lists that lack the value, are left out.
 * @param {Session} session
 * @param {string} id of the node that has the field
 * @param {Widget} field
 * @param {unknown} value
 * @returns {FieldValue[]}
 */
export function sameFields(session, id, field, value) {
  const { selection } = session.document;
  if (!selection.has(id)) return [];
  return session.document.selectedNodes().flatMap((node) => {
    if (String(node.id) === id) return [];
    const widgets = widgetsOf(node, session.definitionFor(node));
    const widget = widgets.find(({ name, kind }) => name === field.name && kind === field.kind);
    const lacks = widget?.kind === "combo" && widget.choices?.length && !widget.choices.includes(value);
    if (!widget || lacks || isLinked(node, widget)) return [];
    return [{ id: String(node.id), widget, value: within(widget, value) }];
  });
}

/** @param {Widget} widget @param {unknown} value */
function within({ options: { min = -Infinity, max = Infinity } }, value) {
  return typeof value === "number" ? Math.min(Math.max(value, min), max) : value;
}

/**
 * @param {Session} session
 * @param {import("../../core/doc/transact.js").Transaction} tx
 * @param {FieldValue} field
 */
export function setField(session, tx, { id, widget, value }) {
  setWidget(tx, id, widget, value, session.definition(String(tx.graph.node(id)?.type)));
}
