import assert from "node:assert/strict";
import { test } from "node:test";
import { readFrame } from "../../../web/core/protocol/frames.js";
import { duration, Pace } from "../../../web/core/run/eta.js";
import { Jobs, shownNode, shownNodes } from "../../../web/core/run/jobs.js";
import { findNodes } from "../../../web/core/search/node_index.js";
import { score, search } from "../../../web/core/search/fuzzy.js";
import { factsOfEntry } from "../../../web/ui/panels/job_facts.js";
import { definitions } from "./fixtures.mjs";

test("a run from its messages", () => {
  const jobs = new Jobs();
  jobs.open("p", { document: "tab", now: 0 });
  jobs.receive("status", { status: { exec_info: { queue_remaining: 2 } } });
  jobs.receive("execution_start", { prompt_id: "p" }, 1000);
  jobs.receive("execution_cached", { prompt_id: "p", nodes: ["4"] }, 1000);
  jobs.receive("executing", { prompt_id: "p", node: "3", display_node: "3" }, 1000);
  for (const value of [1, 2, 3])
    jobs.receive("progress", { prompt_id: "p", node: "3", value, max: 5 }, 1000 + value * 500);
  const job = /** @type {any} */ (jobs.latest("tab"));
  assert.equal(jobs.remaining, 2);
  assert.equal(jobs.running, job);
  assert.equal(job.nodes.get("4").state, "cached");
  assert.equal(job.nodes.get("3").pace.seconds, 1);
  jobs.receive("executing", { prompt_id: "p", node: "9" }, 3000);
  jobs.receive("executed", { prompt_id: "p", node: "9", output: { images: [{ filename: "a.png" }] } }, 3100);
  jobs.receive("execution_success", { prompt_id: "p" }, 3200);
  jobs.receive("executing", { prompt_id: "p", node: null }, 3300);
  assert.equal(job.state, "succeeded");
  assert.equal(job.nodes.get("3").seconds, 2);
  assert.equal(job.outputs.get("9").images[0].filename, "a.png");
});

test("failures, blocks and cancellation", () => {
  const jobs = new Jobs();
  jobs.receive("execution_start", { prompt_id: "p" });
  jobs.receive("executing", { prompt_id: "p", node: "3" });
  jobs.receive("execution_error", {
    prompt_id: "p",
    node_id: "5:3",
    exception_type: "ExecutionBlocked",
    exception_message: "no",
  });
  assert.equal(jobs.all.get("p")?.state, "running");
  assert.equal(jobs.all.get("p")?.nodes.get("5")?.state, "blocked");
  jobs.receive("execution_error", {
    prompt_id: "p",
    node_id: "3",
    exception_type: "ValueError",
    exception_message: "bad\n",
  });
  assert.equal(jobs.all.get("p")?.state, "failed");
  assert.equal(jobs.all.get("p")?.nodes.get("3")?.input, null);
  assert.equal(jobs.all.get("p")?.nodes.get("3")?.message, "bad");
  jobs.receive("execution_start", { prompt_id: "q" });
  jobs.receive("execution_interrupted", { prompt_id: "q" });
  assert.equal(jobs.all.get("q")?.state, "cancelled");
  assert.deepEqual(jobs.receive("somebodys_event", { a: 1 }), { job: null, nodes: [] });
});

test("a job that starts again after its worker died begins anew", () => {
  const jobs = new Jobs();
  jobs.receive("execution_start", { prompt_id: "p" });
  jobs.receive("executing", { prompt_id: "p", node: "3" });
  jobs.receive("execution_start", { prompt_id: "p" });
  assert.equal(jobs.all.get("p")?.nodes.size, 0);
  assert.equal(jobs.all.get("p")?.current, null);
});

test("old jobs are let go, and expanded ids show on their node", () => {
  const jobs = new Jobs();
  for (let id = 0; id < 300; id += 1) jobs.open(String(id));
  assert.equal(jobs.all.size, 200);
  assert.equal(shownNode("12.0.0.3"), "12");
  assert.equal(shownNode("5:12"), "5");
});

