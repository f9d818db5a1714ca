import { addReroute, pointsOf, removeReroute } from "../../../web/core/graph/reroutes.js";
import { connect, connectWidget, detach, disconnect, insertOnLink } from "../../../web/core/graph/links.js";
import { mutedInputs, toggleLink } from "../../../web/core/graph/muted.js";
import { setWidget, widgetsOf } from "../../../web/core/nodes/widgets.js";
import * as actions from "../../../web/ui/actions.js";
import { moveTo } from "../../../web/view/interact/moving.js";

/**
 * Everything that a person can do to a graph, with the choices drawn: each takes a session and draws, does one step and
 * says nothing. What does not apply just now does nothing.
 *
 * @typedef {import("../../../web/view/session.js").Session} Session
 * @typedef {{(): number, pick: <T>(list: Iterable<T>) => T | undefined, whole: (below: number) => number}} Draw
 */

/** @param {() => number} random @returns {Draw} */
export function drawer(random) {
  const draw = /** @type {Draw} */ (() => random());
  draw.whole = (below) => Math.floor(random() * below);
  draw.pick = (list) => {
    const all = [...list];
    return all[draw.whole(all.length)];
  };
  return draw;
}

const ids = (/** @type {Session} */ session) => session.document.graph.nodes.keys();
const links = (/** @type {Session} */ session) => session.document.graph.links.keys();
const place = (/** @type {Draw} */ draw) => /** @type {[number, number]} */ ([draw.whole(4000), draw.whole(3000)]);

/** Choose one to three things, groups and reroute points among them. */
function choose(session, draw) {
  const { graph } = session.document;
  const keys = [
    ...graph.nodes.keys(),
    ...[...graph.groups.keys()].map((id) => `group:${id}`),
    ...[...graph.reroutes.keys()].map((id) => `reroute:${id}`),
  ];
  session.document.select([1, 2, 3].slice(draw.whole(3)).map(() => draw.pick(keys)));
}

const onSelection = (work) => (session, draw) => {
  choose(session, draw);
  work(session, draw);
};

function addAndJoin(session, draw) {
  const def = draw.pick(new Set(session.definitions.values()));
  const node = draw.pick(ids(session));
  const slot = draw.whole(2);
  const from =
    node !== undefined && session.document.graph.node(node)?.outputs?.[slot] ? [{ node, slot, widget: "" }] : [];
  actions.addFromSearch(session, def, { at: place(draw), screen: [0, 0], from });
}

function join(session, draw) {
  session.document.transact("Link", (tx) => {
    for (let tries = 0; tries < 20 && !tx.patches.length; tries += 1) {
      const from = { node: draw.pick(ids(session)), slot: draw.whole(3) };
      connect(tx, from, { node: draw.pick(ids(session)), slot: draw.whole(5) });
    }
  });
}

function joinWidget(session, draw) {
  const id = draw.pick(ids(session));
  const node = session.document.graph.node(id);
  const def = node && session.definitionFor(node);
  const widget = def && draw.pick(def.widgets);
  if (!widget) return;
  session.document.transact("Link", (tx) =>
    connectWidget(tx, { node: draw.pick(ids(session)), slot: draw.whole(2) }, id, widget.name, def),
  );
}

function change(session, draw) {
  const node = session.document.graph.node(draw.pick(ids(session)));
  const def = node && session.definitionFor(node);
  const widget = draw.pick(widgetsOf(node, def));
  if (!widget) return;
  const value = draw.pick([draw(), 2n ** 64n - 1n, "text \u2028", null, true, [1, 2]]);
  session.document.transact(`Set ${widget.name}`, (tx) => setWidget(tx, node.id, widget, value, def), {
    key: `widget:${node.id}:${widget.name}`,
  });
}

function point(session, draw) {
  const { graph } = session.document;
  const id = draw.pick(links(session));
  if (id === undefined) return;
  const count = pointsOf(graph, graph.links.get(id)).length;
  session.document.transact("Reroute", (tx) => addReroute(tx, id, place(draw), draw.whole(count + 1)));
}

