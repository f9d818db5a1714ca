import { readFileSync } from "node:fs";
import { Document } from "../../../web/core/doc/document.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";

const read = (/** @type {string} */ path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));

/** The default graph as a fresh object. */
export const defaultRecord = () => read("../../../web/templates/default.json");
export const defaultPrompt = () => read("../../../web/templates/default.api.json");

/** A small catalogue in the shape of /object_info. */
export const catalogue = () => read("./catalogue.json");
export const definitions = () => readDefinitions(catalogue());

export const defaultDocument = () => new Document(defaultRecord());

/** A repeatable source of numbers in 0 ≤ r < 1. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
