import assert from "node:assert/strict";
import { test } from "node:test";
import { needsOf } from "../../../web/core/nodes/needs.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

const loader = (record) => record.nodes.find(({ type }) => type === "CheckpointLoaderSimple");

test("a workflow's models are named, and whether they are here", () => {
  const record = defaultRecord();
  const known = definitions();
  const [name] = loader(record).widgets_values;
  const choices = known.get("CheckpointLoaderSimple").widgets[0].choices;
  choices.splice(0, choices.length, name);
  assert.deepEqual(needsOf(record, known), { files: [{ name, present: true }], classes: [] });
  const other = defaultRecord();
  loader(other).widgets_values = ["folder/else.safetensors"];
  assert.deepEqual(needsOf(other, known).files, [{ name: "folder/else.safetensors", present: false }]);
  loader(other).mode = 4;
  assert.deepEqual(needsOf(other, known).files, [], "what is bypassed needs nothing");
});

test("classes that nobody knows are named once, those inside of subgraphs too; borders and subgraphs are none", () => {
  const record = defaultRecord();
  const inner = { id: "own", name: "Own", version: 1, inputs: [], outputs: [], links: [] };
  record.definitions = { subgraphs: [{ ...inner, nodes: [{ id: 1, type: "Deep", pos: [0, 0] }] }] };
  for (const [id, type] of ["Strange", "Strange", "own", "workflow>old", "Note"].entries())
    record.nodes.push({ id: 100 + id, type, pos: [0, 0] });
  assert.deepEqual(needsOf(record, definitions()).classes, ["Deep", "Strange"]);
});
