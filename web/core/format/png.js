/** Reads the graph out of pictures. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const TEXT_LIMIT = 64 * 1024 * 1024;

/**
 * The text entries of a PNG file: tEXt, iTXt, and the comf chunks of animations.
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>} by keyword; empty for anything that is not a PNG
 */
export function pngTexts(bytes) {
  /** @type {Record<string, string>} */
  const texts = {};
  if (SIGNATURE.some((byte, at) => bytes[at] !== byte)) return texts;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = SIGNATURE.length;
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at);
    const type = latin1(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, Math.min(at + 8 + length, bytes.length));
    if (length <= TEXT_LIMIT) readChunk(type, body, texts);
    if (type === "IEND") break;
    at += length + 12;
  }
  return texts;
}

/**
 * @param {string} type
 * @param {Uint8Array} body
 * @param {Record<string, string>} texts
 */
function readChunk(type, body, texts) {
  if (type !== "tEXt" && type !== "iTXt" && type !== "comf") return;
  const end = body.indexOf(0);
  if (end < 1) return;
  const keyword = latin1(body.subarray(0, end));
  if (type !== "iTXt") {
    texts[keyword] = latin1(body.subarray(end + 1));
    return;
  }
  if (body[end + 1] !== 0) return; // compressed text: none of the known writers makes it
  const language = body.indexOf(0, end + 3);
  const start = body.indexOf(0, language + 1) + 1;
  if (language > 0 && start > 0) texts[keyword] = new TextDecoder().decode(body.subarray(start));
}

/** @param {Uint8Array} bytes */
function latin1(bytes) {
  return new TextDecoder("latin1").decode(bytes);
}

/**
 * The texts of a WebP's EXIF part, where each is written as "keyword:text" into any ASCII tag.
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>}
 */
export function webpTexts(bytes) {
  /** @type {Record<string, string>} */
  const texts = {};
  if (latin1(bytes.subarray(0, 4)) !== "RIFF" || latin1(bytes.subarray(8, 12)) !== "WEBP") return texts;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 12;
  while (at + 8 <= bytes.length) {
    const length = view.getUint32(at + 4, true);
    if (latin1(bytes.subarray(at, at + 4)) === "EXIF") readExif(bytes.subarray(at + 8, at + 8 + length), texts);
    at += 8 + length + (length % 2);
  }
  return texts;
}

/**
 * @param {Uint8Array} chunk
 * @param {Record<string, string>} texts
 */
function readExif(chunk, texts) {
  const exif = latin1(chunk.subarray(0, 6)) === "Exif\0\0" ? chunk.subarray(6) : chunk;
  if (exif.length < 8) return;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  const little = latin1(exif.subarray(0, 2)) === "II";
  const start = view.getUint32(4, little);
  if (start + 2 > exif.length) return;
  const count = view.getUint16(start, little);
  for (let entry = 0; entry < count && start + 14 + entry * 12 <= exif.length; entry += 1) {
    const at = start + 2 + entry * 12;
    const [type, size] = [view.getUint16(at + 2, little), view.getUint32(at + 4, little)];
    if (type !== 2) continue;
    const offset = size > 4 ? view.getUint32(at + 8, little) : at + 8;
    const text = new TextDecoder().decode(exif.subarray(offset, offset + size)).replace(/\0+$/, "");
    const colon = text.indexOf(":");
    if (colon > 0) texts[text.slice(0, colon).toLowerCase()] = text.slice(colon + 1);
  }
}
