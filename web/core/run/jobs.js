import { Pace } from "./eta.js";

/**
 * What is known of the runs, as a function of the server's messages. A run belongs to the document that started it, never
 * to the one in front.
 *
 * @typedef {{state: "waiting" | "running" | "done" | "cached" | "failed" | "blocked", value: number, maximum: number,
 *   started: number, seconds: number | null, pace: Pace, message: string, input: string | null, text: string,
 *   leaf: boolean}} NodeRun input: the one that the message is about; leaf: it runs itself; others are subgraphs with
 *   something in them that runs
 * @typedef {import("../protocol/types.d.ts").Messages} Messages
 * @typedef {"queued" | "running" | "succeeded" | "failed" | "cancelled"} JobState
 * @typedef {{filename: string, subfolder: string, type: string, [key: string]: unknown}} FileRef
 * @typedef {{id: string, document: string | null, state: JobState, nodes: Map<string, NodeRun>, current: string | null,
 *   at: string | null, outputs: Map<string, Record<string, any[]>>, error: Messages["execution_error"] | null,
 *   queued: number, started: number, ended: number, total: number}} Job nodes: by the way to them, "5:12" for one inside
 *   of "5", which has an entry too; at: the way to what runs; current: its outermost node
 */

const KEPT = 200;

export class Jobs {
  constructor() {
    /** @type {Map<string, Job>} in the order in which they were first seen */
    this.all = new Map();
    this.remaining = 0;
  }

  /**
   * @param {string} id
   * @param {{document?: string | null, total?: number, now?: number}} [options]
   * @returns {Job}
   */
  open(id, { document = null, total = 0, now = Date.now() } = {}) {
    const present = this.all.get(id);
    if (present) return present;
    /** @type {Job} */
    const job = {
      id,
      document,
      state: "queued",
      nodes: new Map(),
      current: null,
      at: null,
      outputs: new Map(),
      error: null,
      queued: now,
      started: 0,
      ended: 0,
      total,
    };
    this.all.set(id, job);
    for (const old of this.all.keys()) {
      if (this.all.size <= KEPT) break;
      this.all.delete(old);
    }
    return job;
  }

  /** @returns {Job | undefined} */
  get running() {
    return [...this.all.values()].find((job) => job.state === "running");
  }

  /**
   * The newest run of a document.
   * @param {string} document
   */
  latest(document) {
    return [...this.all.values()].reverse().find((job) => job.document === document);
  }

  /**
   * Take in one message.
   * @param {string} type
   * @param {any} data
   * @param {number} [now]
   * @returns {{job: Job | null, nodes: string[]}} what to draw anew
   */
  receive(type, data, now = Date.now()) {
    if (type === "status") {
      this.remaining = Number(data?.status?.exec_info?.queue_remaining ?? this.remaining);
      return { job: null, nodes: [] };
    }
    if (!data?.prompt_id) return { job: null, nodes: [] };
    const known = this.all.get(String(data.prompt_id));
    const handler = /** @type {Record<string, (job: Job, data: any, now: number) => string[]>} */ (HANDLERS)[type];
    if (!handler) return { job: known ?? null, nodes: [] };
    const job = known ?? this.open(String(data.prompt_id), { now });
    return { job, nodes: handler(job, data, now) };
  }
}

/** @param {string} id an execution id; the editor shows it on the outermost node */
export function shownNode(id) {
  return String(id).split(":")[0].split(".")[0];
}

/**
 * The nodes on which something that runs is shown: itself, and the subgraphs around it, the outermost first. What a
 * node makes of itself while it runs ("5.0.0.1") is shown on that node.
 * @param {unknown} id an execution id
 * @returns {string[]} such as "5" and "5:12"
 */
export function shownNodes(id) {
  const parts = String(id).split(".")[0].split(":");
  return parts.map((_, depth) => parts.slice(0, depth + 1).join(":"));
}

/**
 * @param {Job} job
 * @param {string} id
 * @returns {NodeRun}
 */
function nodeRun(job, id) {
  let run = job.nodes.get(id);
  if (!run) {
    run = {
      state: "waiting",
      value: 0,
      maximum: 0,
      started: 0,
      seconds: null,
      pace: new Pace(),
      message: "",
      input: null,
      text: "",
      leaf: false,
    };
    job.nodes.set(id, run);
  }
  return run;
}

