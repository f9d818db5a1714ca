import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { insideOf } from "../../../web/core/doc/inner.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { connect, connectWidget, disconnect } from "../../../web/core/graph/links.js";
import { movePort, portAt, removePort, renamePort } from "../../../web/core/graph/ports.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { withoutUnused } from "../../../web/core/graph/subgraphs.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { widgetsOf, widgetValue } from "../../../web/core/nodes/widgets.js";
import { addFromSearch, duplicate, pasteText, copyText, removeSelection } from "../../../web/ui/actions.js";
import { choiceOfFields, fieldsOf, toggleField } from "../../../web/ui/shown_fields.js";
import { packSelection, unpackSelection } from "../../../web/ui/subgraph_actions.js";
import { levelsTo } from "../../../web/view/level.js";
import { Session } from "../../../web/view/session.js";
import { defaultRecord, definitions, random } from "./fixtures.mjs";
import { drawer, OPERATIONS } from "./operations.mjs";

const example = (/** @type {string} */ name) =>
  parseJson(readFileSync(new URL(`../../data/workflows/${name}.json`, import.meta.url), "utf8"));
const classes = () => new Map([...definitions(), ...readDefinitions(example("classes"))]);

/** The example: two instances of "Soften twice", which holds two of "Soften", which holds a blur. */
function opened(record = example("subgraphs.workflow")) {
  const session = new Session(new Document(record), classes());
  session.document.subscribe((change) => session.scene.update(change));
  return session;
}

/** The session of an inside, as the editor shows it. */
function inside(session, ...ids) {
  const levels = levelsTo(session, ids);
  assert.equal(levels.length, ids.length + 1);
  const level = levels[ids.length];
  level.document.subscribe((change) => level.scene.update(change));
  return level;
}

const text = (session) => stringifyJson(session.document.toRecord());
const written = (session, id) =>
  session.document.toRecord().definitions.subgraphs.find((/** @type {any} */ each) => each.id === id);
const node = (session, id) => session.document.graph.node(id);
const names = (slots) => slots.map((slot) => slot.name);

test("to open an inside changes nothing, and what is moved there comes back to the byte", () => {
  const session = opened();
  const before = text(session);
  const level = inside(session, "2", "5");
  assert.deepEqual([...level.document.graph.nodes.keys()].slice(-2).sort(), ["-10", "-20"]);
  assert.equal(text(session), before);
  const [first] = level.document.graph.nodes.keys();
  level.document.transact("Move", (tx) => [first, -10].forEach((id) => tx.set("node", id, ["pos"], [11, 22])));
  assert.deepEqual(written(session, "inner-id").inputNode.bounding.slice(0, 2), [11, 22]);
  assert.deepEqual(session.document.history.done.at(-1)?.place, "2:5");
  level.document.undo();
  assert.equal(text(session), before);
});

