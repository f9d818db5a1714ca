/**
 * Numbers as people type them: sums, limits, steps, and how many digits to show.
 *
 * @typedef {{min?: number, max?: number, step?: number, round?: number | false, default?: number}} NumberOptions
 */

/** Above this the editor draws no seeds: half of it is still exact in every language that reads the prompt. */
export const SEED_LIMIT = 2 ** 50;
/** The largest number of 64 bits, which a plain number cannot tell from the one above. */
const LARGEST = 2n ** 64n - 1n;

const OPERATORS = /** @type {Record<string, {level: number, apply: (a: number, b: number) => number}>} */ ({
  "+": { level: 1, apply: (a, b) => a + b },
  "-": { level: 1, apply: (a, b) => a - b },
  "*": { level: 2, apply: (a, b) => a * b },
  "/": { level: 2, apply: (a, b) => a / b },
  "%": { level: 2, apply: (a, b) => a % b },
  "^": { level: 3, apply: (a, b) => a ** b },
});

/**
 * The value of a sum such as "512*1.5" or "(64+8)/2"; a comma counts as a decimal point. A long whole number keeps all
 * its digits.
 * @param {string} text
 * @returns {number | bigint | null} null where it is not a sum
 */
export function evaluate(text) {
  if (/^\s*-?\d{16,}\s*$/.test(text)) return narrowed(BigInt(text.trim()));
  const tokens = text.replaceAll(",", ".").match(/\d*\.?\d+(?:e[+-]?\d+)?|[-+*/%^()]|\S/gi);
  if (!tokens) return null;
  const reader = { tokens, at: 0 };
  const value = readSum(reader, 1);
  return value !== null && reader.at === tokens.length && Number.isFinite(value) ? value : null;
}

/**
 * Precedence climbing.
 * @param {{tokens: string[], at: number}} reader
 * @param {number} level
 * @returns {number | null}
 */
function readSum(reader, level) {
  let left = readOperand(reader);
  while (left !== null) {
    const operator = OPERATORS[reader.tokens[reader.at]];
    if (!operator || operator.level < level) return left;
    reader.at += 1;
    const right = readSum(reader, operator.level + (operator.level === 3 ? 0 : 1)); // powers bind to the right
    left = right === null ? null : operator.apply(left, right);
  }
  return null;
}

/**
 * @param {{tokens: string[], at: number}} reader
 * @returns {number | null}
 */
function readOperand(reader) {
  const token = reader.tokens[reader.at];
  reader.at += 1;
  if (token === "-" || token === "+") {
    const value = readOperand(reader);
    return value === null ? null : token === "-" ? -value : value;
  }
  if (token === "(") {
    const value = readSum(reader, 1);
    if (reader.tokens[reader.at] !== ")") return null;
    reader.at += 1;
    return value;
  }
  return token !== undefined && /^[\d.]/.test(token) ? Number(token) : null;
}

/** @param {bigint} value @returns {number | bigint} a number where one holds it exactly */
export function narrowed(value) {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/**
 * A value within the limits, whole for integers, rounded where the options ask for it.
 * @template {number | bigint} T
 * @param {T} value
 * @param {NumberOptions} options
 * @param {boolean} whole
 * @returns {T | number}
 */
export function fit(value, options, whole) {
  if (typeof value === "bigint") {
    if (options.max !== undefined && options.max >= 2 ** 64 && value > LARGEST) return /** @type {T} */ (LARGEST);
    if (options.max !== undefined && value > options.max) return options.max;
    return options.min !== undefined && value < options.min ? options.min : value;
  }
  return fitNumber(/** @type {number} */ (value), options, whole);
}

/**
 * @param {number} value
 * @param {NumberOptions} options
 * @param {boolean} whole
 */
function fitNumber(value, options, whole) {
  let result = whole ? Math.round(value) : value;
  const round = Number(options.round);
  if (!whole && round > 0) result = tidy(Math.round(result / round) * round);
  return Math.min(Math.max(result, options.min ?? -Infinity), options.max ?? Infinity);
}

/**
 * The next value in steps.
 * @template {number | bigint} T
 * @param {T} value
 * @param {number} steps may be negative
 * @param {NumberOptions} options
 * @param {boolean} whole
 * @returns {T | number}
 */
export function stepBy(value, steps, options, whole) {
  const step = options.step ?? (whole ? 1 : 0.1);
  if (typeof value === "bigint") {
    const moved = narrowed(value + BigInt(Math.round(steps * step)));
    return fit(/** @type {T} */ (moved), options, whole);
  }
  const next = /** @type {number} */ (value) + steps * step;
  return fitNumber(whole ? next : tidy(next), options, whole); // tidying would cost a long seed its last digits
}

/**
 * Digits after the point that a step needs, at most six.
 * @param {NumberOptions} options
 */
export function digits({ step = 0.1, round }) {
  const smallest = Math.min(step, Number(round) > 0 ? Number(round) : step);
  const [, exponent = "0"] = smallest.toExponential().split("e");
  const [mantissa] = smallest.toExponential().split("e");
  const places = (mantissa.split(".")[1] ?? "").length - Number(exponent);
  return Math.min(Math.max(places, 0), 6);
}

/**
 * @param {number | bigint} value
 * @param {NumberOptions} options
 * @param {boolean} whole
 */
export function show(value, options, whole) {
  if (!Number.isFinite(Number(value))) return String(value);
  if (whole) return String(value);
  const least = digits(options);
  const text = String(tidy(Number(value)));
  const places = (text.split(".")[1] ?? "").length;
  return places >= least ? text : Number(value).toFixed(least);
}

/** Without the dust of binary fractions. @param {number} value */
function tidy(value) {
  return Number(value.toPrecision(12));
}
