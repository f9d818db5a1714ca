import { setWidget, widgetLinked, widgetsOf, widgetValue } from "../../core/nodes/widgets.js";
import { comboWidget } from "./combo.js";
import { controlWidget } from "./control.js";
import { numberWidget } from "./number.js";
import { stringWidget, textWidget } from "./text.js";
import { toggleWidget } from "./toggle.js";
import { uploadWidget } from "./upload.js";

/**
 * @typedef {{root: HTMLElement, update: () => void, busy?: () => boolean}} WidgetView
 * @typedef {{editor: import("../editor.js").Editor, session: import("../session.js").Session, id: string,
 *   widget: import("../../core/nodes/widgets.js").Widget, label: string, get: () => any,
 *   set: (value: unknown, done?: boolean) => void, sibling: (name: string) => any, linked: () => boolean}} Host
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
  colour: stringWidget,
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
  const port = session.definitionFor(node())?.inputs.find((input) => input.name === widget.name);
  /** @type {Host} */
  const host = {
    editor,
    session,
    id,
    widget,
    label: String(
      widget.options.label ?? node().inputs?.find((input) => input.widget?.name === widget.name)?.label ?? widget.name,
    ),
    get: () => widgetValue(node(), widget),
    set(value, done = true) {
      document.transact(`Set ${widget.name}`, (tx) => setWidget(tx, id, widget, value, session.definitionFor(node())), {
        key: `widget:${id}:${widget.name}`,
      });
      if (done) document.history.seal();
    },
    sibling(name) {
      const other = widgetsOf(node(), session.definitionFor(node())).find((candidate) => candidate.name === name);
      return other && widgetValue(node(), other);
    },
    linked: () => widgetLinked(node(), widget.name),
  };
  const view = (MAKERS[widget.kind] ?? stringWidget)(host);
  view.root.classList.add("widget");
  view.root.dataset.input = widget.name;
  const tooltip = port?.tooltip || widget.options.tooltip;
  if (tooltip) view.root.title = tooltip;
  return view;
}