test("what is joined to the fresh socket becomes an input, of every instance at once", () => {
  const session = opened();
  const before = text(session);
  const level = inside(session, "2", "5");
  const { graph } = level.document;
  const [blur] = [...graph.nodes.values()].filter((each) => each.type === "ImageBlur");
  const widget = widgetsOf(blur, level.definitionFor(blur)).find((each) => each.name === "sigma");
  assert.ok(widget);
  const fresh = () => ({ node: -10, slot: graph.node(-10).outputs.length - 1 });
  level.document.transact("Connect", (tx) =>
    connectWidget(tx, fresh(), blur.id, "sigma", level.definition("ImageBlur")),
  );
  const { inputs } = written(session, "inner-id");
  assert.deepEqual(names(inputs), ["picture", "strength", "sigma"]);
  assert.match(inputs[2].id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(inputs[2].linkIds, [written(session, "inner-id").links.at(-1).id]);
  assert.equal(graph.node(-10).outputs.at(-1).fresh, true);
  const outer = written(session, "outer-id").nodes.filter((each) => each.type === "inner-id");
  assert.equal(outer.length, 2);
  const value = widgetValue(blur, widget);
  for (const each of outer) {
    assert.deepEqual(each.inputs.at(-1), { name: "sigma", type: "FLOAT", link: null, widget: { name: "sigma" } });
    assert.equal(each.widgets_values.at(-1), value);
  }
  assert.ok(session.definition("inner-id")?.widgets.some((each) => each.name === "sigma"));
  session.document.undo();
  assert.equal(text(session), before);
  assert.equal(session.document.history.done.length, 0);
});

test("an input that goes takes links and values of all instances with it, and no others", () => {
  const session = opened();
  const before = text(session);
  const prompt = () => compilePrompt(session.document.graph, session.definitions);
  const level = inside(session, "2");
  level.document.transact("Remove input", (tx) => removePort(tx, "inputs", 1));
  const { graph } = session.document;
  assert.deepEqual(node(session, 2).widgets_values, ["%date:yyyy%_first"]);
  assert.deepEqual(names(node(session, 3).inputs), ["in"]);
  assert.equal(graph.links.has(3), false);
  assert.equal(node(session, 4).outputs[0].links, null);
  assert.equal(prompt()["2:7"].inputs.filename_prefix, "%date:yyyy%_first");
  // What the instance of the inner one said is now what runs.
  assert.equal(prompt()["2:5:1"]?.inputs.blur_radius ?? prompt()["2:5:4"]?.inputs.blur_radius, 6);
  session.document.undo();
  assert.equal(text(session), before);
});

test("inputs in another order keep their links and values", () => {
  const session = opened();
  const before = text(session);
  const prompt = () => stringifyJson(compilePrompt(session.document.graph, session.definitions));
  const runs = prompt();
  const level = inside(session, "2");
  level.document.transact("Move input", (tx) => movePort(tx, "inputs", 2, 0));
  assert.deepEqual(names(written(session, "outer-id").inputs), ["name", "in", "first"]);
  assert.deepEqual(node(session, 2).widgets_values, ["%date:yyyy%_first", 11]);
  level.document.transact("Move output", (tx) => movePort(tx, "outputs", 1, 0));
  assert.deepEqual(names(written(session, "outer-id").outputs), ["same", "out"]);
  assert.equal(prompt(), runs);
  level.document.transact("Move", (tx) => movePort(tx, "inputs", 0, 9));
  session.document.undo();
  session.document.undo();
  assert.equal(text(session), before);
});

test("a name is a label: links and values go on by the old one", () => {
  const session = opened();
  const level = inside(session, "2");
  level.document.transact("Rename input", (tx) => renamePort(tx, "inputs", 0, "picture"));
  level.document.transact("Rename output", (tx) => renamePort(tx, "outputs", 0, "soft"));
  const { inputs, outputs } = written(session, "outer-id");
  assert.deepEqual([inputs[0].name, inputs[0].label, outputs[0].label], ["in", "picture", "soft"]);
  for (const id of [2, 3, 10, 12]) {
    assert.equal(node(session, id).inputs[0].label, "picture");
    assert.equal(node(session, id).outputs[0].label, "soft");
  }
  level.document.transact("Rename input", (tx) => renamePort(tx, "inputs", 0, "in"));
  assert.equal("label" in node(session, 2).inputs[0], false);
  assert.equal(portAt(level.document.graph.node(-10), 3), null);
  assert.equal(portAt(node(session, 2), 0), null);
});

test("a deep input that goes is gone from all levels that had it through this one alone", () => {
  const session = opened();
  const before = text(session);
  const level = inside(session, "2", "5");
  level.document.transact("Remove input", (tx) => removePort(tx, "inputs", 1));
  const outer = written(session, "outer-id");
  assert.deepEqual(outer.nodes.find((each) => each.id === 5).inputs, [{ name: "picture", type: "IMAGE", link: 1 }]);
  assert.equal(outer.links.some((link) => link.id === 2), false);
  assert.deepEqual(outer.inputs[1].linkIds, []);
  assert.deepEqual(names(outer.inputs), ["in", "first", "name"]);
  assert.deepEqual(node(session, 2).widgets_values, ["%date:yyyy%_first"]);
  session.document.undo();
  assert.equal(text(session), before);
});

test("a cut link is a step of the whole document, in the place where it was done", () => {
  const session = opened();
  const level = inside(session, "2");
  const places = [];
  session.document.onTravel = (place) => places.push(place);
  level.document.select(["7"]);
  level.document.transact("Disconnect", (tx) => disconnect(tx, 4));
  session.document.transact("Move", (tx) => tx.set("node", 1, ["pos"], [0, 0]));
  level.document.select([]);
  assert.equal(session.document.undo(), "Move");
  assert.equal(session.document.undo(), "Disconnect");
  assert.deepEqual([...level.document.selection], ["7"]);
  session.document.redo();
  assert.deepEqual(places, ["", "2", "2"]);
  assert.equal(insideOf(session.document, ["2"]), level.document);
  assert.equal(insideOf(session.document, ["1"]), null);
});

/** A prompt without the ids: what runs, from what. */
function shape(prompt) {
  const seen = new Map();
  const say = (id) => {
    if (!seen.has(id)) {
      const { class_type, inputs } = prompt[id];
      const said = Object.entries(inputs)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => [name, Array.isArray(value) ? [say(value[0]), value[1]] : value]);
      seen.set(id, stringifyJson([class_type, said]));
    }
    return seen.get(id);
  };
  return Object.keys(prompt).map(say).sort();
}

