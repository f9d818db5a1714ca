/**
 * Elements from descriptions. Text goes in as text, never as markup.
 *
 * @typedef {Node | string | null | undefined | false} Child
 * @typedef {{class?: string, on?: Record<string, (event: any) => void>, data?: Record<string, string | number>,
 *   [attribute: string]: any}} Props
 */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props} [props] attributes; `on` listens, `data` fills data-…, false and null leave an attribute out
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (value !== undefined && value !== null && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

/**
 * @param {Element} parent
 * @param {Child[]} children
 */
export function append(parent, children) {
  for (const child of children) if (child || child === "") parent.append(child);
}

/**
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a grid of 20, drawn with a round pen. */
const ICONS = Object.freeze({
  play: "M6 4l10 6-10 6z",
  stop: "M5 5h10v10H5z",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  fit: "M3 7V3h4M17 7V3h-4M3 13v4h4M17 13v4h-4",
  search: "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM13 13l4 4",
  nodes: "M3 4h6v4H3zM11 12h6v4h-6zM9 6h3a2 2 0 0 1 2 2v4",
  folder: "M3 5h5l2 2h7v9H3z",
  queue: "M3 5h14M3 10h14M3 15h9",
  outline: "M3 4h6M6 8h8M6 12h8M9 16h8M4 6v8",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 2v2M10 16v2M2 10h2M16 10h2M4.5 4.5l1.4 1.4M14.1 14.1l1.4 1.4M15.5 4.5l-1.4 1.4M5.9 14.1l-1.4 1.4",
  moon: "M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5z",
  dice: "M4 4h12v12H4zM7.5 7.5h.01M12.5 7.5h.01M10 10h.01M7.5 12.5h.01M12.5 12.5h.01",
  down: "M5 7.5l5 5 5-5",
  right: "M7.5 5l5 5-5 5",
  left: "M12.5 5l-5 5 5 5",
  undo: "M7 4L3 8l4 4M3 8h8a5 5 0 0 1 0 10H8",
  redo: "M13 4l4 4-4 4M17 8H9a5 5 0 0 0 0 10h3",
  save: "M4 4h9l3 3v9H4zM7 4v4h5V4M7 16v-5h6v5",
  download: "M10 3v9M6 9l4 4 4-4M4 16h12",
  upload: "M10 13V4M6 7l4-4 4 4M4 16h12",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  help: "M7 7.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.1-1.5 2.4M10 15.5h.01",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  image: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 7.5h.01",
  graph: "M4 10a2 2 0 1 0 .01 0M14 3.5a2 2 0 1 0 .01 0M14 12.5a2 2 0 1 0 .01 0M6 11l6-5M6 12.5l6 2",
  warning: "M10 3l7.5 13h-15zM10 8v4M10 14h.01",
  pin: "M7 3h6l-1 6 3 3H5l3-3zM10 12v5",
  check: "M4 10.5l4 4 8-9",
  pause: "M6.5 4v12M13.5 4v12",
  grip: "M7 5h.01M13 5h.01M7 10h.01M13 10h.01M7 15h.01M13 15h.01",
  clear: "M3 5h9M3 10h6M3 15h6M12 10l5 5M17 10l-5 5",
  settings: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4a2 2 0 1 0 .01 0M8 12a2 2 0 1 0 .01 0",
  map: "M3 5l5-2 4 2 5-2v12l-5 2-4-2-5 2zM8 3v12M12 5v12",
  clock: "M10 3a7 7 0 1 0 .01 0M10 6v4l3 2",
});

/**
 * @param {string} name
 * @returns {SVGSVGElement} hidden from screen readers: what surrounds it has the words
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", /** @type {Record<string, string>} */ (ICONS)[name] ?? "");
  svg.append(path);
  return svg;
}

/**
 * A button with a picture, its words as name and tooltip.
 * @param {string} name of the icon
 * @param {string} label
 * @param {(event: MouseEvent) => void} action
 * @param {Props} [props]
 */
export function iconButton(name, label, action, props = {}) {
  return h(
    "button",
    {
      type: "button",
      title: label,
      "aria-label": label,
      ...props,
      class: `icon-button ${props.class ?? ""}`.trim(),
      on: { click: action },
    },
    icon(name),
  );
}

/**
 * Whether the keyboard now belongs to a field, so that letters are no commands.
 * @param {EventTarget | null} target
 */
export function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));
}

/**
 * The name at the left of a field.
 * @param {{label: string}} host
 */
export function fieldLabel({ label }) {
  return h("span", { class: "widget-label" }, label.replaceAll("_", " "));
}
