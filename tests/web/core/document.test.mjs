import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { nextId, uuid } from "../../../web/core/doc/ids.js";
import { connect, disconnect } from "../../../web/core/graph/links.js";
import { addNode, removeNodes, toggleMode } from "../../../web/core/graph/nodes.js";
import { defaultDocument, defaultRecord, definitions, random } from "./fixtures.mjs";

test("a file that is opened and saved is the same text", () => {
  const text = JSON.stringify(defaultRecord());
  assert.equal(JSON.stringify(new Document(JSON.parse(text)).toRecord()), text);
});

test("what we do not understand survives, in its place", () => {
  const record = defaultRecord();
  record.nodes[0].somebodys = { deep: [1, { two: null }] };
  record.nodes[2].type = "NodeOfAMissingPack";
  record.nodes[2].widgets_values = { by: "name", list: [1, 2] };
  record.nodes[2].pos = { 0: 1, 1: 2 };
  record.links[0].push("a seventh field");
  record.extra.ue_links = [{ upstream: 5 }];
  record.definitions = { subgraphs: [{ id: "x", nodes: [], links: [], unknown: true }] };
  record.models = [{ name: "a", url: "b" }];
  const text = JSON.stringify(record);
  assert.equal(JSON.stringify(new Document(JSON.parse(text)).toRecord()), text);
});

test("entries that are no nodes are passed over and kept", () => {
  const record = defaultRecord();
  record.nodes.push(
    null,
    "text",
    { type: "NoId" },
    { id: 3, type: "Twice" },
    { id: 99, type: "Odd", inputs: { a: 1 } },
    { id: 98, outputs: [null] },
  );
  const text = JSON.stringify(record);
  const doc = new Document(JSON.parse(text));
  assert.equal(doc.graph.nodes.size, 7);
  assert.equal(JSON.stringify(doc.toRecord()), text);
});

test("version 1 keeps its links as objects, reroutes at the root", () => {
  const record = {
    version: 1,
    state: { lastNodeId: 2, lastLinkId: 1 },
    nodes: [
      { id: 1, type: "A", pos: [0, 0] },
      { id: 2, type: "B", pos: [0, 0] },
    ],
    links: [{ id: 1, origin_id: 1, origin_slot: 0, target_id: 2, target_slot: 0, type: "X", parentId: 4, more: true }],
    reroutes: [{ id: 4, pos: [5, 5], linkIds: [1] }],
  };
  const text = JSON.stringify(record);
  assert.equal(JSON.stringify(new Document(JSON.parse(text)).toRecord()), text);
});

test("null links of old files are passed over", () => {
  const record = defaultRecord();
  record.links.push(null, [1]);
  assert.equal(new Document(record).graph.links.size, 9);
});

test("one gesture is one named step, and undo is exact", () => {
  const doc = defaultDocument();
  const before = JSON.stringify(doc.toRecord());
  for (const x of [1, 2, 3]) doc.transact("Move", (tx) => tx.set("node", 3, ["pos"], [x, 0]), { key: "drag" });
  doc.history.seal();
  doc.transact("Move", (tx) => tx.set("node", 3, ["pos"], [9, 9]), { key: "drag" });
  assert.equal(doc.history.done.length, 2);
  assert.equal(doc.history.undoLabel, "Move");
  doc.undo();
  assert.deepEqual(doc.graph.node(3)?.pos, [3, 0]);
  doc.undo();
  assert.equal(JSON.stringify(doc.toRecord()), before);
  doc.redo();
  assert.deepEqual(doc.graph.node(3)?.pos, [3, 0]);
});

test("a long drag is remembered by its ends only", () => {
  const doc = defaultDocument();
  for (let x = 0; x < 100; x += 1) {
    doc.transact("Move", (tx) => [3, 4].forEach((id) => tx.set("node", id, ["pos"], [x, x + id])), { key: "drag" });
  }
  assert.equal(doc.history.done.length, 1);
  assert.equal(doc.history.done[0].patches.length, 2);
  doc.undo();
  assert.deepEqual(doc.graph.node(3)?.pos, [780, 40]);
  doc.redo();
  assert.deepEqual(doc.graph.node(4)?.pos, [99, 103]);
});

