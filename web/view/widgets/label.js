import { h } from "../dom.js";

/**
 * The name at the left of a widget.
 * @param {import("./registry.js").Host} host
 */
export function widgetLabel({ label }) {
  return h("span", { class: "widget-label" }, label.replaceAll("_", " "));
}
