import { isLinked, setWidget, widgetsOf } from "../../core/nodes/widgets.js";
import { pair } from "../../core/doc/schema.js";
import { sameFields, setField } from "./same_fields.js";
import { comboWidget, controlWidget, toggleWidget } from "./choice.js";
import { colourWidget } from "./colour.js";
import { numberWidget } from "./number.js";
import { markdownWidget, stringWidget, textWidget } from "./text.js";
import { uploadWidget } from "./upload.js";

/**
 * @typedef {{root: HTMLElement, update: () => void, busy?: () => boolean}} WidgetView
 * @typedef {{editor: import("../editor.js").Editor, session: import("../session.js").Session, id: string,
 *   widget: import("../../core/nodes/widgets.js").Widget, label: string, get: () => any,
 *   set: (value: unknown, done?: boolean) => void, linked: () => boolean, leave: () => void,
 *   grow: (pixels: number) => void}} Host leave: give the keyboard back to the node; grow: make the node higher
 */

/** @type {Record<string, (host: Host) => WidgetView>} */
const MAKERS = {
  int: numberWidget,
  float: numberWidget,
  string: stringWidget,
  text: textWidget,
  boolean: toggleWidget,
  combo: comboWidget,
  control: controlWidget,
  upload: uploadWidget,
  colour: colourWidget,
};

/**
 * The element for a widget. It reads its value from the document and writes it there; it keeps none of its own.
 * @param {import("../editor.js").Editor} editor
 * @param {import("../session.js").Session} session
 * @param {string} id
 * @param {import("../../core/nodes/widgets.js").Widget} widget
 * @returns {WidgetView}
 */
export function makeWidget(editor, session, id, widget) {
  const { document } = session;
  const node = () => /** @type {import("../../core/doc/schema.js").NodeRecord} */ (document.graph.node(id));
  const definition = () => session.definitionFor(node());
  // The place of a value can change while the node is open: a list that lacked it is written anew.
  const now = () => widgetsOf(node(), definition()).find((other) => other.name === widget.name) ?? widget;
  const port = definition()?.inputs.find((input) => input.name === widget.name);
  /** @type {Host} */
  const host = {
    editor,
    session,
    id,
    widget,
    label: String(
      widget.options.label ?? node().inputs?.find((input) => input.widget?.name === widget.name)?.label ?? widget.name,
    ),
    get: () => session.valueOf(node(), now()),
    set(value, done = true) {
      const step = (/** @type {import("../../core/doc/transact.js").Transaction} */ tx) => {
        setWidget(tx, id, now(), value, session.definition(node().type) ?? definition());
        if (editor.everywhere) for (const other of sameFields(session, id, now(), value)) setField(session, tx, other);
      };
      document.transact(`Set ${widget.name}`, step, { key: `widget:${id}:${widget.name}` });
      if (done) document.history.seal();
    },
    linked: () => isLinked(node(), now()),
    leave: () => editor.nodes.mounted.get(id)?.root.focus({ preventScroll: true }),
    grow(pixels) {
      const { width, height } = session.scene.layout(id);
      const size = [pair(node().size, [width, height])[0], Math.round(height + pixels)];
      document.transact(`Set ${widget.name}`, (tx) => tx.set("node", id, ["size"], size), {
        key: `widget:${id}:${widget.name}`,
      });
    },
  };
  const view = makerOf(node().type, widget)(host);
  view.root.classList.add("widget");
  view.root.classList.toggle("shared", Boolean(widget.source));
  view.root.dataset.input = widget.name;
  const tooltip = port?.tooltip || widget.options.tooltip;
  if (tooltip) view.root.title = tooltip;
  return view;
}

/**
 * @param {string} type the node's class
 * @param {import("../../core/nodes/widgets.js").Widget} widget
 */
function makerOf(type, widget) {
  if (type === "MarkdownNote" && widget.kind === "text") return markdownWidget;
  if (widget.kind === "int" && widget.options.display === "color") return colourWidget;
  return MAKERS[widget.kind] ?? stringWidget;
}