test("what runs in a subgraph shows inside and on it, and the subgraph runs on from node to node", () => {
  const jobs = new Jobs();
  jobs.receive("execution_start", { prompt_id: "p" }, 0);
  const job = /** @type {any} */ (jobs.all.get("p"));
  const state = (/** @type {string} */ id) => job.nodes.get(id)?.state;
  assert.deepEqual(jobs.receive("execution_cached", { prompt_id: "p", nodes: ["5:1"] }, 0).nodes, ["5", "5:1"]);
  jobs.receive("executing", { prompt_id: "p", node: "5:7:3" }, 1000);
  assert.deepEqual([job.current, job.at], ["5", "5:7:3"]);
  jobs.receive("progress", { prompt_id: "p", node: "5:7:3", value: 2, max: 4 }, 2000);
  assert.deepEqual(
    ["5", "5:7", "5:7:3"].map((id) => job.nodes.get(id).value),
    [2, 2, 2],
  );
  const { nodes } = jobs.receive("executing", { prompt_id: "p", node: "5:8" }, 3000);
  assert.deepEqual(nodes, ["5:7", "5:7:3", "5", "5:8"]);
  assert.deepEqual(["5", "5:7", "5:7:3", "5:8"].map(state), ["running", "done", "done", "running"]);
  assert.equal(job.nodes.get("5").value, 0);
  jobs.receive("executing", { prompt_id: "p", node: "9" }, 5000);
  jobs.receive("executing", { prompt_id: "p", node: "5:2" }, 6000);
  jobs.receive("executed", { prompt_id: "p", node: "5:2", output: { images: [] } }, 6500);
  jobs.receive("execution_success", { prompt_id: "p" }, 7000);
  assert.equal(job.nodes.get("5").seconds, 5); // not while another one ran
  assert.equal(job.nodes.get("5:7").seconds, 2);
  assert.deepEqual([...job.outputs.keys()], ["5:2"]);
  assert.deepEqual(
    [...job.nodes].filter(([, run]) => run.leaf).map(([id]) => id),
    ["5:1", "5:7:3", "5:8", "9", "5:2"],
  );
  jobs.receive("execution_start", { prompt_id: "q" });
  jobs.receive("execution_error", { prompt_id: "q", node_id: "5:7.0.0.1", exception_message: "no" });
  assert.deepEqual(
    ["5", "5:7"].map((id) => jobs.all.get("q")?.nodes.get(id)?.message),
    ["no", "no"],
  );
  assert.deepEqual(shownNodes("5:7.0.0.1"), ["5", "5:7"]);
  jobs.receive("execution_start", { prompt_id: "r" });
  jobs.receive("execution_error", { prompt_id: "r", node_id: "5:7", exception_message: "no", input_name: "width" });
  assert.deepEqual(
    ["5", "5:7"].map((id) => jobs.all.get("r")?.nodes.get(id)?.input),
    [null, "width"], // the subgraph around the node has other inputs
  );
});

test("the history names the input of a failure", () => {
  const failure = { node_type: "KSampler", exception_message: "no\nMend it." };
  /** @param {string | null} input */
  const told = (input) => {
    const messages = [["execution_error", { ...failure, input_name: input }]];
    return factsOfEntry("p", { prompt: [0, "p", {}, {}], status: { completed: false, messages } }).error;
  };
  assert.equal(told("steps"), "KSampler, steps: no");
  assert.equal(told(null), "KSampler: no");
});

test("time to go", () => {
  const pace = new Pace();
  assert.equal(pace.seconds, null);
  pace.report(0, 10, 0);
  pace.report(1, 10, 2000);
  assert.equal(pace.seconds, 18);
  assert.deepEqual([0.05, 2.34, 42, 300, 7200, null].map(duration), ["50 ms", "2.3 s", "42 s", "5 min", "2.0 h", ""]);
});

test("binary frames", () => {
  const frame = (/** @type {number} */ code, /** @type {string} */ head, /** @type {number[]} */ body) => {
    const text = new TextEncoder().encode(head);
    const bytes = new Uint8Array(8 + text.length + body.length);
    new DataView(bytes.buffer).setUint32(0, code);
    new DataView(bytes.buffer).setUint32(4, text.length);
    bytes.set(text, 8);
    bytes.set(body, 8 + text.length);
    return bytes.buffer;
  };
  const meta = JSON.stringify({ node_id: "5:3", display_node_id: "5", prompt_id: "p", image_type: "image/jpeg" });
  assert.deepEqual(readFrame(frame(4, meta, [1, 2])), {
    kind: "preview",
    nodeId: "5",
    promptId: "p",
    mime: "image/jpeg",
    image: Uint8Array.from([1, 2]),
  });
  assert.deepEqual(readFrame(frame(3, "7", [104, 105])), { kind: "text", nodeId: "7", text: "hi" });
  assert.equal(readFrame(frame(77, "", [])).kind, "unknown");
  assert.equal(readFrame(new ArrayBuffer(2)).kind, "unknown");
});

test("search: starts of words win, letters in order are enough", () => {
  assert.ok(score("ks", "KSampler") > score("ks", "Checks"));
  assert.ok(score("vd", "VAE Decode") > 0);
  assert.equal(score("xyz", "KSampler"), 0);
  assert.equal(search("sav", ["Load Image", "Save Image"], (item) => [item])[0], "Save Image");
});

test("node search by name, alias and the type of a dropped link", () => {
  const defs = definitions();
  assert.equal(findNodes(defs, "prompt")[0].id, "CLIPTextEncode");
  assert.equal(findNodes(defs, "vae dec")[0].id, "VAEDecode");
  const takers = findNodes(defs, "", { wanted: { from: "LATENT" } }).map((def) => def.id);
  assert.ok(takers.includes("VAEDecode") && takers.includes("KSampler") && !takers.includes("LoadImage"));
  assert.equal(takers.at(-1), "LatentUpscaleOld");
  assert.equal(findNodes(defs, "", { wanted: { to: "VAE" } })[0].id, "CheckpointLoaderSimple");
  assert.equal(findNodes(defs, "", { recent: ["SaveImage"] })[0].id, "SaveImage");
});