const shapeOf = (session) => shape(compilePrompt(session.document.graph, session.definitions));

test("nodes go into a subgraph and out again, and what runs is the same", () => {
  const session = opened(defaultRecord());
  const before = text(session);
  const runs = shapeOf(session);
  session.document.select(["3", "5", "8"]);
  const id = packSelection(session);
  const [definition] = session.document.toRecord().definitions.subgraphs;
  assert.deepEqual(names(definition.inputs), ["model", "positive", "negative", "vae"]);
  assert.deepEqual(names(definition.outputs), ["IMAGE"]);
  assert.deepEqual(definition.nodes.map((each) => each.id).sort(), [3, 5, 8]);
  assert.deepEqual(definition.nodes[0].pos, defaultRecord().nodes.find((each) => each.id === definition.nodes[0].id).pos);
  for (const key of ["version", "state", "revision", "config", "inputNode", "outputNode", "widgets", "groups", "extra"])
    assert.ok(key in definition, key);
  assert.deepEqual(shapeOf(session), runs);
  assert.deepEqual(shapeOf(opened(JSON.parse(text(session)))), runs);
  unpackSelection(session);
  assert.equal(session.document.graph.node(id), undefined);
  assert.equal(session.document.graph.nodes.size, 7);
  assert.deepEqual(shapeOf(session), runs);
  assert.deepEqual(withoutUnused(session.document.toRecord(), []).definitions.subgraphs, []);
  session.document.undo();
  session.document.undo();
  assert.equal(text(session), before);
  session.document.redo();
  assert.deepEqual(shapeOf(session), runs);
});

test("instances with values of their own, nested and joined, unpack to what they were", () => {
  const session = opened();
  const runs = shapeOf(session);
  for (const id of ["2", "3"]) {
    session.document.select([id]);
    unpackSelection(session);
    assert.deepEqual(shapeOf(session), runs);
  }
  const level = inside(session, [...session.document.graph.nodes.values()].find((each) => each.type === "inner-id").id);
  assert.ok(level);
  for (let round = 0; round < 2; round += 1) {
    session.document.select([...session.document.graph.nodes.keys()]);
    unpackSelection(session);
  }
  assert.ok([...session.document.graph.nodes.values()].every((each) => !session.hasInside(each.type)));
  // Muted and bypassed instances come out as muted and bypassed nodes, of which a passage through is another thing.
  assert.ok(runs.filter((each) => shapeOf(session).includes(each)).length >= runs.length - 1);
  while (session.document.undo());
  assert.equal(text(session), stringifyJson(example("subgraphs.workflow")));
});

test("a node between the selected ones is named, and nothing is changed", () => {
  const session = opened(defaultRecord());
  const before = text(session);
  session.document.select(["4", "3"]);
  assert.throws(() => packSelection(session), /Prompt \(6\)|Negative prompt \(7\)/);
  session.document.select([]);
  assert.throws(() => packSelection(session), /needs nodes/);
  assert.equal(text(session), before);
});

