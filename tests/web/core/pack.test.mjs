import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { stringifyJson } from "../../../web/core/format/json.js";
import { addReroute, leadThrough, pointsOf, sharedPoints } from "../../../web/core/graph/reroutes.js";
import { packSelection, unpackSelection } from "../../../web/ui/subgraph_actions.js";
import { Session } from "../../../web/view/session.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

/** The default graph with points on its links, each with a mark: "a" is shared by both prompts' links. */
function routed() {
  const session = new Session(new Document(defaultRecord()), definitions());
  const { document } = session;
  const mark = (tx, key, name) => tx.set("reroute", key.split(":")[1], ["mark"], name);
  document.transact("Points", (tx) => {
    mark(tx, addReroute(tx, 3, [360, 100], 0), "a");
    mark(tx, addReroute(tx, 3, [380, 120], 1), "b");
    leadThrough(tx, 5, pointsOf(tx.graph, tx.graph.links.get(3)).slice(0, 1));
    mark(tx, addReroute(tx, 5, [450, 300], 1), "c");
    mark(tx, addReroute(tx, 1, [500, -200], 0), "d");
    mark(tx, addReroute(tx, 1, [700, 90], 1), "e");
    mark(tx, addReroute(tx, 7, [900, 100], 0), "f");
    mark(tx, addReroute(tx, 7, [1200, 100], 1), "g");
  });
  return session;
}

const marks = (graph, link) => pointsOf(graph, link).map(({ mark }) => mark).join("");

/** The marks on the links of a graph, by the classes of their ends. */
function ways(graph) {
  const name = (id) => graph.node(id).type.replace(/.{8}-.*/, "instance");
  const all = [...graph.links.values()].map((link) => {
    const way = `${name(link.origin_id)}>${name(link.target_id)}${link.target_slot}`;
    return [way, marks(graph, link)];
  });
  return Object.fromEntries(all.filter(([, way]) => way).sort());
}

/** Every point says which links go through it. */
function assertSound(graph) {
  for (const point of graph.reroutes.values()) {
    const through = [...graph.links.values()].filter((link) => pointsOf(graph, link).includes(point));
    assert.deepEqual([...point.linkIds].sort(), through.map(({ id }) => id).sort(), point.mark);
    assert.ok(through.length, point.mark);
  }
}

test("points on links that cross the border stay, each on its side, and come back", () => {
  const session = routed();
  const { document } = session;
  const before = stringifyJson(document.toRecord());
  const routes = ways(document.graph);
  document.select(["3", "6", "7"]);
  const id = packSelection(session);
  const inner = document.graph.subgraphs.get(document.graph.node(id).type);
  for (const graph of [document.graph, inner]) assertSound(graph);
  assert.deepEqual(ways(document.graph), {
    "CheckpointLoaderSimple>instance0": "d",
    "CheckpointLoaderSimple>instance2": "a",
    "instance>VAEDecode0": "g",
  });
  assert.deepEqual(ways(inner), {
    "KSampler>subgraph outputs0": "f",
    "subgraph inputs>CLIPTextEncode0": "c",
    "subgraph inputs>KSampler0": "e",
  });
  const entering = [...inner.links.values()].map((link) => marks(inner, link)).filter(Boolean).sort();
  assert.deepEqual(entering, ["b", "c", "e", "f"]);
  const stored = document.toRecord().definitions.subgraphs[0];
  assert.equal(stored.reroutes.length, 4);
  assert.ok(stored.reroutes.every(({ parentId }) => parentId === undefined));
  document.select([id]);
  unpackSelection(session);
  assertSound(document.graph);
  assert.deepEqual(ways(document.graph), routes);
  assert.equal(document.graph.reroutes.size, 7);
  document.undo();
  document.undo();
  assert.equal(stringifyJson(document.toRecord()), before);
});

test("a selected point goes inside wherever it is; one that others need stays outside as well", () => {
  const session = routed();
  const { document } = session;
  document.select(["7", "reroute:1"]);
  const id = packSelection(session);
  const inner = document.graph.subgraphs.get(document.graph.node(id).type);
  assert.deepEqual(ways(inner), { "subgraph inputs>CLIPTextEncode0": "ac" });
  assert.equal(ways(document.graph)["CheckpointLoaderSimple>CLIPTextEncode0"], "ab");
  for (const graph of [document.graph, inner]) assertSound(graph);
});

test("a way straight through an instance keeps the points of all three parts", () => {
  const session = routed();
  const { document } = session;
  document.select(["8"]);
  const id = packSelection(session);
  const { type } = document.graph.node(id);
  document.transact("Through", (tx) => {
    const part = tx.within(type);
    const link = { id: 99, origin_id: -10, origin_slot: 0, target_id: -20, target_slot: 0, type: "*" };
    for (const other of [...part.graph.links.keys()]) part.remove("link", other);
    part.insert("link", 99, link);
    part.set("node", -10, ["outputs", 0, "links"], [99]);
    part.set("node", -20, ["inputs", 0, "link"], 99);
    const [, point] = addReroute(part, 99, [0, 0], 0).split(":");
    part.set("reroute", point, ["mark"], "m");
    const [, behind] = addReroute(tx, [...tx.graph.links.values()].find((each) => each.target_id === 9).id, [1300, 80], 0).split(":");
    tx.set("reroute", behind, ["mark"], "z");
  });
  document.select([id]);
  unpackSelection(session);
  assert.equal(ways(document.graph)["KSampler>SaveImage0"], "fmz");
  assertSound(document.graph);
});

test("what ways have in common ends where one is over", () => {
  const [a, b, c] = [1, 2, 3].map((id) => ({ id, pos: [0, 0] }));
  assert.deepEqual(sharedPoints([[a, b, c], [a, b]]), [a, b]);
  assert.deepEqual(sharedPoints([[a, b], [a, b, c]]), [a, b]);
  assert.deepEqual(sharedPoints([[a], [b]]), []);
  assert.deepEqual(sharedPoints([]), []);
});
