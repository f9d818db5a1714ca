import { fieldLabel, h } from "../dom.js";

/**
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function toggleWidget(host) {
  const words = h("span", { class: "toggle-words" });
  const button = h(
    "button",
    {
      type: "button",
      role: "switch",
      class: "toggle",
      "aria-label": host.label,
      on: { click: () => host.set(!host.get()) },
    },
    words,
    h("span", { class: "toggle-track" }),
  );
  const root = h("div", { class: "field boolean" }, fieldLabel(host), button);
  const { label_on: on = "on", label_off: off = "off" } = host.widget.options;
  return {
    root,
    update() {
      const value = Boolean(host.get());
      button.setAttribute("aria-checked", String(value));
      button.disabled = host.linked();
      words.textContent = value ? on : off;
    },
  };
}
