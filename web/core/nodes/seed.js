import { fit, narrowed, SEED_LIMIT } from "./number.js";

/**
 * What a control does to its value for the next run.
 *
 * The number on screen is the number that ran: it changes when the next run starts, not when this one ends, and a value
 * that has not run yet is run as it is.
 *
 * Numbers past the limit of drawn seeds, which only typing or a file can bring, are counted on exactly.
 *
 * @param {number | bigint} value
 * @param {string} mode fixed, increment, decrement or randomize
 * @param {import("./number.js").NumberOptions} options
 * @param {() => number} [random] 0 ≤ r < 1
 * @returns {number | bigint}
 */
export function nextNumber(value, mode, options, random = Math.random) {
  const min = Math.max(options.min ?? 0, -SEED_LIMIT);
  const max = Math.min(options.max ?? SEED_LIMIT, SEED_LIMIT);
  const step = options.step ?? 1;
  if (mode === "increment" || mode === "decrement") {
    const sign = mode === "increment" ? 1 : -1;
    if (typeof value === "bigint") return fit(narrowed(value + BigInt(sign * Math.round(step))), options, true);
    return Math.min(Math.max(value + sign * step, min), max);
  }
  if (mode === "randomize") return Math.floor(random() * ((max - min) / step)) * step + min;
  return value;
}

/**
 * @param {unknown} value
 * @param {string} mode as above, and increment-wrap
 * @param {unknown[]} choices
 * @param {() => number} [random]
 */
export function nextChoice(value, mode, choices, random = Math.random) {
  if (!choices.length || mode === "fixed") return value;
  const at = choices.indexOf(value);
  if (mode === "randomize") return choices[Math.floor(random() * choices.length)];
  if (mode === "decrement") return choices[Math.max(at - 1, 0)];
  const next = at + 1;
  return mode === "increment-wrap" ? choices[next % choices.length] : choices[Math.min(next, choices.length - 1)];
}

/**
 * Filter a combo's choices by plain words, or by /an expression/.
 * @param {unknown[]} choices
 * @param {string} filter
 */
export function filterChoices(choices, filter) {
  if (!filter) return choices;
  const pattern = /^\/(.*)\/$/.exec(filter);
  try {
    const expression = pattern && new RegExp(pattern[1], "i");
    const fits = (/** @type {string} */ text) =>
      expression ? expression.test(text) : text.toLowerCase().includes(filter.toLowerCase());
    return choices.filter((choice) => fits(String(choice)));
  } catch {
    return choices;
  }
}
