import { evaluate, fit, SEED_LIMIT, show, stepBy } from "../../core/nodes/number.js";
import { fieldLabel, h, iconButton } from "../dom.js";

const PIXELS_PER_STEP = 5;
const SLIDER_STEPS = 2000;
const ARROW_PIXELS = 22;
const PAGE = 10;

/**
 * A number: drag across it, press its ends, turn the wheel while it has the focus, use the arrows, or type a value or a
 * sum. A number with near limits shows where it is between them. Values past 2^53 are exact: they are bigints.
 *
 * @typedef {import("../../core/nodes/number.js").NumberOptions & {display?: string, control_after_generate?: unknown}} Options
 * @typedef {{host: import("./registry.js").Host, options: Options, whole: boolean, input: HTMLInputElement,
 *   range: {min: number, size: number, steps: number} | null}} Field
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function numberWidget(host) {
  const whole = host.widget.kind === "int";
  const options = /** @type {Options} */ (host.widget.options);
  const seed = Boolean(options.control_after_generate) || /(^|_)seed$/.test(host.widget.name);
  const input = h("input", {
    type: "text",
    inputmode: whole ? "numeric" : "decimal",
    class: "number-input",
    spellcheck: "false",
    autocomplete: "off",
    role: "spinbutton",
    "aria-label": host.label,
    "aria-valuemin": options.min,
    "aria-valuemax": options.max,
  });
  const level = h("span", { class: "level" });
  const drawn = { ...options, max: Math.min(options.max ?? SEED_LIMIT, SEED_LIMIT) };
  const dice = seed
    ? iconButton("dice", "Draw a new number", () => drawSeed(host, drawn), {
        class: "dice",
        tabindex: -1,
      })
    : null;
  const kind = seed ? " seed" : options.display === "slider" ? " slider" : "";
  const root = h("div", { class: `field number${kind}` }, level, fieldLabel(host), input, dice);
  const field = { host, options, whole, input, range: span(options, whole) };
  listenKeys(field);
  listenDrag(root, field, !seed);
  const update = () => {
    const value = host.get();
    if (document.activeElement !== input) input.value = show(value, options, whole);
    input.setAttribute("aria-valuenow", String(value));
    input.disabled = host.linked();
    const { range } = field;
    level.style.width = range ? `${(100 * (Number(value) - range.min)) / range.size}%` : "0";
  };
  return { root, update, busy: () => root.classList.contains("dragging") };
}

/**
 * The range of a number whose limits are near enough to show a level.
 * @param {Options} options
 * @param {boolean} whole
 */
function span(options, whole) {
  const { min, max, step = whole ? 1 : 0.1 } = options;
  if (min === undefined || max === undefined) return null;
  const steps = (max - min) / step;
  return options.display === "slider" || steps <= SLIDER_STEPS ? { min, size: max - min, steps } : null;
}

/**
 * Shift takes ten steps; Ctrl takes fine ones: a tenth of a step, or one where numbers are whole.
 * @param {Field} field
 * @param {{shiftKey: boolean, ctrlKey: boolean, metaKey: boolean}} keys
 */
function pace({ options, whole }, keys) {
  if (keys.shiftKey) return { count: 10, options };
  if (!keys.ctrlKey && !keys.metaKey) return { count: 1, options };
  const { step = 0.1 } = options;
  return { count: 1, options: { ...options, step: whole ? 1 : step / 10 } };
}

/**
 * @param {Field} field
 * @param {number} steps
 * @param {{shiftKey: boolean, ctrlKey: boolean, metaKey: boolean}} keys
 */
function walk({ host, input, whole, ...field }, steps, keys) {
  const { count, options } = pace({ host, input, whole, ...field }, keys);
  host.set(stepBy(host.get(), steps * count, options, whole), false);
  input.value = show(host.get(), field.options, whole);
}

