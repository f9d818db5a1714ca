import { uuid } from "../core/doc/ids.js";
import { titleOf } from "../core/graph/nodes.js";
import { ServerError } from "../core/protocol/client.js";
import { duration } from "../core/run/eta.js";
import { Jobs, shownNode, shownNodes } from "../core/run/jobs.js";
import { advanceControls, prepareRun } from "../core/run/prepare.js";

/** A node that reports steps is worth as many nodes that do not. */
const STEPS_WEIGH = 10;

/**
 * Starts runs, follows them, and brings what the server says to the document that asked.
 *
 * @typedef {import("../view/session.js").Session} Session
 * @typedef {import("../core/run/jobs.js").Job} Job
 * @typedef {{
 *   sessions: () => Session[],
 *   seeds: () => "shown" | "before" | "after",
 *   refresh: (session: Session, nodes: Iterable<string>) => void,
 *   changed: () => void,
 *   sent: (session: Session) => void,
 *   made: (file: import("../core/run/jobs.js").FileRef, job: Job, node: string) => void,
 *   problem: (session: Session, text: string, nodes: string[]) => void,
 *   say: (text: string, tone: "info" | "good" | "bad") => void,
 * }} Listener
 */
export class Runner {
  /**
   * @param {import("../core/protocol/client.js").Server} server
   * @param {Listener} listener
   */
  constructor(server, listener) {
    this.server = server;
    this.listener = listener;
    this.jobs = new Jobs();
    this.paused = false;
  }

  /**
   * @param {Session} session
   * @param {{count?: number, front?: boolean, targets?: string[]}} [options] targets: run these outputs only
   */
  async run({ root: session }, { count = 1, front = false, targets } = {}) {
    this.#clear(session);
    for (let index = 0; index < count; index += 1) {
      this.#advance(session, "before");
      if (!(await this.#submit(session, front, targets))) return;
      this.#advance(session, "after");
    }
    this.listener.changed();
  }

  /** @param {Session} session @param {"before" | "after"} moment of the sending */
  #advance(session, moment) {
    const options = { mode: this.listener.seeds(), moment };
    advanceControls(session.document, (node) => session.definitionFor(node), session.ran, options);
  }

  /** Stop what runs for a document and take back what waits. @param {Session} session */
  async cancel(session) {
    const mine = [...this.jobs.all.values()].filter((job) => job.document === session.document.uid);
    const waiting = mine.filter((job) => job.state === "queued");
    for (const job of waiting) job.state = "cancelled";
    try {
      if (waiting.length) await this.server.post("/queue", { delete: waiting.map((job) => job.id) });
      const running = mine.find((job) => job.state === "running");
      if (running) await this.server.post("/interrupt", { prompt_id: running.id });
    } catch (error) {
      this.listener.say(String(/** @type {Error} */ (error).message), "bad");
    }
    this.listener.changed();
  }

  /** The run that a document now waits for. @param {Session | null} session @returns {Job | undefined} */
  active(session) {
    const mine = [...this.jobs.all.values()].filter((job) => job.document === session?.document.uid);
    return mine.find((job) => job.state === "running") ?? mine.find((job) => job.state === "queued");
  }

  /** How much of a run is done, from 0 to 1. What was kept costs nothing. @param {Job | undefined} job */
  part(job) {
    if (!job || job.state !== "running" || !job.total) return 0;
    const all = [...job.nodes.values()].filter((run) => run.leaf);
    const runs = all.filter((run) => run.state !== "cached");
    const weight = (/** @type {import("../core/run/jobs.js").NodeRun} */ run) => (run.maximum > 1 ? STEPS_WEIGH : 1);
    const unseen = job.total - all.length;
    const whole = runs.reduce((sum, run) => sum + weight(run), Math.max(unseen, 0));
    const done = runs.reduce((sum, run) => {
      if (run.state === "running") return sum + (run.maximum ? (weight(run) * run.value) / run.maximum : 0);
      return sum + weight(run);
    }, 0);
    return whole ? Math.min(1, done / whole) : 0;
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  receive(type, data) {
    if (type === "frame") return this.#frame(data);
    if (type === "status") this.paused = Boolean(data?.status?.exec_info?.paused);
    const node = this.jobs.all.get(String(data?.prompt_id))?.current;
    const { job, nodes } = this.jobs.receive(type, data);
    const session = job && this.#sessionOf(job);
    if (type === "job_requeued" && session) {
      const record = node ? session.document.graph.node(node) : undefined;
      const name = record && titleOf(record, session.definitionFor(record));
      const text = `The engine process was lost${name ? ` while ${name} ran` : ""}: it ${data.reason}. The run starts again by itself.`;
      this.listener.problem(session, text, node ? [node] : []);
    }
    if (job && session) this.#show(session, job, type, data, nodes);
    this.listener.changed();
  }

  /**
   * The connection is there (again), or documents were opened: runs of ours that the server knows are taken up where
   * they are, and what ended meanwhile is looked up.
   */
  async catchUp() {
    const queue = await this.server.get("/queue").catch(() => null);
    if (!queue) return;
    const alive = new Set();
    for (const item of [...queue.queue_running, ...queue.queue_pending]) {
      const [, id, prompt, extra] = item;
      const document = extra?.metadata?.document;
      alive.add(id);
      if (!this.jobs.all.has(id) && !this.listener.sessions().some((session) => session.document.uid === document))
        continue;
      const job = this.jobs.open(id);
      // A message may have come before this answer, and messages do not say whose run they are of.
      job.document = document;
      job.total = Object.keys(prompt ?? {}).length;
      if (queue.queue_running.includes(item)) await this.#replay(job);
    }
    for (const job of [...this.jobs.all.values()])
      if ((job.state === "running" || job.state === "queued") && !alive.has(job.id)) await this.#lookUp(job);
    this.listener.changed();
  }

  /** Bring a run that goes on to where it is, from the messages that the server keeps. @param {Job} job */
  async #replay(job) {
    const { events } = await this.server.get(`/jobs/${encodeURIComponent(job.id)}/events`).catch(() => ({ events: [] }));
    const session = this.#sessionOf(job);
    const touched = new Set(session?.job?.nodes.keys());
    for (const { type, data } of events)
      for (const node of this.jobs.receive(type, data, data?.timestamp).nodes) touched.add(node);
    for (const run of job.nodes.values()) if (run.state === "done") run.seconds = null; // nobody held the watch
    if (!session) return;
    session.job = job;
    for (const [node, output] of job.outputs) this.#pictures(session, job, node, output);
    this.listener.refresh(session, touched);
  }

  /** @param {Job} job */
  async #lookUp(job) {
    const history = await this.server.get(`/history/${encodeURIComponent(job.id)}`).catch(() => ({}));
    const entry = history[job.id];
    const session = this.#sessionOf(job);
    if (entry)
      for (const [type, data] of entry.status?.messages ?? []) this.receive(type, { prompt_id: job.id, ...data });
    if (job.state === "running" || job.state === "queued")
      job.state = entry?.status?.completed ? "succeeded" : "cancelled";
    for (const [node, output] of Object.entries(entry?.outputs ?? {})) this.#pictures(session, job, node, output);
  }

