import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, connectWidget, disconnect, dissolve, feeds, insertOnLink } from "../../../web/core/graph/links.js";
import { addNode, blankNode, removeNodes } from "../../../web/core/graph/nodes.js";
import { addReroute, pointsOf, removeReroute } from "../../../web/core/graph/reroutes.js";
import { alike, compatible, socketShape, typeColour, typeName } from "../../../web/core/graph/slot_types.js";
import { widgetLinked } from "../../../web/core/nodes/widgets.js";
import { defaultDocument, definitions } from "./fixtures.mjs";

/** Every link is in the three places in which a file has it. */
function consistent(graph) {
  for (const link of graph.links.values()) {
    assert.equal(graph.node(link.target_id).inputs[link.target_slot].link, link.id);
    assert.ok(graph.node(link.origin_id).outputs[link.origin_slot].links.includes(link.id));
  }
  for (const node of graph.nodes.values()) {
    for (const input of node.inputs ?? []) assert.ok(input.link == null || graph.links.has(input.link));
    for (const output of node.outputs ?? []) for (const id of output.links ?? []) assert.ok(graph.links.has(id));
  }
}

test("types: case, any, lists", () => {
  assert.ok(compatible("IMAGE", "image"));
  assert.ok(compatible("*", "MODEL"));
  assert.ok(compatible("MASK", "IMAGE,MASK"));
  assert.ok(!compatible("LATENT", "IMAGE"));
  assert.ok(compatible(["a", "b"], "COMBO"));
  assert.ok(compatible("INT", "FLOAT"), "a whole number is a number");
  assert.ok(!compatible("FLOAT", "INT"));
  assert.ok(!alike("INT", "FLOAT"), "what a bypassed node hands on is chosen by equal types");
  assert.equal(typeName(0), "*");
  assert.match(typeColour("SOMETHING_NEW"), /^hsl/);
  assert.equal(typeColour("SOMETHING_NEW"), typeColour("something_new"));
  assert.equal(socketShape("INT"), "diamond");
  assert.equal(socketShape("IMAGE", { isList: true }), "square");
});

test("an input holds one link; joining anew replaces it", () => {
  const doc = defaultDocument();
  const { graph } = doc;
  doc.transact("Join", (tx) => connect(tx, { node: 7, slot: 0 }, { node: 3, slot: 1 }));
  assert.equal(graph.linkInto(3, 1)?.origin_id, 7);
  assert.equal(graph.node(6)?.outputs?.[0].links, null);
  assert.equal(graph.record.last_link_id, 10);
  consistent(graph);
});

test("misfits and rings are refused", () => {
  const doc = defaultDocument();
  doc.transact("Join", (tx) => {
    assert.equal(connect(tx, { node: 4, slot: 0 }, { node: 3, slot: 3 }), null);
    assert.equal(connect(tx, { node: 3, slot: 0 }, { node: 3, slot: 3 }), null);
  });
  assert.ok(feeds(doc.graph, 4, 9));
  assert.ok(!feeds(doc.graph, 9, 4));
  assert.equal(doc.history.undoLabel, "");
});

test("a widget gets its socket when a link comes", () => {
  const doc = defaultDocument();
  const defs = definitions();
  doc.transact("Join", (tx) => {
    const primitive = addNode(tx, /** @type {any} */ (defs.get("PrimitiveNode")), [0, 0]);
    connectWidget(tx, { node: primitive.id, slot: 0 }, 3, "steps", /** @type {any} */ (defs.get("KSampler")));
  });
  const sampler = /** @type {any} */ (doc.graph.node(3));
  assert.ok(widgetLinked(sampler, "steps"));
  assert.deepEqual(sampler.inputs[4].widget, { name: "steps" });
  assert.equal(sampler.inputs[4].type, "INT");
  consistent(doc.graph);
});

test("a node goes into a link, and out of it with the chain kept", () => {
  const doc = defaultDocument();
  const before = JSON.stringify([...doc.graph.links.values()].map((link) => [link.origin_id, link.target_id]).sort());
  const blur = doc.transact("Insert", (tx) => {
    const node = addNode(tx, /** @type {any} */ (definitions().get("ImageBlur")), [0, 0]);
    assert.ok(insertOnLink(tx, 9, node.id));
    return node;
  });
  assert.equal(doc.graph.linkInto(9, 0)?.origin_id, blur.id);
  consistent(doc.graph);
  doc.transact("Delete", (tx) => removeNodes(tx, [blur.id], { keepChain: true }));
  consistent(doc.graph);
  assert.equal(
    JSON.stringify([...doc.graph.links.values()].map((link) => [link.origin_id, link.target_id]).sort()),
    before,
  );
});

test("dissolve joins only what fits", () => {
  const doc = defaultDocument();
  doc.transact("Delete", (tx) => {
    dissolve(tx, 8);
    disconnect(tx, 7);
  });
  assert.equal(doc.graph.linkInto(9, 0), undefined);
  consistent(doc.graph);
});

test("reroute points come and go on a link", () => {
  const doc = defaultDocument();
  doc.transact("Point", (tx) => {
    addReroute(tx, 9, [10, 10], 0);
    addReroute(tx, 9, [20, 20], 1);
    addReroute(tx, 9, [15, 15], 1);
  });
  const link = /** @type {any} */ (doc.graph.links.get(9));
  assert.deepEqual(
    pointsOf(doc.graph, link).map((point) => point.pos[0]),
    [10, 15, 20],
  );
  const saved = doc.toRecord();
  assert.equal(saved.extra.reroutes.length, 3);
  assert.deepEqual(saved.extra.linkExtensions, [{ id: 9, parentId: link.parentId }]);
  doc.transact("Remove", (tx) => removeReroute(tx, 3));
  assert.deepEqual(
    pointsOf(doc.graph, link).map((point) => point.pos[0]),
    [10, 20],
  );
  doc.transact("Cut", (tx) => disconnect(tx, 9));
  assert.equal(doc.graph.reroutes.size, 0);
});

test("a new node has the class's sockets, sizes and defaults", () => {
  const node = blankNode(/** @type {any} */ (definitions().get("KSampler")), [10.4, 20.6]);
  assert.deepEqual(node.pos, [10, 21]);
  assert.deepEqual(
    node.inputs?.map((input) => input.name),
    ["model", "positive", "negative", "latent_image"],
  );
  assert.deepEqual(node.widgets_values, [0, "randomize", 20, 8, "euler", "simple", 1]);
});
