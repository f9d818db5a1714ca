import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { Graph } from "../../../web/core/doc/graph.js";
import { restoreRecord } from "../../../web/core/doc/restore.js";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { differences, shortened } from "../../../web/core/graph/difference.js";
import { connect, detach } from "../../../web/core/graph/links.js";
import { removePort } from "../../../web/core/graph/ports.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { packSelection } from "../../../web/ui/subgraph_actions.js";
import { Versions } from "../../../web/ui/versions.js";
import { levelsTo } from "../../../web/view/level.js";
import { Session } from "../../../web/view/session.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

const example = (name) =>
  parseJson(readFileSync(new URL(`../../data/workflows/${name}.json`, import.meta.url), "utf8"));
const classes = () => new Map([...definitions(), ...readDefinitions(example("classes"))]);
const opened = (record = defaultRecord()) => new Session(new Document(record), classes());
const text = (session) => stringifyJson(session.document.toRecord());
const since = (session, record) =>
  differences(new Graph(structuredClone(record)), session.document.graph, (type) => session.definition(type));

test("fields, links, states, titles, what came and what went are told; what was moved is counted", () => {
  const session = opened();
  const before = session.document.toRecord();
  assert.deepEqual(since(session, before), { nodes: [], moved: 0 });
  session.document.transact("Change", (tx) => {
    tx.set("node", 3, ["widgets_values", 2], 55);
    tx.set("node", 3, ["pos"], [1, 2]);
    tx.set("node", 6, ["pos"], [1, 2]);
    tx.set("node", 9, ["mode"], 2);
    tx.set("node", 4, ["title"], "Mine");
    connect(tx, { node: 6, slot: 0 }, { node: 3, slot: 2 });
    detach(tx, 7);
    tx.remove("node", 7);
    tx.insert("node", 20, { id: 20, type: "Nobody", pos: [0, 0] });
  });
  const { nodes, moved } = since(session, before);
  assert.equal(moved, 1);
  const told = Object.fromEntries(nodes.map(({ kind, node, changes }) => [node, [kind, ...changes.map((each) => each.name)]]));
  assert.deepEqual(told, {
    7: ["removed"],
    3: ["changed", "steps", "negative from"],
    4: ["changed", "title"],
    9: ["changed", "state"],
    20: ["added"],
  });
  const steps = nodes.find(({ node }) => node === "3").changes[0];
  assert.equal(steps.after, "55");
  const text3 = nodes.find(({ node }) => node === "3").changes[1];
  assert.match(`${text3.before} | ${text3.after}`, /7, CONDITIONING \| .+6, CONDITIONING/);
});

test("inside of subgraphs too, with the definition in which it is", () => {
  const session = opened(example("subgraphs.workflow"));
  const before = session.document.toRecord();
  const level = levelsTo(session, ["2", "5"])[2];
  const [blur] = [...level.document.graph.nodes.values()].filter((each) => each.type === "ImageBlur");
  level.document.transact("Mute", (tx) => tx.set("node", blur.id, ["mode"], 2));
  const { nodes } = since(session, before);
  assert.deepEqual(nodes.map(({ graph, node, changes }) => [graph, node, changes[0].name]), [
    ["inner-id", String(blur.id), "state"],
  ]);
});

test("long values are shortened, and nothing has a name", () => {
  assert.equal(shortened("x".repeat(100)).length, 60);
  assert.equal(shortened(""), "nothing");
  assert.equal(shortened("7"), "7");
});

for (const [name, change] of Object.entries({
  "a subgraph made": (session) => {
    session.document.select(["2", "3"]);
    packSelection(session);
  },
  "an input of a subgraph removed": (session) =>
    levelsTo(session, ["2"])[1].document.transact("Remove", (tx) => removePort(tx, "inputs", 1)),
  "all removed": (session) =>
    session.document.transact("Clear", (tx) => {
      for (const id of [...tx.graph.links.keys()]) tx.remove("link", id);
      for (const id of [...tx.graph.nodes.keys()]) tx.remove("node", id);
      tx.set("root", "", ["definitions"], undefined);
    }),
}))
  test(`a version is brought back to the byte, and undo takes that back: ${name}`, () => {
    const session = opened(example("subgraphs.workflow"));
    levelsTo(session, ["2"]);
    const version = session.document.toRecord();
    const prompt = stringifyJson(compilePrompt(session.document.graph, session.definitions));
    change(session);
    const changed = text(session);
    assert.notEqual(changed, stringifyJson(version));
    session.document.transact("Go back", (tx) => restoreRecord(tx, structuredClone(version)));
    assert.deepEqual(JSON.parse(text(session)), JSON.parse(stringifyJson(version)));
    assert.equal(stringifyJson(compilePrompt(session.document.graph, session.definitions)), prompt);
    assert.equal(session.document.undo(), "Go back");
    assert.equal(text(session), changed);
    session.document.redo();
    assert.deepEqual(JSON.parse(text(session)), JSON.parse(stringifyJson(version)));
  });

/** A place to keep things in, as the browser's database has it. */
function keeper(session) {
  const kept = new Map();
  const journal = {
    keep: (key, value) => kept.set(key, structuredClone(value)),
    keptUnder: async (prefix) => [...kept].filter(([key]) => key.startsWith(prefix)).map(([, value]) => value),
    forget: (key) => kept.delete(key),
  };
  const app = { journal, tabs: { sessions: [session] }, panels: { update: () => {} } };
  return { versions: new Versions(/** @type {any} */ (app)), kept };
}

test("a state is kept once; runs with another seed alone are not; the oldest go", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const session = opened();
  const { versions, kept } = keeper(session);
  const set = (at, value) => session.document.transact("Set", (tx) => tx.set("node", 3, ["widgets_values", at], value));
  await versions.keep(session, "Saved");
  await versions.keep(session, "Ran");
  set(0, 12345);
  await versions.keep(session, "Ran");
  assert.equal(kept.size, 1);
  set(2, 31);
  await versions.keep(session, "Ran");
  session.document.path = "a.json";
  set(2, 32);
  await versions.keep(session, "Saved");
  const list = await versions.list(session.document);
  assert.deepEqual(list.map(({ label }) => label), ["Saved", "Ran", "Saved"]);
  assert.equal(versions.since(session, list[1]).nodes[0].changes[0].before, "31");
  for (let steps = 100; steps < 170; steps += 1) {
    set(2, steps);
    await versions.keep(session, "Saved");
  }
  assert.equal((await versions.list(session.document)).length, 60);
});
