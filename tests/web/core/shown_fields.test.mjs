import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { stringifyJson } from "../../../web/core/format/json.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { layoutNode } from "../../../web/core/nodes/layout.js";
import { shownEntries } from "../../../web/core/nodes/shown_fields.js";
import { isLinked, setWidget, widgetsOf } from "../../../web/core/nodes/widgets.js";
import { choiceOfFields, fieldsOf, toggleField } from "../../../web/ui/shown_fields.js";
import { packSelection, unpackSelection } from "../../../web/ui/subgraph_actions.js";
import { levelsTo } from "../../../web/view/level.js";
import { Session } from "../../../web/view/session.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

/** The default graph with its sampler and empty picture in a subgraph, twice. */
function packed() {
  const session = new Session(new Document(defaultRecord()), definitions());
  session.document.select(["3", "5"]);
  const id = packSelection(session);
  return { session, id };
}

const node = (session, id) => session.document.graph.node(id);
const shown = (session, id) => {
  const record = node(session, id);
  return widgetsOf(record, session.definitionFor(record)).filter(({ source }) => source);
};
const toggle = (session, id, wanted) => {
  const choice = choiceOfFields(session, id);
  const field = fieldsOf(choice).find(({ label }) => label.includes(wanted));
  assert.ok(field, fieldsOf(choice).map(({ label }) => label).join());
  toggleField(choice, field);
};
const text = (session) => stringifyJson(session.document.toRecord());

test("a field inside is shown, and is one value with the node inside, in one history", () => {
  const { session, id } = packed();
  const before = text(session);
  toggle(session, id, ": steps");
  toggle(session, id, ": seed");
  assert.deepEqual(node(session, id).properties.proxyWidgets, [["3", "steps"], ["3", "seed"], ["3", "control_after_generate"]]);
  const [steps, seed, control] = shown(session, id);
  assert.deepEqual([steps.name, seed.name, control.owner], ["3:steps", "3:seed", "3:seed"]);
  const level = levelsTo(session, [id])[1];
  const sampler = node(level, "3");
  const inside = () => widgetsOf(sampler, level.definitionFor(sampler)).find(({ name }) => name === "steps");
  session.document.transact("Set", (tx) => setWidget(tx, id, steps, 33, session.definition(node(session, id).type)));
  assert.equal(level.valueOf(sampler, inside()), 33);
  assert.deepEqual(node(session, id).widgets_values, []);
  level.document.transact("Set", (tx) => setWidget(tx, "3", inside(), 44, level.definition("KSampler")));
  assert.equal(session.valueOf(node(session, id), shown(session, id)[0]), 44);
  assert.equal(compilePrompt(session.document.graph, session.definitions)[`${id}:3`].inputs.steps, 44);
  for (let count = 0; count < 4; count += 1) assert.ok(session.document.undo());
  assert.equal(text(session), before);
});

test("what a file shows is written back as it was, and what is not there is kept and not shown", () => {
  const { session, id } = packed();
  const entries = [["-1", "nothing"], ["3", "cfg"], ["999", "seed"], ["3", "no such"], ["9", "$$canvas-image-preview", "more"]];
  session.document.transact("Set", (tx) => tx.set("node", id, ["properties", "proxyWidgets"], entries));
  const again = new Session(new Document(JSON.parse(text(session))), definitions());
  assert.deepEqual(shown(again, id).map(({ name }) => name), ["3:cfg"]);
  assert.deepEqual(node(again, id).properties.proxyWidgets, entries);
  toggle(again, id, ": denoise");
  assert.deepEqual(node(again, id).properties.proxyWidgets, [...entries, ["3", "denoise"]]);
  toggle(again, id, ": denoise");
  assert.deepEqual(node(again, id).properties.proxyWidgets, entries);
  const asText = { ...node(again, id), properties: { proxyWidgets: JSON.stringify(entries) } };
  assert.deepEqual(shownEntries(asText), entries.map((entry) => entry.slice(0, 2)));
  assert.deepEqual(shownEntries({ ...asText, properties: { proxyWidgets: "{" } }), []);
});

test("the node has a row for it that takes no link, and the last field that goes leaves no trace", () => {
  const { session, id } = packed();
  const before = text(session);
  toggle(session, id, ": width");
  const layout = layoutNode(node(session, id), session.definitionFor(node(session, id)));
  const row = layout.rows.find(({ widget }) => widget.name === "5:width");
  assert.equal(row.slot, -1);
  assert.equal(row.widget.options.socketless, true);
  assert.match(row.widget.options.tooltip, /From .+ inside/);
  toggle(session, id, ": width");
  assert.equal(text(session), before);
});

