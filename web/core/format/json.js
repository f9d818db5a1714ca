/**
 * JSON as Python writes and reads it: whole numbers of any size keep all their digits, as a BigInt where a double would
 * round them, and NaN and Infinity, which JSON does not know, become null.
 */

const MARK = "\u0000int:";
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|-?\b(?:NaN|Infinity)\b/g;
const MARKED = /"\\u0000int:(-?\d+)"(?!\s*:)/g;

/**
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError} where it is no JSON
 */
export function parseJson(text) {
  const long = /\d{16}/.test(text);
  if (!long) {
    try {
      return JSON.parse(text);
    } catch (error) {
      if (!/NaN|Infinity/.test(text)) throw error;
    }
  }
  return JSON.parse(text.replace(TOKEN, plain), long ? (_, value) => exact(value) : undefined);
}

/** @param {string} token */
function plain(token) {
  if (token.length > 15 && /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)))
    return `"\\u0000int:${token}"`;
  return /^-?[NI]/.test(token) ? "null" : token;
}

/** @param {unknown} value */
function exact(value) {
  if (typeof value !== "string" || !value.startsWith(MARK)) return value;
  const digits = value.slice(MARK.length);
  return /^-?\d+$/.test(digits) ? BigInt(digits) : value;
}

/**
 * @param {unknown} value
 * @param {number} [indent]
 * @returns {string}
 */
export function stringifyJson(value, indent) {
  let long = false;
  const text = JSON.stringify(
    value,
    (_, part) => {
      if (typeof part !== "bigint") return part;
      long = true;
      return MARK + part;
    },
    indent,
  );
  return long ? text.replace(MARKED, "$1") : text;
}
