import { h, icon } from "../dom.js";

/**
 * Choose a file for the field above; files can be dropped on the node as well.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function uploadWidget(host) {
  const input = h("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Choose a picture" });
  const button = h(
    "button",
    { type: "button", class: "upload", on: { click: () => input.click() } },
    icon("upload"),
    "Choose a picture",
  );
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file) host.editor.services.upload(host.session, host.id, file);
    input.value = "";
  });
  return { root: h("div", { class: "field upload-field" }, button, input), update() {} };
}
