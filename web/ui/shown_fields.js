import { fieldsInside, showField } from "../core/nodes/shown_fields.js";
import { instancesOf } from "../core/graph/subgraphs.js";
import { isLevel } from "../view/level.js";
import { selectedIds } from "./actions.js";

/**
 * Choosing which fields of the nodes inside an instance of a subgraph shows.
 *
 * @typedef {import("./app.js").App} App
 * @typedef {import("../view/session.js").Session} Session
 * @typedef {import("../core/doc/schema.js").NodeRecord} NodeRecord
 * @typedef {{session: Session, at: string, instance: NodeRecord, in: Session, only?: string}} Choice in: where the
 *   instance is; only: of which node inside the fields are; at: the node on screen
 */

/**
 * Whose fields there are to choose: all of an instance, or inside of one those of a node.
 * @param {Session | null} session
 * @param {string} [id] a node on screen, else the one that is selected
 * @returns {Choice | null}
 */
export function choiceOfFields(session, id = session ? selectedIds(session)[0] : undefined) {
  if (!session || id === undefined) return null;
  const node = session.document.graph.node(id);
  if (!node) return null;
  if (session.hasInside(node.type)) return { session, at: id, instance: node, in: session };
  const instance = isLevel(session) ? session.above.document.graph.node(session.instance) : undefined;
  return isLevel(session) && instance ? { session, at: id, instance, in: session.above, only: id } : null;
}

/**
 * Change what is shown: on one instance, or from the inside on all of them.
 * @param {Choice} choice
 * @param {import("../core/nodes/shown_fields.js").Field} field
 */
export function toggleField({ session, instance, only }, { entry, shown }) {
  const definitionOf = (/** @type {string} */ type) => session.root.definition(type);
  session.document.transact(shown ? "Hide a field" : "Show a field", (tx) => {
    if (only === undefined) return showField(tx, instance, entry, !shown, definitionOf);
    for (const { id, nodes } of instancesOf(tx.graph, instance.type))
      for (const node of nodes)
        showField(id === undefined ? tx.top : tx.top.within(id), node, entry, !shown, definitionOf);
  });
}

/** @param {Choice} choice */
export function fieldsOf({ in: { document, root }, instance, only }) {
  return fieldsInside(instance, document.graph, (type) => root.definition(type), only);
}

/** Let a person choose. @param {App} app @param {string} [id] a node on screen, else the one that is selected */
export async function chooseFields(app, id) {
  const choice = choiceOfFields(app.session, id);
  if (!choice) return;
  const fields = () => fieldsOf(choice);
  if (!fields().length) {
    app.toasts.show("There is no field to show: what is inside has none of its own.", { tone: "bad" });
    return;
  }
  const { openChooser } = await import("../view/widgets/chooser.js");
  openChooser({
    anchor: app.editor.nodes.mounted.get(choice.at)?.root ?? app.shell.stage,
    label: "fields on the subgraph",
    choices: fields().map(({ label }) => label),
    chosen: () => fields().flatMap(({ label, shown }) => (shown ? [label] : [])),
    several: true,
    folders: false,
    choose(label) {
      const field = fields().find((each) => each.label === label);
      if (!field) return;
      toggleField(choice, field);
      app.toasts.announce(`${field.label} ${field.shown ? "no longer shown" : "shown"} on the subgraph`);
    },
  });
}