test("a subgraph is no part of itself", () => {
  const session = opened();
  session.document.select(["2"]);
  const clip = copyText(session);
  const level = inside(session, "2");
  const deep = inside(session, "2", "5");
  assert.throws(() => pasteText(deep, clip, [0, 0]), /cannot hold itself/);
  const outer = session.definition("outer-id");
  assert.throws(() => addFromSearch(deep, outer, { at: [0, 0], screen: [0, 0] }), /Soften twice contains/);
  assert.equal(session.document.history.done.length, 0);
  assert.equal(level.definitions.has("outer-id"), false);
  assert.equal(level.definitions.has("inner-id"), true);
  assert.equal(deep.definitions.has("inner-id"), false);
  assert.equal(session.definitions.has("outer-id"), true);
});

test("a new instance begins with what is stored inside", () => {
  const session = opened();
  const id = addFromSearch(session, session.definition("outer-id"), { at: [0, 0], screen: [0, 0] });
  const inner = node(inside(session, "2"), 5);
  assert.deepEqual(node(session, id).widgets_values, [inner.widgets_values[0], "inner"]);
  assert.deepEqual(names(node(session, id).inputs), ["in"]);
});

test("borders are no nodes: they are not deleted, copied or muted", () => {
  const session = opened();
  const level = inside(session, "2");
  const before = text(session);
  level.document.select(["-10", "-20"]);
  removeSelection(level);
  duplicate(level);
  OPERATIONS.mute(level, drawer(() => 0.99));
  level.document.select(["-10"]);
  assert.equal(copyText(level), null);
  assert.ok(level.document.graph.node(-10) && level.document.graph.node(-20));
  assert.equal(written(session, "outer-id").nodes.length, 3);
  while (session.document.undo());
  assert.equal(text(session), before);
});

test("a widget shows inside what the instance says", () => {
  const session = opened();
  const level = inside(session, "2", "5");
  const [blur] = [...level.document.graph.nodes.values()].filter((each) => each.type === "ImageBlur");
  const radius = widgetsOf(blur, level.definitionFor(blur)).find((each) => each.name === "blur_radius");
  assert.equal(level.valueOf(blur, radius), 11);
  assert.equal(inside(session, "10", "5").valueOf(blur, radius), 13);
  assert.notEqual(widgetValue(blur, radius), 11);
});

test("results show on the subgraph, and inside of it", () => {
  const session = opened();
  session.problems.set("2:5:9", [{ input: null, message: "no", details: "" }]);
  session.job = /** @type {any} */ ({ state: "running", nodes: new Map([["2:5", { state: "running" }]]), at: "2:5:9" });
  const [level, deep, other] = [inside(session, "2"), inside(session, "2", "5"), inside(session, "3")];
  assert.ok(deep.problems.has("9") && !level.problems.has("9"));
  assert.equal(level.job?.nodes.get("5")?.state, "running");
  assert.deepEqual([level.job?.current, deep.job?.current, other.job?.current], ["5", "9", null]);
  assert.deepEqual(level.local(["2", "2:5", "2:5:9", "25:1"]), ["5", "5:9"]);
  assert.equal(deep.path("9"), "2:5:9");
});

test("three thousand steps inside of subgraphs, undone and done again, to the byte", () => {
  const session = opened(sound(example("subgraphs.workflow")));
  const { document } = session;
  const copy = new Document(sound(example("subgraphs.workflow")));
  document.subscribe((_, patches) => copy.replay(parseJson(stringifyJson(patches))));
  const draw = drawer(random(11));
  const operations = { ...OPERATIONS, ...INSIDE };
  const start = text(session);
  const stations = new Map();
  const done = new Map();
  while (document.history.done.length < 3000) {
    const level = somewhere(session, draw);
    const { size } = level.document.graph.nodes;
    const name = size > 30 ? "remove" : draw.pick(Object.keys(operations));
    const before = document.history.done.length;
    try {
      operations[name](level, draw);
    } catch (error) {
      assert.ok(error instanceof RangeError, error.stack);
    }
    document.history.seal();
    const now = document.history.done.length;
    if (now > before) done.set(name, (done.get(name) ?? 0) + 1);
    if (now > before && now % 250 === 0) stations.set(now, text(session));
    if (now % 50 === 0) for (const graph of [document.graph, ...document.graph.subgraphs.values()]) assertSound(graph);
  }
  for (const name of Object.keys(INSIDE)) assert.ok(done.get(name) > 5, `${name}: ${done.get(name)}`);
  const end = text(session);
  assert.equal(stringifyJson(copy.toRecord()), end);
  compilePrompt(document.graph, session.definitions);
  while (document.undo()) {
    const station = stations.get(document.history.done.length);
    if (station) assert.equal(text(session), station);
  }
  assert.equal(text(session), start);
  while (document.redo()) {
    const station = stations.get(document.history.done.length);
    if (station) assert.equal(text(session), station);
  }
  assert.equal(text(session), end);
  assert.equal(stringifyJson(copy.toRecord()), end);
});

