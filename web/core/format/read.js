import { isObject } from "../doc/schema.js";
import { apiToWorkflow } from "./api_prompt.js";
import { embeddedJson } from "./embedded.js";
import { parseJson } from "./json.js";
import { pngTexts, webpTexts } from "./png.js";

/**
 * What a dropped or opened file holds.
 *
 * @typedef {{record: import("../doc/schema.js").WorkflowRecord, kind: "workflow" | "prompt"}} Found
 */

const SAFETENSORS_HEADER = 16 * 1024 * 1024;
const MEDIA = /\.(jpe?g|gif|avif|bmp|svg|mp4|m4v|mov|webm|mkv|flac|mp3|ogg|opus|wav|glb)$/i;
const MEDIA_END = 8 * 1024 * 1024;
const WEIGHTS = /\.(safetensors|latent)$/i;

/** A file that holds no graph. The message is for people. */
export class NoGraph extends Error {}

/**
 * @param {string} name
 * @param {Uint8Array} bytes
 * @param {Map<string, import("../nodes/definitions.js").NodeDef>} definitions
 * @returns {Found}
 * @throws {NoGraph}
 */
export function readFile(name, bytes, definitions) {
  const texts = embeddedTexts(name, bytes);
  if (!texts) return readJson(new TextDecoder().decode(bytes), definitions, name);
  for (const key of ["workflow", "prompt"]) {
    if (texts[key]) return readJson(texts[key], definitions, name);
  }
  throw new NoGraph(`${name} carries no graph. Pictures saved here do; pictures from elsewhere can be used as input.`);
}

/**
 * @param {string} name
 * @param {Uint8Array} bytes
 * @returns {Record<string, string> | null} null for a plain text file
 */
function embeddedTexts(name, bytes) {
  if (/\.png$/i.test(name) || bytes[0] === 137) return pngTexts(bytes);
  if (/\.webp$/i.test(name)) return webpTexts(bytes);
  if (WEIGHTS.test(name)) return safetensorsTexts(bytes);
  return MEDIA.test(name) ? embeddedJson(bytes) : null;
}

/**
 * As much of a file as can hold a graph: of weights only the header, of long films the beginning and the end, because the
 * rest may be larger than the memory.
 * @param {{name: string, size: number, slice: (from: number, to: number) => Blob, arrayBuffer: () => Promise<ArrayBuffer>}} file
 * @returns {Promise<Uint8Array>}
 */
export async function readBytes(file) {
  if (MEDIA.test(file.name) && file.size > 2 * MEDIA_END) {
    const ends = [file.slice(0, MEDIA_END), file.slice(file.size - MEDIA_END, file.size)];
    return new Uint8Array(await new Blob(ends).arrayBuffer());
  }
  if (!WEIGHTS.test(file.name)) return new Uint8Array(await file.arrayBuffer());
  const start = await file.slice(0, 8).arrayBuffer();
  if (start.byteLength < 8) return new Uint8Array(start);
  const length = Math.min(Number(new DataView(start).getBigUint64(0, true)), SAFETENSORS_HEADER);
  return new Uint8Array(await file.slice(0, 8 + length).arrayBuffer());
}

/**
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>}
 */
function safetensorsTexts(bytes) {
  if (bytes.length < 8) return {};
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > SAFETENSORS_HEADER || 8 + length > bytes.length) return {};
  const header = parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  return isObject(header) && isObject(header.__metadata__) ? header.__metadata__ : {};
}

/**
 * @param {string} text
 * @param {Map<string, import("../nodes/definitions.js").NodeDef>} definitions
 * @param {string} [name]
 * @returns {Found}
 * @throws {NoGraph}
 */
export function readJson(text, definitions, name = "The text") {
  const data = parse(text);
  if (isPrompt(data)) return { record: apiToWorkflow(data, definitions), kind: "prompt" };
  if (isObject(data) && Array.isArray(data.nodes)) return { record: data, kind: "workflow" };
  throw new NoGraph(`${name} is not a workflow: it has neither a list of nodes nor nodes with a class_type.`);
}

/**
 * @param {string} text
 * @returns {unknown} undefined where it is no JSON
 */
function parse(text) {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {unknown} data
 * @returns {data is Record<string, any>}
 */
export function isPrompt(data) {
  if (!isObject(data)) return false;
  const entries = Object.values(data);
  return entries.length > 0 && entries.every((entry) => isObject(entry) && typeof entry.class_type === "string");
}
