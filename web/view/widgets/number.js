import { evaluate, fit, SEED_LIMIT, show, stepBy } from "../../core/nodes/number.js";
import { nextNumber } from "../../core/nodes/seed.js";
import { fieldLabel, h, iconButton } from "../dom.js";

const PIXELS_PER_STEP = 5;
const SLIDER_STEPS = 2000;

/**
 * A number: drag across it, turn the wheel while it has the focus, use the arrows, or type a value or a sum. A number
 * with near limits shows where it is between them.
 * @param {import("./registry.js").Host} host
 * @returns {import("./registry.js").WidgetView}
 */
export function numberWidget(host) {
  const whole = host.widget.kind === "int";
  const options = host.widget.options;
  const seed = options.control_after_generate || /(^|_)seed$/.test(host.widget.name);
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
  const dice = seed
    ? iconButton(
        "dice",
        "Draw a new number",
        () =>
          host.set(nextNumber(0, "randomize", { ...options, max: Math.min(options.max ?? SEED_LIMIT, SEED_LIMIT) })),
        { class: "dice", tabindex: -1 },
      )
    : null;
  const root = h("div", { class: `field number${seed ? " seed" : ""}` }, level, fieldLabel(host), input, dice);
  const range = span(options, whole);
  const write = (/** @type {number} */ value, done = true) => host.set(fit(value, options, whole), done);
  const update = () => {
    const value = Number(host.get());
    if (document.activeElement !== input) input.value = show(/** @type {any} */ (host.get()), options, whole);
    input.setAttribute("aria-valuenow", String(value));
    input.disabled = host.linked();
    level.style.width = range ? `${(100 * (value - range.min)) / range.size}%` : "0";
  };
  listenKeys(input, host, options, whole, write, update);
  listenDrag(
    root,
    input,
    () => Number(host.get()),
    (start, pixels, event) => {
      const pace = event.ctrlKey || event.metaKey ? 0.1 : event.shiftKey ? 10 : 1;
      const width = root.clientWidth || 200;
      const steps = range ? (pixels / width) * range.steps : pixels / PIXELS_PER_STEP;
      write(stepBy(start, Math.round(steps * pace), options, whole), false);
    },
    () => host.session.document.history.seal(),
  );
  return { root, update, busy: () => root.classList.contains("dragging") };
}

/**
 * The range of a number whose limits are near enough to show a level.
 * @param {import("../../core/nodes/number.js").NumberOptions & {display?: string}} options
 * @param {boolean} whole
 */
function span(options, whole) {
  const { min, max, step = whole ? 1 : 0.1 } = options;
  if (min === undefined || max === undefined) return null;
  const steps = (max - min) / step;
  return options.display === "slider" || steps <= SLIDER_STEPS ? { min, size: max - min, steps } : null;
}

/**
 * @param {HTMLInputElement} input
 * @param {import("./registry.js").Host} host
 * @param {any} options
 * @param {boolean} whole
 * @param {(value: number, done?: boolean) => void} write
 * @param {() => void} update
 */
function listenKeys(input, host, options, whole, write, update) {
  const commit = () => {
    const value = evaluate(input.value);
    if (value !== null && value !== Number(host.get())) write(value);
    update();
  };
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => {
    commit();
    input.value = show(/** @type {any} */ (host.get()), options, whole);
  });
  input.addEventListener("keydown", (event) => {
    const pace = event.shiftKey ? 10 : 1;
    const steps = { ArrowUp: pace, ArrowDown: -pace, PageUp: 10, PageDown: -10 }[event.key];
    if (steps) {
      commit();
      write(stepBy(Number(host.get()), steps, options, whole), false);
      input.value = show(/** @type {any} */ (host.get()), options, whole);
      event.preventDefault();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      input.blur();
    } else if (event.key === "Escape") {
      input.value = show(/** @type {any} */ (host.get()), options, whole);
      input.blur();
    } else if (event.key === "Enter") {
      commit();
    }
  });
  input.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== input) return;
      event.preventDefault();
      event.stopPropagation();
      write(stepBy(Number(host.get()), event.deltaY < 0 ? 1 : -1, options, whole), false);
      input.value = show(/** @type {any} */ (host.get()), options, whole);
    },
    { passive: false },
  );
}

/**
 * Press and move to drag the value; press and let go to type.
 * @param {HTMLElement} root
 * @param {HTMLInputElement} input
 * @param {() => number} value
 * @param {(start: number, pixels: number, event: PointerEvent) => void} move
 * @param {() => void} done
 */
function listenDrag(root, input, value, move, done) {
  root.addEventListener("pointerdown", (down) => {
    const target = /** @type {Element} */ (down.target);
    if (down.button !== 0 || input.disabled || document.activeElement === input || target.closest(".dice")) return;
    down.preventDefault();
    const start = value();
    let moved = false;
    const onMove = (/** @type {PointerEvent} */ event) => {
      const pixels = event.clientX - down.clientX;
      if (!moved && Math.abs(pixels) < 4) return;
      moved = true;
      root.classList.add("dragging");
      move(start, pixels, event);
    };
    const onUp = () => {
      root.classList.remove("dragging");
      root.removeEventListener("pointermove", onMove);
      root.removeEventListener("pointerup", onUp);
      root.removeEventListener("pointercancel", onUp);
      if (moved) done();
      else input.focus();
    };
    root.setPointerCapture(down.pointerId);
    root.addEventListener("pointermove", onMove);
    root.addEventListener("pointerup", onUp);
    root.addEventListener("pointercancel", onUp);
  });
}
