import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { apiToWorkflow } from "../../../web/core/format/api_prompt.js";
import { connect, connectWidget, insertOnLink } from "../../../web/core/graph/links.js";
import { addNode } from "../../../web/core/graph/nodes.js";
import { bypassInput, compilePrompt } from "../../../web/core/graph/prompt.js";
import { defaultDocument, defaultPrompt, definitions } from "./fixtures.mjs";

const defs = definitions();
const def = (/** @type {string} */ id) => /** @type {any} */ (defs.get(id));

/** The default document with a blur before the save node; returns its id. */
function withBlur(mode) {
  const doc = defaultDocument();
  const blur = doc.transact("Insert", (tx) => {
    const node = addNode(tx, def("ImageBlur"), [0, 0]);
    insertOnLink(tx, 9, node.id);
    tx.set("node", node.id, ["mode"], mode);
    return node;
  });
  return { doc, id: String(blur.id) };
}

test("the default graph is its prompt", () => {
  const prompt = compilePrompt(defaultDocument().graph, defs);
  const expected = defaultPrompt();
  for (const entry of Object.values(expected)) delete entry._meta;
  const bare = Object.fromEntries(
    Object.entries(prompt).map(([id, { inputs, class_type }]) => [id, { inputs, class_type }]),
  );
  assert.deepEqual(bare, expected);
  assert.equal(prompt[6]._meta.title, "Prompt");
});

test("and a prompt becomes the same graph again", () => {
  const doc = new Document(apiToWorkflow(defaultPrompt(), defs));
  const prompt = compilePrompt(doc.graph, defs);
  for (const [id, entry] of Object.entries(defaultPrompt())) assert.deepEqual(prompt[id].inputs, entry.inputs);
  const places = new Set([...doc.graph.nodes.values()].map((node) => String(node.pos)));
  assert.equal(places.size, 7);
});

test("a bypassed node is seen through, a muted one takes its followers' inputs", () => {
  const bypassed = withBlur(4);
  const prompt = compilePrompt(bypassed.doc.graph, defs);
  assert.ok(!(bypassed.id in prompt));
  assert.deepEqual(prompt[9].inputs.images, ["8", 0]);
  const muted = compilePrompt(withBlur(2).doc.graph, defs);
  assert.ok(!("images" in muted[9].inputs));
});

test("which input a bypassed node passes on", () => {
  const node = /** @type {any} */ ({
    inputs: [{ type: "CLIP" }, { type: "MODEL" }],
    outputs: [{ type: "MODEL" }, { type: "CLIP" }],
  });
  assert.equal(bypassInput(node, 0, "MODEL"), 1);
  assert.equal(bypassInput(node, 1, "CLIP"), 0);
  assert.equal(bypassInput(node, 0, "VAE"), -1);
  assert.equal(bypassInput(node, 1, "*"), 1);
});

test("reroutes and primitives dissolve", () => {
  const doc = defaultDocument();
  doc.transact("Wire", (tx) => {
    const reroute = addNode(tx, def("Reroute"), [0, 0]);
    insertOnLink(tx, 1, reroute.id);
    const value = addNode(tx, def("PrimitiveNode"), [0, 0]);
    tx.set("node", value.id, ["widgets_values"], [33, "fixed"]);
    connectWidget(tx, { node: value.id, slot: 0 }, 3, "steps", def("KSampler"));
    addNode(tx, def("Note"), [0, 0]);
  });
  const prompt = compilePrompt(doc.graph, defs);
  assert.deepEqual(Object.keys(prompt).sort(), ["3", "4", "5", "6", "7", "8", "9"]);
  assert.deepEqual(prompt[3].inputs.model, ["4", 0]);
  assert.equal(prompt[3].inputs.steps, 33);
});

test("lists are wrapped so that they are no links; words go through the caller", () => {
  const doc = defaultDocument();
  doc.transact("Set", (tx) => {
    tx.set("node", 4, ["widgets_values"], [["a", "b"]]);
    tx.set("node", 6, ["widgets_values"], ["{x|y}"]);
  });
  const prompt = compilePrompt(doc.graph, defs, { text: (value) => value.replace("{x|y}", "x") });
  assert.deepEqual(prompt[4].inputs.ckpt_name, { __value__: ["a", "b"] });
  assert.equal(prompt[6].inputs.text, "x");
});

test("values stored by name, and too few values, are understood", () => {
  const doc = defaultDocument();
  doc.transact("Set", (tx) => {
    tx.set("node", 5, ["widgets_values"], { width: 128 });
    tx.set("node", 3, ["widgets_values"], [7, null]);
  });
  const prompt = compilePrompt(doc.graph, defs);
  assert.equal(prompt[5].inputs.width, 128);
  assert.equal(prompt[5].inputs.height, 512);
  assert.equal(prompt[3].inputs.steps, 20);
});

test("a ring raises instead of hanging", () => {
  const doc = defaultDocument();
  doc.transact("Ring", (tx) => {
    const a = addNode(tx, def("Reroute"), [0, 0]);
    const b = addNode(tx, def("Reroute"), [0, 0]);
    connect(tx, { node: a.id, slot: 0 }, { node: b.id, slot: 0 });
    tx.insert("link", 99, { id: 99, origin_id: b.id, origin_slot: 0, target_id: a.id, target_slot: 0, type: "*" });
    tx.set("node", a.id, ["inputs", 0, "link"], 99);
    tx.set("node", 3, ["inputs", 0, "link"], null);
    connect(tx, { node: b.id, slot: 0 }, { node: 3, slot: 0 });
  });
  assert.throws(() => compilePrompt(doc.graph, defs), /ring/);
});

