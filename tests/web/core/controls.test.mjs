import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { setWidget, widgetsOf, widgetValue } from "../../../web/core/nodes/widgets.js";
import { advanceControls } from "../../../web/core/run/controls.js";
import { Session } from "../../../web/view/session.js";

const read = (/** @type {string} */ name) =>
  parseJson(readFileSync(new URL(`../../data/workflows/${name}`, import.meta.url), "utf8"));
const definitions = readDefinitions(read("classes.json"));

/** A sampler on its own, one inside a subgraph with the seed promoted, one with it left inside, and a primitive there. */
function record() {
  const sampler = (/** @type {number} */ id, /** @type {any[]} */ values, /** @type {number | null} */ link) => ({
    id,
    type: "KSampler",
    pos: [0, 0],
    mode: 0,
    inputs: [{ name: "seed", type: "INT", link, widget: { name: "seed" } }],
    outputs: [],
    widgets_values: values,
  });
  const inner = {
    id: "inner",
    name: "Draw",
    inputs: [{ name: "noise", type: "INT", linkIds: [1] }],
    outputs: [],
    nodes: [
      sampler(1, [0, "increment", 20], 1),
      sampler(2, [50, "decrement", 20], null),
      sampler(3, [7, "randomize", 20], 2),
      {
        id: 4,
        type: "PrimitiveNode",
        pos: [0, 0],
        outputs: [{ name: "INT", type: "INT", links: [2] }],
        widgets_values: [70, "increment"],
      },
    ],
    links: [
      { id: 1, origin_id: -10, origin_slot: 0, target_id: 1, target_slot: 0, type: "INT" },
      { id: 2, origin_id: 4, origin_slot: 0, target_id: 3, target_slot: 0, type: "INT" },
    ],
  };
  const instance = (/** @type {number} */ id, /** @type {any[]} */ values) => ({
    id,
    type: "inner",
    pos: [0, 0],
    mode: 0,
    inputs: [],
    outputs: [],
    widgets_values: values,
  });
  return {
    version: 0.4,
    last_node_id: 9,
    last_link_id: 9,
    nodes: [
      sampler(1, [5, "increment", 20], null),
      instance(2, [100]),
      instance(3, [200]),
      sampler(4, [9, "fixed"], null),
    ],
    links: [],
    definitions: { subgraphs: [inner] },
  };
}

function opened() {
  const session = new Session(new Document(record()), definitions);
  const advance = (/** @type {any} */ options) =>
    advanceControls(session.document, (node) => session.definitionFor(node), session.ran, options);
  const seeds = () => {
    const prompt = compilePrompt(session.document.graph, session.definitions);
    return Object.fromEntries(Object.entries(prompt).map(([id, entry]) => [id, entry.inputs.seed]));
  };
  return { session, advance, seeds };
}

const FIRST = { 1: 5, "2:1": 100, "2:2": 50, "2:3": 70, "3:1": 200, "3:2": 50, "3:3": 70, 4: 9 };
const SECOND = { 1: 6, "2:1": 101, "2:2": 49, "2:3": 71, "3:1": 201, "3:2": 49, "3:3": 71, 4: 9 };

test("what a file brings runs first; then every seed changes by its control, inside subgraphs too", () => {
  const { advance, seeds, session } = opened();
  advance({});
  assert.deepEqual(seeds(), FIRST);
  advance({});
  assert.deepEqual(seeds(), SECOND);
  const [inner] = session.document.graph.record.definitions.subgraphs;
  assert.equal(inner.nodes[0].widgets_values[0], 0);
  assert.equal(session.document.history.done.length, 0);
});

test("an instance without a value of its own shows and runs the one inside", () => {
  const { session, advance, seeds } = opened();
  const node = () => /** @type {any} */ (session.document.graph.node(2));
  session.document.transact("Clear", (tx) => tx.set("node", 2, ["widgets_values"], []));
  const [noise] = widgetsOf(node(), session.definitionFor(node()));
  session.document.transact("Inner", (tx) =>
    tx.set("root", "", ["definitions", "subgraphs", 0, "nodes", 0, "widgets_values", 0], 33),
  );
  session.recatalogue(definitions);
  const [now] = widgetsOf(node(), session.definitionFor(node()));
  assert.deepEqual([widgetValue(node(), noise), widgetValue(node(), now), seeds()["2:1"]], [0, 33, 33]);
  advance({});
  advance({});
  assert.deepEqual([node().widgets_values, seeds()["2:1"]], [[34], 34]);
});

test("before every run, or after it, as ComfyUI's editor can be told to", () => {
  const before = opened();
  before.advance({ mode: "before", moment: "before" });
  assert.deepEqual(before.seeds(), SECOND);
  before.advance({ mode: "before", moment: "after" });
  assert.deepEqual(before.seeds(), SECOND);
  const after = opened();
  after.advance({ mode: "after", moment: "before" });
  assert.deepEqual(after.seeds(), FIRST);
  after.advance({ mode: "after", moment: "after" });
  assert.deepEqual(after.seeds(), SECOND);
});

test("a drawn seed stays within what every reader holds exactly", () => {
  const { advance, session } = opened();
  session.document.transact("Control", (tx) => tx.set("node", 1, ["widgets_values", 1], "randomize"));
  advance({ mode: "before", random: () => 0.999999 });
  const seed = Number(session.document.graph.node(1)?.widgets_values?.[0]);
  assert.ok(Number.isSafeInteger(seed) && seed > 2 ** 49 && seed <= 2 ** 50);
});

test("values beside names are kept in step, and a list without a place for a widget is written anew", () => {
  const doc = new Document({
    nodes: [
      { id: 1, type: "KSampler", pos: [0, 0], widgets_values: [3, 4], widgets_values_named: { steps: 3, seed: 4 } },
      { id: 2, type: "KSampler", pos: [0, 0], widgets_values: [7, 30, 3.5] },
    ],
    links: [],
    version: 0.4,
  });
  const start = stringifyJson(doc.toRecord());
  const def = definitions.get("KSampler");
  const node = (/** @type {number} */ id) => /** @type {any} */ (doc.graph.node(id));
  const widget = (/** @type {number} */ id, /** @type {string} */ name) =>
    /** @type {any} */ (widgetsOf(node(id), def).find((each) => each.name === name));
  doc.transact("Set", (tx) => setWidget(tx, 1, widget(1, "seed"), 5, def));
  assert.deepEqual([node(1).widgets_values, node(1).widgets_values_named], [[3, 5], { steps: 3, seed: 5 }]);
  doc.transact("Set", (tx) => setWidget(tx, 1, widget(1, "cfg"), 6.5, def));
  assert.deepEqual(node(1).widgets_values, [5, "fixed", 3, 6.5, "euler", "simple", 1]);
  assert.equal(widgetValue(node(2), widget(2, "steps")), 30);
  doc.transact("Set", (tx) => setWidget(tx, 2, widget(2, "control_after_generate"), "increment", def));
  assert.deepEqual(node(2).widgets_values, [7, "increment", 30, 3.5, "euler", "simple", 1]);
  while (doc.undo());
  assert.equal(stringifyJson(doc.toRecord()), start);
});
