import { fieldLabel, h } from "../dom.js";

const WHITE = 0xffffff;

/**
 * A colour: a swatch that opens the system's picker, and its six digits. Stored as text "#rrggbb", or as the number
 * 0xrrggbb where the input is an integer shown as a colour.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function colourWidget(host) {
  const asNumber = host.widget.kind === "int";
  const swatch = h("input", { type: "color", class: "colour-swatch", "aria-label": `${host.label}, picker` });
  const digits = h("input", {
    type: "text",
    class: "string-input",
    "aria-label": host.label,
    spellcheck: "false",
    maxlength: 7,
  });
  const root = h("div", { class: "field string colour-field" }, fieldLabel(host), digits, swatch);
  const take = (/** @type {string} */ text, /** @type {boolean} */ done) => {
    const colour = parseColour(text);
    if (colour !== null) host.set(asNumber ? colour : hex(colour), done);
  };
  swatch.addEventListener("input", () => take(swatch.value, false));
  swatch.addEventListener("change", () => take(swatch.value, true));
  const update = () => {
    const colour = asNumber ? Number(host.get()) & WHITE : (parseColour(String(host.get() ?? "")) ?? 0);
    swatch.value = hex(colour);
    if (document.activeElement !== digits) digits.value = hex(colour);
    swatch.disabled = digits.disabled = host.linked();
  };
  digits.addEventListener("blur", () => {
    take(digits.value, true);
    update();
  });
  digits.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    if (event.key === "Escape") update();
    event.stopPropagation();
    host.leave();
  });
  return { root, update };
}

/** @param {number} colour @returns {string} */
function hex(colour) {
  return `#${colour.toString(16).padStart(6, "0")}`;
}

/**
 * @param {string} text #rgb or #rrggbb, with or without the sign
 * @returns {number | null} 0xrrggbb
 */
function parseColour(text) {
  const long = text
    .trim()
    .replace(/^#/, "")
    .replace(/^(.)(.)(.)$/, "$1$1$2$2$3$3");
  return /^[0-9a-f]{6}$/i.test(long) ? parseInt(long, 16) : null;
}
