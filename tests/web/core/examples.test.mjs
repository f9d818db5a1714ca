import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Graph } from "../../../web/core/doc/graph.js";
import { parseJson } from "../../../web/core/format/json.js";
import { instanceDefinitions } from "../../../web/core/nodes/instances.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { prepareRun } from "../../../web/core/run/prepare.js";

const FOLDER = new URL("../../data/workflows/", import.meta.url);
const read = (/** @type {string} */ name) => parseJson(readFileSync(new URL(name, FOLDER), "utf8"));
const catalogue = readDefinitions(read("classes.json"));
const examples = readdirSync(FOLDER).filter((name) => name.endsWith(".workflow.json"));

assert.ok(examples.length >= 11);
for (const file of examples) {
  const name = file.replace(".workflow.json", "");
  test(name.replaceAll("_", " "), () => {
    const graph = new Graph(read(file));
    const definitions = new Map([...catalogue, ...instanceDefinitions(graph, catalogue)]);
    const { prompt } = prepareRun(graph, definitions, { now: new Date(2024, 2, 5, 7, 8, 9), random: () => 0.5 });
    assert.deepEqual(prompt, read(`${name}.prompt.json`));
  });
}
