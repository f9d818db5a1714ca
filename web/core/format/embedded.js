import { parseJson } from "./json.js";

/**
 * Finds a graph inside of any file that carries it as text: the comments of FLAC, MP3, MP4 and WebM, the metadata of AVIF
 * and SVG, the JSON of GLB. All of them write the keyword, a few bytes of their own, and then the JSON itself, so the
 * containers need not be understood.
 */

const KEYWORDS = ["workflow", "prompt"];
const GAP = 48;
const LIMIT = 64 * 1024 * 1024;
const [QUOTE, BACKSLASH, OPEN, CLOSE] = [34, 92, 123, 125];

/**
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>} the JSON texts by keyword
 */
export function embeddedJson(bytes) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const keyword of KEYWORDS) {
    const letters = [...keyword].map((letter) => letter.charCodeAt(0));
    for (let at = find(bytes, letters, 0); at >= 0; at = find(bytes, letters, at + 1)) {
      const text = jsonAfter(bytes, at + letters.length);
      if (text) found[keyword] ??= text;
      if (text) break;
    }
  }
  return found;
}

/**
 * @param {Uint8Array} bytes
 * @param {number[]} letters
 * @param {number} from
 */
function find(bytes, letters, from) {
  for (let at = bytes.indexOf(letters[0], from); at >= 0; at = bytes.indexOf(letters[0], at + 1)) {
    if (letters.every((letter, offset) => bytes[at + offset] === letter)) return at;
  }
  return -1;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} from
 * @returns {string} the object that begins soon, or the one in the JSON string that begins soon; "" for neither
 */
function jsonAfter(bytes, from) {
  const start = bytes.subarray(from, from + GAP).indexOf(OPEN);
  if (start < 0) return "";
  const inString = bytes[from + start - 1] === QUOTE;
  const first = from + start;
  const text = decode(bytes.subarray(first, inString ? endOfString(bytes, first) : endOfObject(bytes, first)));
  try {
    const plain = inString ? String(JSON.parse(`"${text}"`)) : text;
    return typeof parseJson(plain) === "object" ? plain : "";
  } catch {
    return "";
  }
}

/** @param {Uint8Array} bytes */
function decode(bytes) {
  return new TextDecoder().decode(bytes);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} from at the first brace
 * @returns {number} behind the last one
 */
function endOfObject(bytes, from) {
  let depth = 0;
  for (let at = from; at < Math.min(bytes.length, from + LIMIT); at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at + 1);
    else if (byte === OPEN) depth += 1;
    else if (byte === CLOSE && --depth === 0) return at + 1;
  }
  return from;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} from inside the string
 * @returns {number} at its closing quote
 */
function endOfString(bytes, from) {
  let at = from;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