/**
 * The runs that a message is about.
 * @param {Job} job
 * @param {unknown} id an execution id
 * @returns {{ids: string[], runs: NodeRun[]}} of the node and of the subgraphs around it
 */
function runsOf(job, id) {
  const ids = shownNodes(id);
  const runs = ids.map((each) => nodeRun(job, each));
  runs[runs.length - 1].leaf = true;
  return { ids, runs };
}

/**
 * What ran does so no more; a subgraph goes on while one after another runs in it.
 * @param {Job} job
 * @param {number} now
 * @param {string[]} [next] what runs now
 * @returns {string[]}
 */
function leaveCurrent(job, now, next = []) {
  if (job.at === null) return [];
  const left = shownNodes(job.at).filter((id) => !next.includes(id));
  for (const id of left) {
    const run = nodeRun(job, id);
    if (run.state !== "running") continue;
    run.state = "done";
    run.seconds = (run.leaf ? 0 : (run.seconds ?? 0)) + (now - run.started) / 1000;
  }
  return left;
}

/**
 * @param {Job} job
 * @param {JobState} state
 * @param {number} now
 */
function end(job, state, now) {
  const nodes = leaveCurrent(job, now);
  job.state = state;
  job.ended = now;
  job.current = job.at = null;
  return nodes;
}

/** @type {{[K in keyof Messages]?: (job: Job, data: Messages[K], now: number) => string[]}} */
const HANDLERS = {
  execution_start(job, _data, now) {
    const touched = [...job.nodes.keys()];
    job.nodes.clear();
    Object.assign(job, { state: "running", started: now, ended: 0, error: null, current: null, at: null });
    return touched;
  },
  execution_cached(job, data) {
    return (data.nodes ?? []).flatMap((/** @type {string} */ id) => {
      const { ids, runs } = runsOf(job, id);
      for (const run of runs) run.state = "cached";
      return ids;
    });
  },
  executing(job, data, now) {
    if (data.node == null) return job.state === "running" ? end(job, "succeeded", now) : leaveCurrent(job, now);
    const at = String(data.display_node ?? data.node);
    const touched = leaveCurrent(job, now, shownNodes(at));
    job.state = "running";
    Object.assign(job, { at, current: shownNode(at) });
    const { ids, runs } = runsOf(job, at);
    for (const run of runs) {
      const fresh = { value: 0, maximum: 0, pace: new Pace() };
      if (run.state !== "running") Object.assign(run, { state: "running", started: now, ...fresh });
      else if (!run.leaf) Object.assign(run, fresh);
    }
    return [...touched, ...ids];
  },
  progress(job, data, now) {
    const { ids, runs } = runsOf(job, data.node ?? job.at ?? "");
    for (const run of runs) {
      Object.assign(run, { state: "running", value: data.value, maximum: data.max });
      run.pace.report(data.value, data.max, now);
    }
    return ids;
  },
  executed(job, data, now) {
    const id = String(data.display_node ?? data.node);
    const { ids, runs } = runsOf(job, id);
    const run = runs[runs.length - 1];
    if (run.state === "running") run.seconds = (now - run.started) / 1000;
    if (run.state !== "cached") run.state = "done";
    const leaf = ids[ids.length - 1];
    if (data.output) job.outputs.set(leaf, { ...job.outputs.get(leaf), ...data.output });
    return ids;
  },
  job_requeued(job, _data, now) {
    const touched = [...job.nodes.keys()];
    end(job, "queued", now);
    job.nodes.clear();
    return touched;
  },
  execution_success: (job, _data, now) => end(job, "succeeded", now),
  execution_interrupted: (job, _data, now) => end(job, "cancelled", now),
  execution_error(job, data, now) {
    if (data.node_id == null || data.node_id === "") {
      job.error = data;
      return end(job, "failed", now);
    }
    const { ids, runs } = runsOf(job, data.node_id);
    const message = String(data.exception_message ?? "").trim();
    const blocked = data.exception_type === "ExecutionBlocked";
    for (const run of runs) Object.assign(run, { message, input: null, state: blocked ? "blocked" : "failed" });
    runs[runs.length - 1].input = data.input_name ?? null;
    if (blocked) return ids;
    job.error = data;
    return [...end(job, "failed", now), ...ids];
  },
};