function drag(session, draw) {
  const [x, y] = place(draw);
  for (const part of [0.3, 0.6, 1]) {
    session.document.transact(
      "Move",
      (tx) => [...session.document.selection].forEach((key, at) => moveTo(tx, key, [x * part, y * part + at])),
      { key: "drag" },
    );
  }
  session.document.history.seal();
}

function insert(session, draw) {
  const link = draw.pick(links(session));
  const node = draw.pick(ids(session));
  if (link !== undefined) session.document.transact("Insert on link", (tx) => insertOnLink(tx, link, node));
}

function dropPoint(session, draw) {
  const id = draw.pick(session.document.graph.reroutes.keys());
  if (id !== undefined) session.document.transact("Delete reroute", (tx) => removeReroute(tx, id));
}

function cutLink(session, draw) {
  const id = draw.pick(links(session));
  if (id !== undefined) session.document.transact("Cut link", (tx) => disconnect(tx, id));
}

function muteLink(session, draw) {
  const { graph } = session.document;
  const link = graph.links.get(draw.pick(links(session)));
  const asleep = [...ids(session)].flatMap((id) => mutedInputs(graph, id).map(({ slot }) => [id, slot]));
  const [id, slot] = (draw() < 0.4 && draw.pick(asleep)) || [link?.target_id, link?.target_slot];
  if (id !== undefined) session.document.transact("Mute link", (tx) => toggleLink(tx, id, slot));
}

function resize(session, draw) {
  const id = draw.pick(ids(session));
  session.document.transact("Resize", (tx) => tx.set("node", id, ["size"], [200 + draw.whole(300), draw.whole(400)]));
}

function copyAndPaste(session, draw) {
  const text = actions.copyText(session);
  if (text) actions.pasteText(session, text, draw() < 0.5 ? place(draw) : null, draw() < 0.5);
}

function cutAndPaste(session, draw) {
  const text = actions.copyText(session);
  actions.removeSelection(session);
  if (text) actions.pasteText(session, text, place(draw));
}

function fitGroup(session, draw) {
  const id = draw.pick(session.document.graph.groups.keys());
  if (id !== undefined) actions.fitGroup(session, id, [...ids(session)].slice(0, 3));
}

/** @type {Record<string, (session: Session, draw: Draw) => void>} */
export const OPERATIONS = {
  add: addAndJoin,
  join,
  joinWidget,
  change,
  point,
  insert,
  dropPoint,
  cutLink,
  muteLink,
  resize,
  fitGroup,
  drag: onSelection(drag),
  nudge: onSelection((session, draw) => actions.nudge(session, draw.whole(20) - 10, 5)),
  remove: onSelection((session) => actions.removeSelection(session)),
  dissolve: onSelection((session) => actions.removeSelection(session, true)),
  mute: onSelection((session) => actions.toggleSleep(session, "mute")),
  bypass: onSelection((session) => actions.toggleSleep(session, "bypass")),
  fold: onSelection((session) => actions.toggleFlagOfSelection(session, "collapsed")),
  pin: onSelection((session) => actions.toggleFlagOfSelection(session, "pinned")),
  unused: onSelection((session) => actions.toggleFlagOfSelection(session, "unused_hidden")),
  detach: (session, draw) => {
    const link = session.document.graph.links.get(draw.pick(links(session)));
    if (link) session.document.transact("Shake", (tx) => detach(tx, link.target_id));
  },
  paint: onSelection((session, draw) => actions.paint(session, draw.pick(["#123456", undefined]))),
  rename: onSelection((session, draw) => {
    const key = draw.pick([...session.document.selection].filter((each) => !each.startsWith("reroute")));
    if (key) actions.rename(session, key, draw.pick(["A name", "", "Another"]));
  }),
  group: onSelection((session, draw) => actions.groupSelection(session, place(draw))),
  copyAndPaste: onSelection(copyAndPaste),
  cutAndPaste: onSelection(cutAndPaste),
  duplicate: onSelection((session) => actions.duplicate(session)),
  align: onSelection((session, draw) => actions.place(session, draw.pick(["left", "columns", "middle", "arrange"]))),
};
