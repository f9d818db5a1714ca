import assert from "node:assert/strict";
import { test } from "node:test";
import { align, arrange } from "../../../web/core/graph/arrange.js";
import { copySelection, paste, readClip } from "../../../web/core/graph/clipboard.js";
import { addGroup, membersOf } from "../../../web/core/graph/groups.js";
import { depths, executionOrder } from "../../../web/core/graph/topology.js";
import { layoutNode, nodeBox } from "../../../web/core/nodes/layout.js";
import { defaultDocument, definitions } from "./fixtures.mjs";

const defs = definitions();

function boxes(graph) {
  return [...graph.nodes.values()].map((node) => {
    const [x, y, width, height] = nodeBox(node, layoutNode(node, defs.get(node.type)));
    return { id: String(node.id), x, y, width, height };
  });
}

test("sources come before readers", () => {
  const { graph } = defaultDocument();
  const order = executionOrder(graph);
  for (const link of graph.links.values())
    assert.ok(order.indexOf(String(link.origin_id)) < order.indexOf(String(link.target_id)));
  assert.equal(depths(graph).get("9"), 4);
});

test("arranged nodes do not overlap and links run to the right", () => {
  const { graph } = defaultDocument();
  const all = boxes(graph);
  const places = arrange(graph, all);
  for (const a of all) {
    for (const b of all) {
      if (a.id >= b.id) continue;
      const [[ax, ay], [bx, by]] = [places.get(a.id), places.get(b.id)];
      assert.ok(
        ax + a.width <= bx || bx + b.width <= ax || ay + a.height <= by || by + b.height <= ay,
        `${a.id} ${b.id}`,
      );
    }
  }
  for (const link of graph.links.values()) {
    assert.ok(places.get(String(link.origin_id))[0] < places.get(String(link.target_id))[0]);
  }
});

test("align and spread", () => {
  const row = [
    { id: "a", x: 0, y: 0, width: 10, height: 10 },
    { id: "b", x: 50, y: 5, width: 20, height: 30 },
    { id: "c", x: 100, y: 9, width: 10, height: 10 },
  ];
  assert.deepEqual(
    [...align(row, "right").values()].map(([x]) => x),
    [100, 90, 100],
  );
  assert.deepEqual(
    [...align(row, "bottom").values()].map(([, y]) => y),
    [25, 5, 25],
  );
  assert.deepEqual(align(row, "columns").get("b"), [45, 5]);
});

test("copies keep their inner links; outer ones on request", () => {
  const doc = defaultDocument();
  doc.select(["3", "8"]);
  const clip = /** @type {any} */ (readClip(JSON.stringify(copySelection(doc))));
  const made = doc.transact("Paste", (tx) => paste(tx, clip, [0, 0], { outerLinks: true }));
  assert.equal(made.length, 2);
  const decode = /** @type {any} */ (doc.graph.node(made[1]));
  assert.equal(String(doc.graph.linkInto(decode.id, 0)?.origin_id), made[0]);
  assert.equal(doc.graph.linkInto(decode.id, 1)?.origin_id, 4);
  assert.equal(doc.graph.linkInto(made[0], 1)?.origin_id, 6);
  const lonely = doc.transact("Paste", (tx) => paste(tx, clip, null));
  assert.equal(doc.graph.linkInto(lonely[0], 1), undefined);
  assert.equal(readClip("hello"), null);
  assert.equal(readClip("{broken"), null);
});

test("a group knows what is inside it", () => {
  const doc = defaultDocument();
  const boxOf = (/** @type {string} */ id) => {
    const node = /** @type {any} */ (doc.graph.node(id));
    return nodeBox(node, layoutNode(node, defs.get(node.type)));
  };
  const key = doc.transact("Group", (tx) => addGroup(tx, [boxOf("6"), boxOf("7")], [0, 0]));
  assert.deepEqual(membersOf(doc.graph, Number(key.split(":")[1]), boxOf).sort(), ["6", "7"]);
});
