import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { advanceControls } from "../../../web/core/run/prepare.js";
import { Session } from "../../../web/view/session.js";
import { defaultRecord, definitions, random } from "./fixtures.mjs";
import { drawer, OPERATIONS } from "./operations.mjs";

const STEPS = 10_000;
const MOST_NODES = 70;

/** A graph with something of everything: subgraphs, groups, points, keys that nobody knows, titles between other keys. */
function richRecord() {
  const path = new URL("../../data/workflows/subgraphs.workflow.json", import.meta.url);
  const record = parseJson(readFileSync(path, "utf8"));
  const more = defaultRecord();
  for (const node of more.nodes)
    record.nodes.push({ title: "Mine", color: "#222", bgcolor: "#333", ...node, id: node.id + 40 });
  for (const [id, from, output, to, input, type] of more.links)
    record.links.push([id + 40, from + 40, output, to + 40, input, type]);
  for (const node of record.nodes.slice(-more.nodes.length)) {
    for (const input of node.inputs ?? []) if (input.link != null) input.link += 40;
    for (const output of node.outputs ?? []) output.links = output.links?.map((id) => id + 40) ?? null;
  }
  record.nodes[0].somebodys = { deep: [1, { two: null }] };
  record.nodes[1].widgets_values_named = { first: 11, name: "x" };
  record.groups = [
    { title: "Old", bounding: [0, 0, 500, 500], color: "#3f789e", font_size: 24, flags: {}, unknown: 1 },
  ];
  record.extra = {
    ...record.extra,
    reroutes: [{ id: 4, pos: [5, 5], linkIds: [41] }],
    linkExtensions: [{ id: 41, parentId: 4 }],
  };
  record.trailing = { of: "a pack" };
  return record;
}

function richSession() {
  const session = new Session(new Document(richRecord()), definitions());
  session.document.subscribe((change) => session.scene.update(change));
  return session;
}

/** A link is in three places; they must agree. */
function assertSound({ nodes, links, reroutes }) {
  for (const link of links.values()) {
    assert.equal(nodes.get(String(link.target_id))?.inputs?.[link.target_slot]?.link, link.id);
    assert.ok(nodes.get(String(link.origin_id))?.outputs?.[link.origin_slot]?.links?.includes(link.id));
    if (link.parentId != null) assert.ok(reroutes.has(link.parentId), `link ${link.id} hangs on a point that is gone`);
  }
  for (const node of nodes.values()) {
    for (const input of node.inputs ?? []) if (input.link != null) assert.ok(links.has(input.link));
    for (const id of (node.outputs ?? []).flatMap((output) => output.links ?? [])) assert.ok(links.has(id));
  }
}

test("ten thousand steps of everything one can do, undone and done again, to the byte", () => {
  const session = richSession();
  const { document } = session;
  const text = () => stringifyJson(document.toRecord());
  const copy = new Document(richRecord());
  document.subscribe((_, patches) => copy.replay(parseJson(stringifyJson(patches))));
  const draw = drawer(random(7));
  const names = Object.keys(OPERATIONS);
  const start = text();
  const inner = stringifyJson(document.graph.record.definitions);
  const done = new Map(names.map((name) => [name, 0]));
  /** @type {Map<number, string>} */
  const stations = new Map();
  while (document.history.done.length < STEPS) {
    const { size } = document.graph.nodes;
    const name = size > MOST_NODES ? "remove" : size < 8 ? "add" : draw.pick(names);
    const before = document.history.done.length;
    OPERATIONS[name](session, draw);
    document.history.seal();
    const now = document.history.done.length;
    if (now > before) done.set(name, done.get(name) + 1);
    if (now > before && now % 500 === 0) {
      assertSound(document.graph);
      stations.set(now, text());
    }
  }
  const end = text();
  for (const [name, count] of done) assert.ok(count >= 20, `${name} happened ${count} times only`);
  assert.ok(document.history.done.every((entry) => entry.label.length > 0));
  assert.equal(stringifyJson(document.graph.record.definitions), inner);
  assert.equal(stringifyJson(copy.toRecord()), end);
  assert.notEqual(end, start);

  while (document.undo()) {
    const station = stations.get(document.history.done.length);
    if (station) assert.equal(text(), station);
  }
  assert.equal(text(), start);
  while (document.redo()) {
    const station = stations.get(document.history.done.length);
    if (station) assert.equal(text(), station);
  }
  assert.equal(text(), end);
  assert.equal(stringifyJson(copy.toRecord()), end);
});

test("seeds that change with a run are no steps and stand in the way of none", () => {
  const session = richSession();
  const { document } = session;
  const seed = () => document.graph.node(43)?.widgets_values?.[0];
  document.transact("Set control", (tx) => tx.set("node", 43, ["widgets_values", 1], "increment"));
  const first = seed();
  document.transact("Set seed", (tx) => tx.set("node", 43, ["widgets_values", 0], 100));
  const ran = new Map();
  for (let run = 0; run < 3; run += 1) advanceControls(document, (node) => session.definitionFor(node), ran);
  assert.equal(seed(), 102);
  assert.equal(document.history.done.length, 2);
  document.undo();
  assert.equal(seed(), first);
  document.redo();
  assert.equal(seed(), 100);
});
