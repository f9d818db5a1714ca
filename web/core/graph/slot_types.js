/** Which sockets may be joined, and how each type looks. */

const ANY = new Set(["*", "", "0"]);

/** Colours that users of node editors for diffusion already know; any other type gets a stable hue of its own. */
const COLOURS = Object.freeze({
  MODEL: "#b39ddb",
  CLIP: "#ffd54f",
  VAE: "#ff7f7f",
  CONDITIONING: "#ffa931",
  LATENT: "#ff8fe3",
  IMAGE: "#64b5f6",
  MASK: "#81c784",
  CLIP_VISION: "#a8dadc",
  CLIP_VISION_OUTPUT: "#ad7452",
  STYLE_MODEL: "#c2ffae",
  CONTROL_NET: "#6ee7b7",
  NOISE: "#b0b0b0",
  GUIDER: "#66ffff",
  SAMPLER: "#eca9a9",
  SIGMAS: "#cdffcd",
  UPSCALE_MODEL: "#9fb7ff",
  INT: "#7fc8a9",
  FLOAT: "#8fb8de",
  STRING: "#c9d27a",
  BOOLEAN: "#d99ac5",
  COMBO: "#b9a58a",
  "*": "#a0a6b0",
});

/** @typedef {"circle" | "diamond" | "square" | "hexagon" | "ring"} SocketShape */

const SCALARS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"]);
const MODELS = new Set(["MODEL", "CLIP", "VAE", "CONTROL_NET", "CLIP_VISION", "STYLE_MODEL", "UPSCALE_MODEL"]);
const PICTURES = new Set(["IMAGE", "MASK"]);

/**
 * The name of a slot's type. A combo's list of options is the type COMBO.
 * @param {unknown} type
 * @returns {string}
 */
export function typeName(type) {
  if (Array.isArray(type)) return "COMBO";
  const name = String(type ?? "*");
  return ANY.has(name) ? "*" : name;
}

/**
 * May an output of one type feed an input of the other? A whole number may go where a real one is taken.
 * @param {unknown} output
 * @param {unknown} input
 */
export function compatible(output, input) {
  if (alike(output, input)) return true;
  return members(typeName(output)).includes("INT") && members(typeName(input)).includes("FLOAT");
}

/**
 * Types are compared without case; "*" fits all; a comma list fits when one member does.
 * @param {unknown} output
 * @param {unknown} input
 */
export function alike(output, input) {
  const [from, to] = [typeName(output), typeName(input)];
  if (from === "*" || to === "*") return true;
  const targets = new Set(members(to));
  return members(from).some((member) => targets.has(member) || targets.has("*") || member === "*");
}

/** @param {string} name */
function members(name) {
  return name
    .toUpperCase()
    .split(",")
    .map((member) => member.trim())
    .filter(Boolean);
}

/**
 * @param {unknown} type
 * @returns {string} a CSS colour
 */
export function typeColour(type) {
  const [first = "*"] = members(typeName(type));
  return /** @type {Record<string, string>} */ (COLOURS)[first] ?? `hsl(${hue(first)} 62% 68%)`;
}

/**
 * Shape tells the kind of thing apart for those who cannot tell the colours apart.
 * @param {unknown} type
 * @param {{isList?: boolean, optional?: boolean}} [slot]
 * @returns {SocketShape}
 */
export function socketShape(type, { isList = false, optional = false } = {}) {
  const [first = "*"] = members(typeName(type));
  if (isList) return "square";
  if (SCALARS.has(first)) return "diamond";
  if (optional) return "ring";
  if (MODELS.has(first)) return "hexagon";
  return PICTURES.has(first) ? "square" : "circle";
}

/** @param {string} text */
function hue(text) {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.charCodeAt(0)) % 360;
  return hash;
}