test("an exception takes back the whole transaction", () => {
  const doc = defaultDocument();
  const before = JSON.stringify(doc.toRecord());
  assert.throws(
    () =>
      doc.transact("Broken", (tx) => {
        removeNodes(tx, [3, 4]);
        throw new Error("no");
      }),
    /no/,
  );
  assert.equal(JSON.stringify(doc.toRecord()), before);
  assert.equal(doc.history.undoLabel, "");
});

test("undo brings the selection back and drops the dead", () => {
  const doc = defaultDocument();
  doc.select(["3", "4"]);
  doc.transact("Delete", (tx) => removeNodes(tx, [3]));
  assert.deepEqual([...doc.selection], ["4"]);
  doc.undo();
  assert.deepEqual([...doc.selection], ["3", "4"]);
});

test("a change says which records it touched", () => {
  const doc = defaultDocument();
  /** @type {any[]} */
  const seen = [];
  const stop = doc.subscribe((change) => seen.push(change));
  doc.transact("Cut", (tx) => disconnect(tx, 7));
  stop();
  doc.transact("Cut", (tx) => disconnect(tx, 8));
  assert.equal(seen.length, 1);
  assert.deepEqual([...seen[0].links], ["7"]);
  assert.deepEqual([...seen[0].nodes].sort(), ["3", "8"]);
  assert.equal(seen[0].structure, true);
});

test("ten thousand random edits, then undo all, is the start; redo all is the end", () => {
  const doc = defaultDocument();
  doc.history.push = doc.history.push.bind(doc.history);
  const defs = [...definitions().values()];
  const start = JSON.stringify(doc.toRecord());
  const draw = random(42);
  const pick = (/** @type {any[]} */ list) => list[Math.floor(draw() * list.length)];
  let steps = 0;
  for (let count = 0; count < 10000 && steps < 990; count += 1) {
    const ids = [...doc.graph.nodes.keys()];
    const edit = Math.floor(draw() * 6);
    doc.transact("Edit", (tx) => {
      if (edit === 0 || ids.length < 4) addNode(tx, pick(defs), [draw() * 999, draw() * 999]);
      else if (edit === 1) removeNodes(tx, [pick(ids)], { keepChain: draw() < 0.5 });
      else if (edit === 2) toggleMode(tx, [pick(ids)], 4);
      else if (edit === 3) tx.set("node", pick(ids), ["properties", "note", "deep"], draw());
      else if (edit === 4) tx.set("node", pick(ids), ["title"], draw() < 0.5 ? undefined : String(draw()));
      else
        connect(
          tx,
          { node: pick(ids), slot: Math.floor(draw() * 3) },
          { node: pick(ids), slot: Math.floor(draw() * 4) },
        );
    });
    steps = doc.history.done.length;
  }
  const end = JSON.stringify(doc.toRecord());
  while (doc.undo());
  assert.equal(JSON.stringify(doc.toRecord()), start);
  while (doc.redo());
  assert.equal(JSON.stringify(doc.toRecord()), end);
});

test("patches replay on a copy, as the journal does after a crash", () => {
  const doc = defaultDocument();
  const copy = new Document(JSON.parse(JSON.stringify(doc.toRecord())));
  doc.subscribe((_, patches) => copy.replay(JSON.parse(JSON.stringify(patches))));
  doc.transact("Delete", (tx) => removeNodes(tx, [6], { keepChain: true }));
  doc.transact("Title", (tx) => tx.set("node", 3, ["title"], "Draw"));
  doc.undo();
  doc.redo();
  assert.deepEqual(copy.toRecord(), doc.toRecord());
});

test("ids go on above everything in use", () => {
  assert.equal(nextId(["3", 9, "5:2"], 4), 10);
  assert.equal(nextId([], "nonsense"), 1);
  assert.match(uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