/** The session of an inside, or of the whole, at random. */
function somewhere(session, draw) {
  const way = [];
  for (let { graph } = session.document; draw() < 0.7;) {
    const next = draw.pick([...graph.nodes.values()].filter((each) => graph.subgraphs.has(each.type)));
    if (!next) break;
    way.push(String(next.id));
    graph = graph.subgraphs.get(next.type);
  }
  return levelsTo(session, way)[way.length];
}

/** The example was written by hand: its outputs do not say what they are joined to. */
function sound(record) {
  for (const { nodes, links } of record.definitions.subgraphs) {
    for (const each of nodes) {
      for (const [slot, output] of (each.outputs ?? []).entries()) {
        const own = links.filter((link) => link.origin_id === each.id && link.origin_slot === slot);
        Object.assign(output, { type: "IMAGE", links: own.map(({ id }) => id) });
      }
    }
  }
  return record;
}

/** A link is in three places, and an instance is what its definition says. */
function assertSound(graph) {
  const { nodes, links } = graph;
  for (const link of links.values()) {
    assert.equal(nodes.get(String(link.target_id))?.inputs?.[link.target_slot]?.link, link.id);
    assert.ok(nodes.get(String(link.origin_id))?.outputs?.[link.origin_slot]?.links?.includes(link.id));
  }
  for (const each of nodes.values()) {
    const inner = graph.subgraphs.get(each.type);
    if (!inner) continue;
    const inputs = inner.node(-10).outputs.filter((slot) => !slot.fresh);
    const own = each.inputs.map(({ name }) => name);
    assert.deepEqual(own, names(inputs).filter((name) => own.includes(name)));
    assert.equal(each.outputs.length, inner.node(-20).inputs.length - 1);
  }
}

const joinFresh = (level, draw) => {
  const { graph } = level.document;
  if (!graph.node(-10)) return;
  const other = draw.pick(graph.nodes.keys());
  level.document.transact("Connect", (tx) => {
    if (draw() < 0.5)
      connect(tx, { node: -10, slot: graph.node(-10).outputs.length - 1 }, { node: other, slot: draw.whole(3) });
    else connect(tx, { node: other, slot: draw.whole(2) }, { node: -20, slot: graph.node(-20).inputs.length - 1 });
  });
};
const onPort = (act) => (level, draw) => {
  const { graph } = level.document;
  const side = draw.pick(["inputs", "outputs"]);
  const count = graph.node(-10) ? (side === "inputs" ? graph.node(-10).outputs : graph.node(-20).inputs).length - 1 : 0;
  if (count) level.document.transact("Port", (tx) => act(tx, side, draw.whole(count), draw));
};

/** @type {Record<string, (level: any, draw: any) => void>} */
const INSIDE = {
  joinFresh,
  removePort: onPort((tx, side, slot, draw) => (draw() < 0.5 ? removePort(tx, side, slot) : undefined)),
  movePort: onPort((tx, side, slot, draw) => movePort(tx, side, slot, draw.whole(3))),
  renamePort: onPort((tx, side, slot, draw) => renamePort(tx, side, slot, draw.pick(["a", "", "b"]))),
  showField: (level, draw) => {
    const choice = choiceOfFields(level, draw.pick(level.document.graph.nodes.keys()));
    const field = choice && draw.pick(fieldsOf(choice));
    if (field) toggleField(choice, field);
  },
  pack: (level, draw) => {
    level.document.select([draw.pick(level.document.graph.nodes.keys()), draw.pick(level.document.graph.nodes.keys())]);
    packSelection(level);
  },
  unpack: (level, draw) => {
    const instances = [...level.document.graph.nodes.values()].filter((each) => level.hasInside(each.type));
    if (instances.length < 3) return;
    level.document.select([String(draw.pick(instances).id)]);
    unpackSelection(level);
  },
};
