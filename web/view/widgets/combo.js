import { fieldLabel, h, icon } from "../dom.js";

/**
 * A choice from a list, with a search through it. Up and down change it without opening.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function comboWidget(host) {
  const value = h("span", { class: "combo-value" });
  const button = h("button", { type: "button", class: "combo", "aria-haspopup": "listbox" }, value, icon("down"));
  const root = h("div", { class: "field combo-field" }, fieldLabel(host), button);
  const choices = () => host.widget.choices ?? [];
  button.addEventListener("click", async () => {
    const { openChooser } = await import("./chooser.js");
    openChooser({
      anchor: root,
      label: host.label,
      choices: choices(),
      value: host.get(),
      choose: (choice) => host.set(choice),
    });
  });
  button.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = choices().indexOf(host.get()) + step;
    if (at >= 0 && at < choices().length) host.set(choices()[at], false);
  });
  return {
    root,
    update() {
      const current = host.get();
      const known = choices().includes(current);
      value.textContent = current === null ? "nothing to choose" : baseName(String(current));
      button.disabled = host.linked();
      button.title = String(current ?? "");
      button.setAttribute("aria-label", `${host.label}: ${current ?? "nothing to choose"}`);
      root.classList.toggle("unknown", !known);
    },
  };
}

/** @param {string} path */
function baseName(path) {
  return path.split(/[/\\]/).pop() ?? path;
}
