/**
 * What one step of undo costs in a graph of three thousand nodes: node tests/bench/undo.mjs
 */
import { performance } from "node:perf_hooks";
import { Document } from "../../web/core/doc/document.js";
import { connect } from "../../web/core/graph/links.js";
import { addNode, removeNodes } from "../../web/core/graph/nodes.js";
import { definitions } from "../web/core/fixtures.mjs";

const NODES = 3000;
const ROUNDS = 200;
const defs = definitions();

function bigDocument() {
  const document = new Document({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4 });
  const blur = /** @type {any} */ (defs.get("ImageBlur"));
  document.transact("Fill", (tx) => {
    for (let at = 0; at < NODES; at += 1) {
      const { id } = addNode(tx, blur, [(at % 60) * 300, Math.floor(at / 60) * 200]);
      if (at % 60) connect(tx, { node: Number(id) - 1, slot: 0 }, { node: id, slot: 0 });
    }
  });
  return document;
}

/** @type {Record<string, (tx: import("../../web/core/doc/transact.js").Transaction, id: number) => void>} */
const STEPS = {
  "move a node": (tx, id) => tx.set("node", id, ["pos"], [id, id]),
  "set a value": (tx, id) => tx.set("node", id, ["widgets_values", 0], id),
  "add a node": (tx) => addNode(tx, /** @type {any} */ (defs.get("ImageBlur")), [0, 0]),
  "delete a node, keep the chain": (tx, id) => removeNodes(tx, [id], { keepChain: true }),
  "move all": (tx, id) => [...tx.graph.nodes.keys()].forEach((each) => tx.set("node", each, ["pos"], [id, 0])),
};

const document = bigDocument();
for (const [name, work] of Object.entries(STEPS)) {
  const times = [];
  for (let round = 0; round < (name === "move all" ? 20 : ROUNDS); round += 1) {
    document.transact(name, (tx) => work(tx, 100 + round));
    const start = performance.now();
    document.undo();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const at = (/** @type {number} */ part) => times[Math.floor(part * (times.length - 1))].toFixed(3);
  process.stdout.write(`${name.padEnd(30)} median ${at(0.5)} ms, 95 % ${at(0.95)} ms\n`);
}
