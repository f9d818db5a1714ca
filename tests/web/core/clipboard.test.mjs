import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { clipFromHtml, clipHtml } from "../../../web/core/format/clipboard_html.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { copySelection, paste, readClip } from "../../../web/core/graph/clipboard.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { addReroute, pointsOf } from "../../../web/core/graph/reroutes.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { defaultDocument } from "./fixtures.mjs";

const example = (/** @type {string} */ name) =>
  parseJson(readFileSync(new URL(`../../data/workflows/${name}.json`, import.meta.url), "utf8"));
const empty = () => new Document({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4 });

/** Copy some nodes as text and paste them into another document. */
function carry(from, keys, to) {
  from.select(keys);
  const clip = readClip(stringifyJson(copySelection(from)));
  assert.ok(clip);
  return to.transact("Paste", (tx) => paste(tx, clip, [0, 0]));
}

test("nodes go to another document with their links, values and reroute points", () => {
  const from = defaultDocument();
  from.transact("Points", (tx) => {
    addReroute(tx, 1, [10, 10], 0);
    addReroute(tx, 1, [20, 20], 1);
    tx.set("node", 3, ["widgets_values", 0], 2n ** 64n - 1n);
  });
  const to = empty();
  const keys = carry(from, [...from.graph.nodes.keys()], to);
  assert.equal(keys.length, from.graph.nodes.size + 2);
  assert.equal(to.graph.links.size, from.graph.links.size);
  const [link] = [...to.graph.links.values()].filter((each) => each.parentId != null);
  const points = pointsOf(to.graph, link);
  assert.equal(points.length, 2);
  assert.deepEqual(
    [points[1].pos[0] - points[0].pos[0], points[0].linkIds, points[0].parentId],
    [10, [link.id], undefined],
  );
  const [sampler] = [...to.graph.nodes.values()].filter((node) => node.type === "KSampler");
  assert.equal(/** @type {any} */ (sampler.widgets_values)[0], 2n ** 64n - 1n);
  to.undo();
  assert.equal(to.graph.nodes.size + to.graph.reroutes.size + to.graph.links.size, 0);
});

test("an instance brings its definitions, nested ones too, and runs in the other document", () => {
  const from = new Document(example("subgraphs.workflow"));
  const to = empty();
  carry(from, ["1", "2", "9"], to);
  assert.deepEqual(
    to.graph.record.definitions.subgraphs.map((/** @type {any} */ each) => each.name),
    ["Soften twice", "Soften"],
  );
  const defs = readDefinitions(example("classes"));
  const kinds = Object.values(compilePrompt(to.graph, defs)).map((entry) => entry.class_type);
  assert.deepEqual(kinds.sort(), ["ImageBlur", "ImageBlur", "LoadImage", "SaveImage", "SaveImage"]);
  carry(from, ["3"], to);
  assert.equal(to.graph.record.definitions.subgraphs.length, 2);
  to.undo();
  to.undo();
  assert.equal(to.graph.record.definitions, undefined);
});

test("a definition that is another one under the same id gets an id of its own", () => {
  const from = new Document(example("subgraphs.workflow"));
  const to = new Document(example("subgraphs.workflow"));
  to.transact("Rename", (tx) => tx.set("root", "", ["definitions", "subgraphs", 1, "name"], "Another"));
  const [key] = carry(from, ["2"], to);
  const { subgraphs } = to.graph.record.definitions;
  assert.deepEqual(
    subgraphs.map((/** @type {any} */ each) => each.name),
    ["Soften twice", "Another", "Soften twice", "Soften"],
  );
  assert.equal(to.graph.node(key)?.type, subgraphs[2].id);
  assert.equal(subgraphs[2].nodes[0].type, subgraphs[3].id);
  assert.notEqual(subgraphs[3].id, "inner-id");
});

test("a group node brings what it is made of", () => {
  const from = new Document(example("group_nodes.workflow"));
  const to = empty();
  carry(from, ["2"], to);
  assert.deepEqual(Object.keys(to.graph.record.extra.groupNodes), ["Blur and batch"]);
});

test("nodes that ComfyUI's editor copied are read, older ones too", () => {
  const nodes = [
    { id: 7, type: "LoadImage", pos: [5, 5], outputs: [{ name: "IMAGE", type: "IMAGE", links: [3] }] },
    { id: 9, type: "SaveImage", pos: [300, 5], inputs: [{ name: "images", type: "IMAGE", link: 3 }] },
  ];
  const link = { id: 3, origin_id: 7, origin_slot: 0, target_id: 9, target_slot: 0, type: "IMAGE" };
  const texts = [
    clipFromHtml(
      `<meta charset="utf-8">${clipHtml(JSON.stringify({ nodes, links: [link], groups: [], reroutes: [] }))} ü`,
    ),
    JSON.stringify({ nodes, links: [[0, 0, 1, 0, 7]] }),
  ];
  for (const text of texts) {
    const clip = readClip(text);
    const doc = empty();
    doc.transact("Paste", (tx) => paste(tx, /** @type {any} */ (clip), null));
    assert.deepEqual(
      [...doc.graph.links.values()].map((each) => [each.origin_id, each.target_id]),
      [[1, 2]],
    );
  }
});

test("words of any language travel as HTML", () => {
  assert.equal(clipFromHtml(clipHtml('{"nodes": ["ü 日本 \u{1F600}"]}')), '{"nodes": ["ü 日本 \u{1F600}"]}');
  assert.equal(clipFromHtml("<b>data</b>"), "");
});

test("a whole workflow, a prompt and other text are no clips", () => {
  for (const text of [
    JSON.stringify(example("mute.workflow")),
    JSON.stringify(example("mute.prompt")),
    "hello",
    "{broken",
    '{"nodes": []}',
    '{"nodes": [null, 5]}',
    '{"nodes": {}}',
  ])
    assert.equal(readClip(text), null, text.slice(0, 40));
});

test("odd clips do no harm", () => {
  const text =
    '{"nodes": [{"id": 1, "type": "A"}], "links": [null, [1], {"id": 1}, 5], "groups": [{}], "reroutes": [3, {}], "subgraphs": [null, {}]}';
  const doc = empty();
  const keys = doc.transact("Paste", (tx) => paste(tx, /** @type {any} */ (readClip(text)), null));
  assert.deepEqual(keys, ["1"]);
});