  /**
   * @param {Session} session
   * @param {boolean} front
   * @param {string[] | undefined} targets
   */
  async #submit(session, front, targets) {
    const { document } = session;
    const id = uuid();
    try {
      const { prompt, workflow } = prepareRun(document.graph, session.definitions);
      if (!Object.keys(prompt).length) throw new Error("There is nothing to run: the graph has no active nodes.");
      this.jobs.open(id, { document: document.uid, total: Object.keys(prompt).length });
      const answer = await this.server.post("/prompt", {
        prompt,
        prompt_id: id,
        client_id: this.server.clientId,
        ...(front ? { front: true } : {}),
        ...(targets ? { partial_execution_targets: targets } : {}),
        extra_data: { extra_pnginfo: { workflow }, metadata: { document: document.uid } },
      });
      if (answer?.node_errors) this.#complain(session, answer.node_errors);
      this.listener.sent(session);
      return true;
    } catch (error) {
      this.jobs.all.delete(id);
      this.#refused(session, /** @type {Error} */ (error));
      return false;
    }
  }

  /**
   * The server said no: each complaint goes to its field.
   * @param {Session} session
   * @param {Error} error
   */
  #refused(session, error) {
    const body = error instanceof ServerError ? error.body : null;
    const nodes = this.#complain(session, body?.node_errors);
    const unknown = body?.error?.extra_info?.node_id ?? /Node ID '#([^']+)'/.exec(body?.error?.details ?? "")?.[1];
    if (unknown !== undefined && !nodes.length) {
      nodes.push(String(unknown));
      for (const shown of shownNodes(unknown))
        session.problems.set(shown, [{ input: null, message: error.message, details: "" }]);
    }
    this.listener.refresh(session, nodes.flatMap(shownNodes));
    const text = nodes.length
      ? `The run was not started: ${nodes.length === 1 ? "a node needs" : `${nodes.length} nodes need`} attention.`
      : error.message;
    this.listener.problem(session, text, nodes);
  }

  /**
   * @param {Session} session
   * @param {any} errors
   * @returns {string[]} the nodes concerned
   */
  #complain(session, errors) {
    const ids = Object.keys(errors ?? {});
    /** @type {Map<string, import("../view/session.js").Problem[]>} */
    const found = new Map();
    for (const id of ids) {
      /** @type {import("../view/session.js").Problem[]} */
      const problems = (errors[id].errors ?? []).map(explain);
      for (const shown of shownNodes(id)) {
        // An input inside has another name on the subgraph, or none.
        const said = shown === id ? problems : problems.map(within);
        found.set(shown, [...(found.get(shown) ?? []), ...said]);
      }
    }
    for (const [shown, problems] of found) session.problems.set(shown, problems);
    this.listener.refresh(session, ids.flatMap(shownNodes));
    return ids;
  }

  /** @param {Session} session */
  #clear(session) {
    const ids = [...session.problems.keys(), ...(session.job?.nodes.keys() ?? [])];
    session.problems.clear();
    this.listener.refresh(session, ids);
  }

  /**
   * @param {Session} session
   * @param {Job} job
   * @param {string} type
   * @param {any} data
   * @param {string[]} nodes
   */
  #show(session, job, type, data, nodes) {
    const touched = new Set(nodes);
    if (type === "execution_start") {
      for (const id of session.job?.nodes.keys() ?? []) touched.add(id);
      session.job = job;
    }
    if (type === "executed") this.#pictures(session, job, String(data.display_node ?? data.node), data.output);
    if (job.state !== "running") {
      for (const id of [...session.previews.keys()]) {
        session.dropPreview(id);
        touched.add(id);
      }
    }
    if (type === "execution_error" && job.state === "failed") {
      const node = data.node_id == null ? [] : shownNodes(data.node_id).slice(-1);
      this.listener.problem(
        session,
        `${data.node_type ?? "The run"} failed${data.input_name ? ` at ${data.input_name}` : ""}: ${
          String(data.exception_message ?? "")
            .trim()
            .split("\n")[0]
        }`,
        node,
      );
    }
    if (type === "execution_success") {
      this.listener.problem(session, "", []);
      this.listener.say(`Done in ${duration((job.ended - job.started) / 1000)}`, "good");
    }
    if (type === "execution_interrupted") this.listener.say("Run cancelled", "info");
    this.listener.refresh(session, touched);
  }

  /**
   * @param {Session | null} session
   * @param {Job} job
   * @param {string} node
   * @param {any} output
   */
  #pictures(session, job, node, output) {
    const files = [...(output?.images ?? []), ...(output?.gifs ?? [])].filter((file) => file?.filename);
    if (!files.length) return;
    for (const shown of shownNodes(node)) {
      session?.dropPreview(shown);
      session?.pictures.set(shown, files);
    }
    for (const file of files) this.listener.made(file, job, shownNode(node));
  }

  /** @param {import("../core/protocol/frames.js").Frame} frame */
  #frame(frame) {
    if (frame.kind === "unknown") return;
    const job = (frame.kind === "preview" && this.jobs.all.get(frame.promptId)) || this.jobs.running;
    const session = job && this.#sessionOf(job);
    if (!job || !session) return;
    const nodes = shownNodes(frame.nodeId || job.at || "");
    if (frame.kind === "preview")
      for (const node of nodes)
        session.setPreview(node, new Blob([/** @type {any} */ (frame.image)], { type: frame.mime }));
    this.listener.refresh(session, nodes);
  }

  /** @param {Job} job */
  #sessionOf(job) {
    return this.listener.sessions().find((session) => session.document.uid === job.document) ?? null;
  }
}

/**
 * A complaint about an input inside of a subgraph, for the subgraph.
 * @param {import("../view/session.js").Problem} problem
 * @returns {import("../view/session.js").Problem}
 */
function within({ input, message, details }) {
  return { input: null, message: input ? `inside, ${input}: ${message}` : message, details };
}

/**
 * A complaint of the server in words that say what to do.
 * @param {any} problem
 * @returns {import("../view/session.js").Problem}
 */
function explain({ type, message, details, extra_info: info = {} }) {
  const input = info.input_name ?? null;
  const value = typeof info.received_value === "string" ? `“${info.received_value}”` : String(info.received_value);
  /** @type {Record<string, string>} */
  const words = {
    required_input_missing: "nothing is connected here.",
    value_not_in_list: `${value} is not among the choices of this server.`,
    return_type_mismatch: `the link carries ${info.received_type ?? "another type"}, which does not fit.`,
  };
  const said = words[type] ?? (/[.!?]$/.test(message) ? message : `${message}.`);
  const way = type === "required_input_missing" ? "Draw a link to it, or drag from it to find a node." : info.remedy;
  return { input, message: said, details: way ?? (words[type] ? "" : (details ?? "")) };
}