test("from the inside a field is shown on all instances", () => {
  const { session, id } = packed();
  const second = session.document.transact("Copy", (tx) => {
    const copy = structuredClone(node(session, id));
    Object.assign(copy, { id: 77, inputs: copy.inputs.map((slot) => ({ ...slot, link: null })), outputs: [] });
    tx.insert("node", 77, copy);
    return "77";
  });
  const level = levelsTo(session, [id])[1];
  toggle(level, "5", ": height");
  assert.deepEqual([id, second].map((each) => shown(session, each).map(({ name }) => name)), [["5:height"], ["5:height"]]);
  assert.deepEqual(session.showing([{ graph: level.type }]).sort(), [id, second].sort());
  assert.deepEqual(session.showing([{}]), []);
  toggle(session, second, ": height");
  assert.deepEqual([id, second].map((each) => shown(session, each).length), [1, 0]);
});

test("a field that is joined inside is the instance's own or cannot be typed into", () => {
  const { session, id } = packed();
  const level = levelsTo(session, [id])[1];
  toggle(session, id, ": cfg");
  toggle(session, id, ": seed");
  const { graph } = level.document;
  level.document.transact("Join", (tx) => {
    const [slot] = [graph.node("3").inputs.length];
    const inputs = [...graph.node("3").inputs, { name: "cfg", type: "FLOAT", link: 500, widget: { name: "cfg" } }];
    tx.set("node", "3", ["inputs"], inputs);
    tx.insert("link", 500, { id: 500, origin_id: 5, origin_slot: 0, target_id: 3, target_slot: slot, type: "FLOAT" });
  });
  const [cfg] = shown(session, id);
  assert.ok(isLinked(node(session, id), cfg));
  // Joined to an input of the subgraph, a seed is the instance's; what becomes of it in the next run stands below it.
  const fresh = { node: -10, slot: graph.node(-10).outputs.length - 1 };
  level.document.transact("Join", (tx) => {
    const slot = graph.node("3").inputs.length;
    const inputs = [...graph.node("3").inputs, { name: "seed", type: "INT", link: 501, widget: { name: "seed" } }];
    tx.set("node", "3", ["inputs"], inputs);
    tx.set("node", -10, ["outputs", fresh.slot, "links"], [501]);
    const link = { id: 501, origin_id: -10, origin_slot: fresh.slot, target_id: 3, target_slot: slot, type: "INT" };
    tx.insert("link", 501, link);
  });
  const widgets = widgetsOf(node(session, id), session.definitionFor(node(session, id)));
  const names = widgets.map(({ name, owner }) => `${name}<${owner ?? ""}`);
  assert.deepEqual(names, ["seed<", "3:control_after_generate<seed", "3:cfg<"]);
});

test("through two levels: packed once more and unpacked, the same field is shown", () => {
  const { session, id } = packed();
  toggle(session, id, ": steps");
  const level = levelsTo(session, [id])[1];
  level.document.select(["3"]);
  const deeper = packSelection(level);
  assert.deepEqual(node(session, id).properties.proxyWidgets, [[deeper, "steps"]]);
  assert.deepEqual(node(level, deeper).properties.proxyWidgets, [["3", "steps"]]);
  const [steps] = shown(session, id);
  assert.equal(steps.name, `${deeper}:3:steps`);
  session.document.transact("Set", (tx) => setWidget(tx, id, steps, 7, undefined));
  assert.equal(compilePrompt(session.document.graph, session.definitions)[`${id}:${deeper}:3`].inputs.steps, 7);
  level.document.select([deeper]);
  unpackSelection(level);
  const [[now, name]] = node(session, id).properties.proxyWidgets;
  assert.equal(name, "steps");
  assert.equal(node(level, now).type, "KSampler");
  assert.equal(session.valueOf(node(session, id), shown(session, id)[0]), 7);
});

test("two fields of one name say of which node they are; a subgraph in itself does not go on for ever", () => {
  const { session, id } = packed();
  const level = levelsTo(session, [id])[1];
  const copy = { ...structuredClone(node(level, "3")), id: 8, title: "Second", inputs: [], outputs: [] };
  level.document.transact("Copy", (tx) => tx.insert("node", 8, copy));
  toggle(session, id, "3: steps");
  toggle(session, id, "8: steps");
  assert.equal(new Set(shown(session, id).map(({ options }) => options.label)).size, 2);
  assert.equal(shown(session, id)[1].options.label, "Second steps");
  const { type } = node(session, id);
  const ring = { ...copy, id: 9, type, properties: { proxyWidgets: [["9", "steps"], ["3", "steps"]] } };
  level.document.transact("Ring", (tx) => tx.insert("node", 9, ring));
  session.document.transact("Ring", (tx) => tx.set("node", id, ["properties", "proxyWidgets"], [["9", "steps"]]));
  assert.equal(shown(session, id).length, 1);
});
