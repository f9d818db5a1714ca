import { widgetsOf } from "../core/nodes/widgets.js";
import { sameFields, setField } from "../view/widgets/same_fields.js";

/** @typedef {import("../view/session.js").Session} Session */

/**
 * The field that has the keyboard, and the same field of the other selected nodes.
 * @param {Session} session
 */
export function fieldInUse(session) {
  const field = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".node .widget") ?? null);
  const id = /** @type {HTMLElement | null} */ (field?.closest("[data-node]"))?.dataset.node;
  const node = id === undefined ? undefined : session.document.graph.node(id);
  const widget = node && widgetsOf(node, session.definitionFor(node)).find(({ name }) => name === field?.dataset.input);
  if (id === undefined || !node || !widget) return null;
  return { widget, others: sameFields(session, id, widget, session.valueOf(node, widget)) };
}

/**
 * Give the value of the field that has the keyboard to the other selected nodes that have such a field.
 * @param {Session} session
 * @returns {number} how many got it
 */
export function spreadField(session) {
  const field = fieldInUse(session);
  if (!field) return 0;
  session.document.transact(`Set ${field.widget.name} everywhere`, (tx) =>
    field.others.forEach((other) => setField(session, tx, other)),
  );
  return field.others.length;
}