/** Two instances of one definition: blur between its input 0 and its output 0, the radius promoted. */
function subgraphRecord() {
  const io = (/** @type {any} */ name, /** @type {any} */ type) => ({ id: name, name, type, linkIds: [] });
  const definition = {
    id: "sub-1",
    version: 1,
    name: "Soften",
    inputs: [io("image", "IMAGE"), io("blur_radius", "INT")],
    outputs: [io("IMAGE", "IMAGE")],
    nodes: [
      {
        id: 1,
        type: "ImageBlur",
        pos: [0, 0],
        mode: 0,
        widgets_values: [1, 2],
        inputs: [
          { name: "image", type: "IMAGE", link: 1 },
          { name: "blur_radius", type: "INT", link: 3, widget: { name: "blur_radius" } },
        ],
        outputs: [{ name: "IMAGE", type: "IMAGE", links: [2] }],
      },
    ],
    links: [
      { id: 1, origin_id: -10, origin_slot: 0, target_id: 1, target_slot: 0, type: "IMAGE" },
      { id: 2, origin_id: 1, origin_slot: 0, target_id: -20, target_slot: 0, type: "IMAGE" },
      { id: 3, origin_id: -10, origin_slot: 1, target_id: 1, target_slot: 1, type: "INT" },
    ],
  };
  const instance = (
    /** @type {number} */ id,
    /** @type {number} */ link,
    /** @type {number} */ out,
    /** @type {number} */ radius,
  ) => ({
    id,
    type: "sub-1",
    pos: [0, 0],
    mode: 0,
    widgets_values: [radius],
    inputs: [{ name: "image", type: "IMAGE", link }],
    outputs: [{ name: "IMAGE", type: "IMAGE", links: [out] }],
  });
  return {
    version: 0.4,
    last_node_id: 4,
    last_link_id: 3,
    definitions: { subgraphs: [definition] },
    nodes: [
      {
        id: 1,
        type: "LoadImage",
        pos: [0, 0],
        mode: 0,
        widgets_values: ["cat.png", "image"],
        inputs: [],
        outputs: [{ name: "IMAGE", type: "IMAGE", links: [1] }],
      },
      instance(5, 1, 2, 9),
      instance(6, 2, 3, 4),
      {
        id: 9,
        type: "SaveImage",
        pos: [0, 0],
        mode: 0,
        widgets_values: ["p"],
        inputs: [{ name: "images", type: "IMAGE", link: 3 }],
        outputs: [],
      },
    ],
    links: [
      [1, 1, 0, 5, 0, "IMAGE"],
      [2, 5, 0, 6, 0, "IMAGE"],
      [3, 6, 0, 9, 0, "IMAGE"],
    ],
  };
}

test("two instances of one subgraph keep their own values", () => {
  const prompt = compilePrompt(new Document(subgraphRecord()).graph, defs);
  assert.deepEqual(Object.keys(prompt).sort(), ["1", "5:1", "6:1", "9"]);
  assert.equal(prompt["5:1"].inputs.blur_radius, 9);
  assert.equal(prompt["6:1"].inputs.blur_radius, 4);
  assert.deepEqual(prompt["6:1"].inputs.image, ["5:1", 0]);
  assert.deepEqual(prompt["5:1"].inputs.image, ["1", 0]);
  assert.deepEqual(prompt[9].inputs.images, ["6:1", 0]);
});

test("a bypassed instance passes its input on; its inside does not run", () => {
  const record = subgraphRecord();
  record.nodes[1].mode = 4;
  const prompt = compilePrompt(new Document(record).graph, defs);
  assert.ok(!("5:1" in prompt));
  assert.deepEqual(prompt["6:1"].inputs.image, ["1", 0]);
});

test("a long row of reroutes costs no stack", () => {
  const length = 20_000;
  const nodes = Array.from({ length }, (_, at) => ({
    id: at + 1,
    type: at === 0 ? "LoadImage" : at === length - 1 ? "SaveImage" : "Reroute",
    pos: [0, 0],
    inputs: at ? [{ name: at === length - 1 ? "images" : "", type: "*", link: at }] : [],
    outputs: [{ name: "", type: "*", links: [at + 1] }],
  }));
  const links = Array.from({ length: length - 1 }, (_, at) => [at + 1, at + 1, 0, at + 2, 0, "*"]);
  const { graph } = new Document({ nodes, links, version: 0.4 });
  assert.deepEqual(compilePrompt(graph, defs)[String(length)].inputs.images, ["1", 0]);
});

test("a subgraph that contains itself, or doubles itself, is refused before it fills the memory", () => {
  const within = (/** @type {number} */ count) => {
    const inner = Array.from({ length: count }, (_, id) => ({ id, type: "sub", pos: [0, 0], mode: 0 }));
    const definitions = { subgraphs: [{ id: "sub", name: "Endless", nodes: inner, links: [] }] };
    return new Document({ nodes: [{ id: 1, type: "sub", pos: [0, 0] }], links: [], version: 0.4, definitions });
  };
  for (const count of [1, 2, 30])
    assert.throws(() => compilePrompt(within(count).graph, defs), /Endless.*contains itself/);
});
