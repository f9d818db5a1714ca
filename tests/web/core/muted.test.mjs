import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { stringifyJson } from "../../../web/core/format/json.js";
import { connect } from "../../../web/core/graph/links.js";
import { mutedInputs, mutedInto, muteLink, toggleLink, wakeLink } from "../../../web/core/graph/muted.js";
import { compilePrompt } from "../../../web/core/graph/prompt.js";
import { removeNodes } from "../../../web/core/graph/nodes.js";
import { addReroute, pointsOf } from "../../../web/core/graph/reroutes.js";
import { copyText } from "../../../web/ui/actions.js";
import { packSelection } from "../../../web/ui/subgraph_actions.js";
import { Session } from "../../../web/view/session.js";
import { mutedAt } from "../../../web/view/muted_links.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

const opened = (record = defaultRecord()) => {
  const session = new Session(new Document(record), definitions());
  session.document.subscribe((change) => session.scene.update(change));
  return session;
};
const text = (session) => stringifyJson(session.document.toRecord());

test("a muted link does not run, is kept in the file, and comes back with its points", () => {
  const session = opened();
  const { document } = session;
  document.transact("Point", (tx) => addReroute(tx, 6, [740, 300], 0));
  const before = text(session);
  document.transact("Mute", (tx) => muteLink(tx, 6));
  assert.equal("negative" in compilePrompt(document.graph, session.definitions)["3"].inputs, false);
  assert.equal(document.graph.reroutes.size, 0);
  const again = opened(JSON.parse(text(session)));
  assert.deepEqual(mutedInputs(again.document.graph, 3).map(({ slot, muted }) => [slot, muted.origin_id]), [[2, 7]]);
  again.document.transact("Wake", (tx) => assert.ok(wakeLink(tx, 3, 2)));
  const link = again.document.graph.linkInto(3, 2);
  assert.deepEqual([link.origin_id, link.origin_slot], [7, 0]);
  assert.deepEqual(pointsOf(again.document.graph, link).map(({ pos }) => pos), [[740, 300]]);
  assert.equal("muted_link" in again.document.graph.node(3).inputs[2], false);
  document.undo();
  assert.equal(text(session), before);
});

test("another link ends it; a source that is gone, or would make a ring, does not wake it", () => {
  const session = opened();
  const { document } = session;
  const { graph } = document;
  document.transact("Mute", (tx) => assert.equal(toggleLink(tx, 3, 2), "muted"));
  document.transact("Join", (tx) => connect(tx, { node: 6, slot: 0 }, { node: 3, slot: 2 }));
  assert.equal(mutedInto(graph, 3, 2), null);
  assert.equal("muted_link" in graph.node(3).inputs[2], false);
  document.undo();
  assert.ok(mutedInto(graph, 3, 2));
  document.transact("Remove", (tx) => removeNodes(tx, [7]));
  assert.equal(document.transact("Wake", (tx) => toggleLink(tx, 3, 2)), null);
  document.undo();
  assert.equal(document.transact("Wake", (tx) => toggleLink(tx, 3, 2)), "woken");
  assert.equal(document.transact("Wake", (tx) => toggleLink(tx, 5, 0)), null);
});

test("it is found where it is drawn, and does not travel to where its source is not", () => {
  const session = opened();
  const { document, scene } = session;
  document.transact("Mute", (tx) => muteLink(tx, 6));
  const [from, to] = [scene.socket(7, "out", 0), scene.socket(3, "in", 2)];
  const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  assert.deepEqual(mutedAt(session, middle, 8), { node: "3", slot: 2 });
  assert.equal(mutedAt(session, [middle[0], middle[1] - 400], 8), null);
  document.select(["3"]);
  assert.ok(!copyText(session).includes("muted_link"));
  packSelection(session);
  assert.ok(!text(session).includes("muted_link"));
});
