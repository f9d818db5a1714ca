/**
 * What a person chose for this browser.
 *
 * @typedef {{theme: "system" | "dark" | "light", wheel: "auto" | "zoom" | "pan", drag: "pan" | "select", snap: boolean,
 *   links: import("../core/geometry/curves.js").LinkStyle, motion: "system" | "reduce", map: boolean, strip: boolean,
 *   recent: string[], panel: string, seeds: "shown" | "before" | "after", welcomed: boolean}} Values
 */

const KEY = "latent-loom.settings";

/** @type {Readonly<Values>} */
const DEFAULTS = Object.freeze({
  theme: "system",
  wheel: "auto",
  drag: "pan",
  snap: true,
  links: "spline",
  motion: "system",
  map: true,
  strip: true,
  recent: [],
  panel: "",
  seeds: "shown",
  welcomed: false,
});

export class Settings {
  constructor() {
    /** @type {Values} */
    this.values = { ...DEFAULTS, ...read() };
    /** @type {Set<(name: string) => void>} */
    this.listeners = new Set();
  }

  /**
   * @template {keyof Values} Name
   * @param {Name} name
   * @returns {Values[Name]}
   */
  get(name) {
    return this.values[name];
  }

  /**
   * @template {keyof Values} Name
   * @param {Name} name
   * @param {Values[Name]} value
   */
  set(name, value) {
    this.values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // a browser without storage keeps the choice until the page is closed
    }
    for (const listener of this.listeners) listener(name);
  }
}

/** @returns {Partial<Values>} */
function read() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof stored === "object" && stored !== null ? stored : {};
  } catch {
    return {};
  }
}

/** @param {Settings} settings */
export function applyTheme(settings) {
  const choice = settings.get("theme");
  const light = choice === "light" || (choice === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  document.documentElement.dataset.theme = light ? "light" : "dark";
  document.documentElement.dataset.motion = settings.get("motion");
}
