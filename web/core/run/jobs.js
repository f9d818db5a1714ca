import { Pace } from "./eta.js";

/**
 * What is known of the runs, as a function of the server's messages. A run belongs to the document that started it, never
 * to the one in front.
 *
 * @typedef {{state: "waiting" | "running" | "done" | "cached" | "failed" | "blocked", value: number, maximum: number,
 *   started: number, seconds: number | null, pace: Pace, message: string, text: string}} NodeRun
 * @typedef {import("../protocol/types.d.ts").Messages} Messages
 * @typedef {"queued" | "running" | "succeeded" | "failed" | "cancelled"} JobState
 * @typedef {{filename: string, subfolder: string, type: string, [key: string]: unknown}} FileRef
 * @typedef {{id: string, document: string | null, state: JobState, nodes: Map<string, NodeRun>, current: string | null,
 *   outputs: Map<string, Record<string, any[]>>, error: Messages["execution_error"] | null, queued: number, started: number, ended: number, total: number}} Job
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
      text: "",
    };
    job.nodes.set(id, run);
  }
  return run;
}

/**
 * @param {Job} job
 * @param {number} now
 * @returns {string[]}
 */
function leaveCurrent(job, now) {
  if (job.current === null) return [];
  const run = nodeRun(job, job.current);
  if (run.state === "running") {
    run.state = "done";
    run.seconds ??= (now - run.started) / 1000;
  }
  return [job.current];
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
  job.current = null;
  return nodes;
}

/** @type {{[K in keyof Messages]?: (job: Job, data: Messages[K], now: number) => string[]}} */
const HANDLERS = {
  execution_start(job, _data, now) {
    const touched = [...job.nodes.keys()];
    job.nodes.clear();
    Object.assign(job, { state: "running", started: now, ended: 0, error: null, current: null });
    return touched;
  },
  execution_cached(job, data) {
    const ids = (data.nodes ?? []).map(shownNode);
    for (const id of ids) nodeRun(job, id).state = "cached";
    return ids;
  },
  executing(job, data, now) {
    const touched = leaveCurrent(job, now);
    if (data.node == null) {
      if (job.state === "running") end(job, "succeeded", now);
      return touched;
    }
    job.state = "running";
    const id = shownNode(data.display_node ?? data.node);
    job.current = id;
    const run = nodeRun(job, id);
    if (run.state !== "running")
      Object.assign(run, { state: "running", started: now, value: 0, maximum: 0, pace: new Pace() });
    return [...touched, id];
  },
  progress(job, data, now) {
    const id = shownNode(data.node ?? job.current ?? "");
    const run = nodeRun(job, id);
    Object.assign(run, { state: "running", value: data.value, maximum: data.max });
    run.pace.report(data.value, data.max, now);
    return [id];
  },
  executed(job, data, now) {
    const id = shownNode(data.display_node ?? data.node);
    const run = nodeRun(job, id);
    if (run.state === "running") run.seconds = (now - run.started) / 1000;
    if (run.state !== "cached") run.state = "done";
    if (data.output) job.outputs.set(id, { ...job.outputs.get(id), ...data.output });
    return [id];
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
    const id = shownNode(data.node_id);
    const run = nodeRun(job, id);
    run.message = String(data.exception_message ?? "").trim();
    if (data.exception_type === "ExecutionBlocked") {
      run.state = "blocked";
      return [id];
    }
    run.state = "failed";
    job.error = data;
    return [...end(job, "failed", now), id];
  },
};
