import { fieldLabel, h } from "../dom.js";

const PAUSE_MS = 500;
const TALLEST = 460;
const EMBEDDING = /embedding:/i;

/**
 * One line of text.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function stringWidget(host) {
  const input = h("input", { type: "text", class: "string-input", "aria-label": host.label, spellcheck: "false" });
  const root = h("label", { class: "field string" }, fieldLabel(host), input);
  listen(input, host);
  return { root, update: () => reflect(input, host) };
}

/**
 * Text of many lines; the words of a prompt get weights with Ctrl and the up and down arrows.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function textWidget(host) {
  const area = h("textarea", {
    class: "text-input",
    "aria-label": host.label,
    placeholder: host.widget.options.placeholder ?? host.label.replaceAll("_", " "),
  });
  const root = h("div", { class: "field text" }, area);
  /** @type {import("./completion.js").Completion | null} */
  let completion = null;
  const complete = async () => {
    if (!completion && EMBEDDING.test(area.value)) {
      const { Completion } = await import("./completion.js");
      completion ??= new Completion(area, host);
    }
    completion?.update();
  };
  listen(area, host);
  area.addEventListener("input", () => {
    const missing = Math.min(area.scrollHeight, TALLEST) - area.clientHeight;
    if (missing > 0) host.grow(missing);
    complete();
  });
  area.addEventListener("wheel", (event) => {
    if (document.activeElement === area && area.scrollHeight > area.clientHeight) event.stopPropagation();
  });
  area.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    weigh(area, event.key === "ArrowUp" ? 0.05 : -0.05);
    host.set(area.value, false);
  });
  return { root, update: () => reflect(area, host) };
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {import("./registry.js").Host} host
 */
function listen(field, host) {
  let pause = 0;
  field.addEventListener("input", () => {
    host.set(field.value, false);
    clearTimeout(pause);
    pause = window.setTimeout(() => host.session.document.history.seal(), PAUSE_MS);
  });
  field.addEventListener("blur", () => host.session.document.history.seal());
  field.addEventListener("keydown", (event) => {
    const { key, defaultPrevented } = /** @type {KeyboardEvent} */ (event);
    const done = key === "Escape" || (key === "Enter" && field instanceof HTMLInputElement);
    if (!done || defaultPrevented || /** @type {KeyboardEvent} */ (event).ctrlKey) return;
    event.stopPropagation();
    host.leave();
  });
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {import("./registry.js").Host} host
 */
function reflect(field, host) {
  const value = String(host.get() ?? "");
  if (field.value !== value) field.value = value;
  field.disabled = host.linked();
}

/**
 * Change the weight of the selected words, or of the word at the cursor: (word:1.05).
 * @param {HTMLTextAreaElement} area
 * @param {number} change
 */
function weigh(area, change) {
  let { selectionStart: start, selectionEnd: end } = area;
  const text = area.value;
  if (start === end) {
    while (start > 0 && !/[\s,()]/.test(text[start - 1])) start -= 1;
    while (end < text.length && !/[\s,()]/.test(text[end])) end += 1;
  }
  const outer = /\((.*):([\d.]+)\)$/s.exec(text.slice(Math.max(start - 1, 0), text.indexOf(")", end) + 1 || end));
  const inside = outer && text[start - 1] === "(" && !outer[1].includes("(");
  const words = inside ? outer[1] : text.slice(start, end).trim();
  if (!words) return;
  const weight = Math.max(0, Math.round(((inside ? Number(outer[2]) : 1) + change) * 100) / 100);
  const [from, to] = inside ? [start - 1, start - 1 + outer[0].length] : [start, end];
  const result = weight === 1 ? words : `(${words}:${weight})`;
  area.setRangeText(result, from, to, "preserve");
  const at = from + (weight === 1 ? 0 : 1);
  area.setSelectionRange(at, at + words.length);
}

/**
 * Text of many lines that is shown as a page, and as its source while somebody writes.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function markdownWidget(host) {
  const source = textWidget(host);
  const area = /** @type {HTMLTextAreaElement} */ (source.root.querySelector("textarea"));
  const page = h("div", { class: "markdown", tabindex: 0, role: "document", "aria-label": `${host.label}, page` });
  source.root.append(page);
  source.root.classList.add("paged");
  let shown = "\u0000";
  const write = () => {
    source.root.classList.add("writing");
    area.focus();
  };
  page.addEventListener("dblclick", write);
  page.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== page) return;
    event.preventDefault();
    event.stopPropagation();
    write();
  });
  page.addEventListener("wheel", (event) => {
    if (page.contains(document.activeElement) && page.scrollHeight > page.clientHeight) event.stopPropagation();
  });
  area.addEventListener("blur", () => source.root.classList.remove("writing"));
  return {
    root: source.root,
    update() {
      source.update();
      const text = String(host.get() ?? "");
      if (text === shown) return;
      shown = text;
      import("./markdown.js").then(({ renderMarkdown }) => (text === shown ? renderMarkdown(page, text) : undefined));
    },
  };
}