/** @param {Field} field */
function listenKeys(field) {
  const { host, options, whole, input } = field;
  const restore = () => {
    input.value = show(host.get(), options, whole);
  };
  const commit = () => {
    const value = evaluate(input.value);
    if (value !== null && value !== host.get()) host.set(fit(value, options, whole));
  };
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => {
    commit();
    restore();
  });
  input.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: PAGE, PageDown: -PAGE }[event.key];
    if (steps && !event.altKey) {
      commit();
      walk(field, steps, event);
      event.preventDefault();
    } else if (event.key === "Enter") {
      commit();
      restore();
      if (!event.ctrlKey && !event.metaKey) host.leave();
    } else if (event.key === "Escape") {
      restore();
      host.leave();
      event.stopPropagation();
    }
  });
  input.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== input) return;
      event.preventDefault();
      event.stopPropagation();
      commit();
      walk(field, event.deltaY < 0 ? 1 : -1, event);
    },
    { passive: false },
  );
}

/**
 * Press and move to drag the value; press an end for a step; press the middle to type.
 * @param {HTMLElement} root
 * @param {Field} field
 * @param {boolean} arrows whether its ends are arrows
 */
function listenDrag(root, field, arrows) {
  const { host, input } = field;
  root.addEventListener("pointerdown", (down) => {
    const target = /** @type {Element} */ (down.target);
    if (down.button !== 0 || input.disabled || document.activeElement === input || target.closest(".dice")) return;
    down.preventDefault();
    const start = host.get();
    const box = root.getBoundingClientRect();
    let moved = false;
    const onMove = (/** @type {PointerEvent} */ event) => {
      if (host.editor.pinching) {
        if (moved) host.set(start, false);
        onUp(new PointerEvent("pointercancel"));
        return;
      }
      if (!moved && Math.abs(event.clientX - down.clientX) < 4) return;
      moved = true;
      root.classList.add("dragging");
      drag(field, start, event.clientX - down.clientX, (event.clientX - box.left) / box.width, event);
    };
    const onUp = (/** @type {PointerEvent} */ event) => {
      root.classList.remove("dragging");
      root.removeEventListener("pointermove", onMove);
      root.removeEventListener("pointerup", onUp);
      root.removeEventListener("pointercancel", onUp);
      if (moved) return host.session.document.history.seal();
      if (event.type === "pointercancel") return undefined;
      const end = arrows ? endAt((down.clientX - box.left) * (root.offsetWidth / box.width), root.offsetWidth) : 0;
      if (!end) return input.focus();
      walk(field, end, event);
      return host.session.document.history.seal();
    };
    root.setPointerCapture(down.pointerId);
    root.addEventListener("pointermove", onMove);
    root.addEventListener("pointerup", onUp);
    root.addEventListener("pointercancel", onUp);
  });
}

/** @param {number} x @param {number} width in CSS pixels of the unscaled node @returns {-1 | 0 | 1} */
function endAt(x, width) {
  if (x < ARROW_PIXELS) return -1;
  return x > width - ARROW_PIXELS ? 1 : 0;
}

/**
 * A slider follows the pointer; any other number goes by steps from where it was.
 * @param {Field} field
 * @param {number | bigint} start
 * @param {number} pixels since the press
 * @param {number} part where the pointer is along the field, 0 to 1
 * @param {PointerEvent} event
 */
function drag({ host, options, whole, input, range }, start, pixels, part, event) {
  const fine = event.ctrlKey || event.metaKey || event.shiftKey;
  if (options.display === "slider" && range && !fine) {
    const steps = Math.round(Math.min(Math.max(part, 0), 1) * range.steps);
    host.set(stepBy(range.min, steps, options, whole), false);
    return;
  }
  const by = pace({ host, options, whole, input, range }, event);
  const width = input.parentElement?.clientWidth || 200;
  const steps = range && !fine ? (pixels / width) * range.steps : pixels / PIXELS_PER_STEP;
  host.set(stepBy(start, Math.round(steps * by.count), by.options, whole), false);
}

/**
 * @param {import("./registry.js").Host} host
 * @param {Options} options
 */
async function drawSeed(host, options) {
  const { nextNumber } = await import("../../core/nodes/seed.js");
  host.set(nextNumber(0, "randomize", options));
}
