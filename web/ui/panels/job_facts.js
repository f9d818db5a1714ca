import { duration } from "../../core/run/eta.js";

/**
 * What a person wants to know of a job, read from what the server tells of it.
 *
 * @typedef {import("../../core/run/jobs.js").FileRef} FileRef
 * @typedef {"running" | "waiting" | "done" | "failed" | "cancelled"} Standing
 * @typedef {{id: string, standing: Standing, title: string, document: string | null, nodes: number, files: FileRef[],
 *   error: string, seconds: number | null, ended: number, workflow: any, seed: unknown, found: string}} JobFacts
 *   found: everything that a search looks through, in small letters
 */

const WORDS = /^(text|text_g|text_l|prompt|t5xxl|clip_l|clip_g|tags|lyrics)$/;

/**
 * @param {any[]} item of the queue
 * @param {Standing} standing
 * @returns {JobFacts}
 */
export function factsOfItem([, id, prompt, extra], standing) {
  const nodes = Object.keys(prompt ?? {}).length;
  const { words, seed } = readPrompt(prompt);
  return {
    id,
    standing,
    title: words || (nodes === 1 ? "1 node" : `${nodes} nodes`),
    document: extra?.metadata?.document ?? null,
    nodes,
    files: [],
    error: "",
    seconds: null,
    ended: 0,
    workflow: extra?.extra_pnginfo?.workflow ?? null,
    seed,
    found: "",
  };
}

/**
 * @param {string} id
 * @param {any} entry of the history
 * @returns {JobFacts}
 */
export function factsOfEntry(id, entry) {
  const messages = Object.fromEntries(entry.status?.messages ?? []);
  const start = messages.execution_start?.timestamp;
  const end = Object.values(messages).at(-1)?.timestamp ?? start ?? 0;
  const standing = entry.status?.completed ? "done" : messages.execution_interrupted ? "cancelled" : "failed";
  const failure = messages.execution_error;
  const where = [failure?.node_type, failure?.input_name].filter(Boolean).join(", ");
  const error = standing === "failed" ? `${where ? `${where}: ` : ""}${firstLine(failure)}` : "";
  const facts = factsOfItem([0, id, entry.prompt?.[2], entry.prompt?.[3]], standing);
  const files = Object.values(entry.outputs ?? {})
    .flatMap((/** @type {any} */ output) => [...(output.images ?? []), ...(output.gifs ?? [])])
    .filter((/** @type {any} */ file) => file?.filename);
  const found = [facts.title, error, standing, `seed ${facts.seed}`, ...files.map((file) => file.filename), id];
  return {
    ...facts,
    files,
    error,
    seconds: start && end ? (end - start) / 1000 : null,
    ended: end,
    found: found.join("\n").toLowerCase(),
  };
}

/** @param {any} failure */
function firstLine(failure) {
  return (
    String(failure?.exception_message ?? "")
      .trim()
      .split("\n")[0] || "the run failed"
  );
}

/** The words and the seed that a prompt says first. @param {any} prompt */
function readPrompt(prompt) {
  const entries = Object.values(prompt ?? {}).flatMap((/** @type {any} */ node) => Object.entries(node.inputs ?? {}));
  const words = entries.find(([name, value]) => WORDS.test(name) && typeof value === "string" && value.trim());
  const seed = entries.find(([name, value]) => /^(noise_)?seed$/.test(name) && typeof value !== "object");
  return { words: words ? String(words[1]).trim().replace(/\s+/g, " ") : "", seed: seed?.[1] };
}

/**
 * A line below the title.
 * @param {JobFacts} facts
 * @param {string | undefined} name of its document, if that is open
 */
export function subtitle(facts, name) {
  const words = { running: "Running", waiting: "Waiting", done: "", failed: "Failed", cancelled: "Cancelled" };
  return [
    words[facts.standing],
    name,
    facts.standing === "done" && facts.seconds !== null ? duration(facts.seconds) : "",
    facts.ended ? moment(facts.ended) : "",
    facts.files.length > 1 ? `${facts.files.length} pictures` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** @param {number} time milliseconds */
function moment(time) {
  const [date, today] = [new Date(time), new Date()];
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return date.toDateString() === today.toDateString() ? clock : `${date.toLocaleDateString()} ${clock}`;
}
