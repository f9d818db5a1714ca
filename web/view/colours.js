/** The colours that the canvas needs, read from the style sheet once per theme. */

const NAMES = ["field", "grid", "grid-strong", "node", "node-title", "text", "text-dim", "accent", "danger", "good", "warn", "outline", "bypass"];

/**
 * @param {Element} element
 * @returns {Record<string, string>} by name without the dashes of the property
 */
export function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || "#888"]));
}

/**
 * @param {string} colour #rgb or #rrggbb
 * @param {number} alpha
 * @returns {string} with alpha; other notations come back as they are
 */
export function withAlpha(colour, alpha) {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(colour);
  const long = short ? `#${short[1]}${short[1]}${short[2]}${short[2]}${short[3]}${short[3]}` : colour;
  if (!/^#[0-9a-f]{6}$/i.test(long)) return colour;
  return long + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
