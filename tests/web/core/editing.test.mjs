import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "../../../web/core/doc/document.js";
import { stringifyJson } from "../../../web/core/format/json.js";
import { detach } from "../../../web/core/graph/links.js";
import { layoutNode } from "../../../web/core/nodes/layout.js";
import { widgetsOf, widgetValue } from "../../../web/core/nodes/widgets.js";
import { findNodes } from "../../../web/core/search/node_index.js";
import { addFromSearch, toggleFlagOfSelection } from "../../../web/ui/actions.js";
import { shakeOf } from "../../../web/view/interact/moving.js";
import { Session } from "../../../web/view/session.js";
import { sameFields, setField } from "../../../web/view/widgets/same_fields.js";
import { defaultRecord, definitions } from "./fixtures.mjs";

const opened = () => new Session(new Document(defaultRecord()), definitions());
const node = (session, id) => session.document.graph.node(id);
const field = (session, id, name) =>
  widgetsOf(node(session, id), session.definitionFor(node(session, id))).find((widget) => widget.name === name);
const value = (session, id, name) => widgetValue(node(session, id), field(session, id, name));

test("unused sockets are hidden, what is joined moves up, and the file says so", () => {
  const session = opened();
  const before = stringifyJson(session.document.toRecord());
  const layout = () => layoutNode(node(session, 4), session.definitionFor(node(session, 4)));
  const [model, clip, vae] = layout().outputs;
  session.document.transact("Cut", (tx) => detach(tx, 6));
  session.document.transact("Cut", (tx) => detach(tx, 7));
  session.document.select(["4"]);
  toggleFlagOfSelection(session, "unused_hidden");
  assert.deepEqual(node(session, 4).flags, { unused_hidden: true });
  assert.deepEqual(layout().outputs.map(({ slot, y }) => [slot, y]), [[0, model.y], [2, clip.y]]);
  assert.ok(layout().minimum[1] < vae.y + 60);
  const text = layoutNode(node(session, 6), session.definitionFor(node(session, 6)));
  assert.equal(text.inputs.length, 1, "others show all they have");
  toggleFlagOfSelection(session, "unused_hidden");
  assert.equal(layout().outputs.length, 3);
  while (session.document.undo());
  assert.equal(stringifyJson(session.document.toRecord()), before);
});

test("a field is set on all selected nodes that have it, within their limits, as one step", () => {
  const session = opened();
  const copy = addFromSearch(session, session.definition("KSampler"), { at: [0, 0], screen: [0, 0] });
  session.document.select(["3", copy, "5", "9"]);
  const targets = sameFields(session, "3", field(session, "3", "steps"), 1e9);
  const { max } = field(session, copy, "steps").options;
  assert.deepEqual(targets.map(({ id, value: given }) => [id, given]), [[copy, max]]);
  session.document.transact("Set", (tx) => targets.forEach((target) => setField(session, tx, target)));
  assert.equal(value(session, copy, "steps"), max);
  assert.deepEqual(sameFields(session, "3", field(session, "3", "sampler_name"), "no such sampler"), []);
  session.document.select([copy]);
  assert.deepEqual(sameFields(session, "3", field(session, "3", "steps"), 5), [], "only from a selected node");
  session.document.undo();
  assert.notEqual(value(session, copy, "steps"), max);
});

test("a shake is several quick turns, and only once", () => {
  const shake = (xs, step) => {
    const turned = shakeOf({ clientX: 0, timeStamp: 0 });
    return xs.map((clientX, at) => turned({ clientX, timeStamp: at * step })).filter(Boolean).length;
  };
  const toAndFro = [50, 100, 50, 0, 60, 120, 40, 0, 80, 10, 90, 0];
  assert.equal(shake(toAndFro, 40), 1);
  assert.equal(shake(toAndFro, 500), 0, "slowly");
  assert.equal(shake(toAndFro.map((x) => x / 10), 40), 0, "hardly");
  assert.equal(shake([50, 100, 150, 200, 150, 100, 50, 0], 40), 0, "there and back");
});

test("shaken off, a node has no links, and what fed it feeds what it fed", () => {
  const session = opened();
  const { graph } = session.document;
  const through = addFromSearch(session, session.definition("ImageBlur") ?? session.definition("ImageScale"), { at: [0, 0], screen: [0, 0], link: 9 });
  assert.equal(String(graph.linkInto(9, 0).origin_id), through);
  session.document.transact("Shake", (tx) => detach(tx, through));
  assert.equal(graph.linkInto(9, 0).origin_id, 8);
  assert.ok(node(session, through).inputs.every(({ link }) => link == null));
  session.document.transact("Shake", (tx) => detach(tx, 3));
  assert.ok(node(session, 3).inputs.every(({ link }) => link == null));
});

test("between two types the nodes are offered that turn one into the other, and what they need is joined", () => {
  const session = opened();
  const found = findNodes(session.definitions, "", { wanted: { from: "LATENT", to: "IMAGE" } });
  assert.equal(found[0].id, "VAEDecode");
  assert.ok(found.every(({ id }) => id !== "Reroute" && id !== "PrimitiveNode"));
  assert.deepEqual(findNodes(session.definitions, "", { wanted: { from: "VAE", to: "CLIP" } }), []);
  session.document.transact("Cut", (tx) => detach(tx, 9));
  const made = addFromSearch(session, session.definition("VAEDecode"), {
    at: [500, 300],
    screen: [0, 0],
    wanted: { from: "LATENT", to: "IMAGE" },
    from: [{ node: "5", slot: 0, widget: "" }],
    to: { node: "9", slot: 0, widget: "" },
  });
  const { graph } = session.document;
  assert.equal(String(graph.linkInto(9, 0).origin_id), made);
  const fed = node(session, made).inputs.map((_, slot) => graph.linkInto(made, slot)?.origin_id);
  assert.deepEqual(fed, [5, 4], "the only VAE there is");
  assert.ok(node(session, made).pos[0] < 500);
  session.document.undo();
  assert.equal(graph.node(made), undefined);
});
