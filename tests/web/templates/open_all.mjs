/**
 * Opens every workflow of a folder in the editor's core and writes down what became of it:
 *   node open_all.mjs FOLDER CLASSES OUT
 * OUT/NAME.saved.json is the file as an untouched document is saved, OUT/NAME.prompt.json its prompt.
 * Fails on the first file that reading changes, or that a moved and moved-back node leaves different.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Document } from "../../../web/core/doc/document.js";
import { Graph } from "../../../web/core/doc/graph.js";
import { pair } from "../../../web/core/doc/schema.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { readJson } from "../../../web/core/format/read.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { instanceDefinitions } from "../../../web/core/nodes/instances.js";
import { layoutNode } from "../../../web/core/nodes/layout.js";

const [folder, classes, out] = process.argv.slice(2);
const definitions = readDefinitions(JSON.parse(readFileSync(classes, "utf8")));

/** Frozen to the last leaf: who writes to it while reading is found out. */
function frozen(value) {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) frozen(part);
  return value;
}

/** All that the editor reads of a workflow to draw it and to run it. */
function readAll(graph) {
  const known = new Map([...definitions, ...instanceDefinitions(graph, definitions)]);
  for (const each of [graph, ...graph.subgraphs.values()])
    for (const node of each.nodes.values()) layoutNode(node, known.get(node.type));
  return compilePrompt(graph, definitions);
}

function nudge(document) {
  const [node] = document.graph.nodes.values();
  if (!node) return;
  const before = node.pos;
  const [x, y] = pair(before, [0, 0]);
  document.transact("Move", (tx) => tx.set("node", node.id, ["pos"], [x + 10, y + 20]));
  assert.notDeepEqual(node.pos, before);
  assert.equal(document.undo(), "Move");
}

let count = 0;
for (const name of readdirSync(folder).filter((file) => file.endsWith(".json"))) {
  const text = readFileSync(join(folder, name), "utf8");
  const parsed = parseJson(text);
  if (!Array.isArray(parsed?.nodes)) continue;
  count += 1;
  const prompt = readAll(new Graph(frozen(parsed)));
  const document = new Document(readJson(text, definitions, name).record, { name });
  const saved = stringifyJson(document.toRecord());
  // Text against text: values, the order of keys and lists, and every unknown key.
  assert.equal(saved, stringifyJson(parsed), name);
  nudge(document);
  assert.equal(stringifyJson(document.toRecord()), saved, name);
  writeFileSync(join(out, name.replace(/\.json$/, ".saved.json")), saved);
  writeFileSync(join(out, name.replace(/\.json$/, ".prompt.json")), stringifyJson(prompt));
}
console.log(count);
