import { duration } from "../../core/run/eta.js";
import { fill, h, iconButton } from "../../view/dom.js";

/**
 * What runs, what waits, what has run. Everything comes from the server, so that all windows show the same.
 * @param {import("../app.js").App} app
 */
export function makePanel(app) {
  const waiting = h("div", { class: "panel-list" });
  const past = h("div", { class: "panel-list" });
  const clear = (/** @type {string} */ path) => async () => {
    await app.server.post(path, { clear: true }).catch(() => null);
    update();
  };
  let asked = 0;
  const update = async () => {
    asked += 1;
    const mine = asked;
    const [queue, history] = await Promise.all([
      app.server.get("/queue").catch(() => ({ queue_running: [], queue_pending: [] })),
      app.server.get("/history?max_items=50").catch(() => ({})),
    ]);
    if (mine !== asked) return;
    const pending = [...queue.queue_pending].sort((/** @type {any[]} */ a, /** @type {any[]} */ b) => a[0] - b[0]);
    fill(
      waiting,
      ...queue.queue_running.map((/** @type {any[]} */ item) => waitingRow(app, item, true, update)),
      ...pending.map((item) => waitingRow(app, item, false, update)),
      queue.queue_running.length + pending.length ? null : h("p", { class: "dim" }, "Nothing waits."),
    );
    const entries = Object.entries(history).reverse();
    fill(
      past,
      ...entries.map(([id, entry]) => pastRow(app, id, entry, update)),
      entries.length ? null : h("p", { class: "dim" }, "Nothing has run yet."),
    );
  };
  return {
    root: h(
      "div",
      { class: "panel-body" },
      h(
        "div",
        { class: "panel-title" },
        h("h3", {}, "Running and waiting"),
        iconButton("trash", "Take all waiting runs back", clear("/queue")),
      ),
      waiting,
      h(
        "div",
        { class: "panel-title" },
        h("h3", {}, "History"),
        iconButton("trash", "Forget the history (pictures stay)", clear("/history")),
      ),
      past,
    ),
    update,
  };
}

/**
 * @param {import("../app.js").App} app
 * @param {any[]} item
 * @param {boolean} running
 * @param {() => void} update
 */
function waitingRow(app, [, id, prompt, extra], running, update) {
  const stop = async () => {
    await (
      running ? app.server.post("/interrupt", { prompt_id: id }) : app.server.post("/queue", { delete: [id] })
    ).catch(() => null);
    update();
  };
  const name = app.tabs.sessions.find((session) => session.document.uid === extra?.metadata?.document)?.document.name;
  return h(
    "div",
    { class: `job${running ? " running" : ""}` },
    h("span", { class: "row-title" }, `${running ? "Running" : "Waiting"}${name ? ` · ${name}` : ""}`),
    h("span", { class: "count" }, `${Object.keys(prompt ?? {}).length} nodes`),
    iconButton("close", running ? "Cancel" : "Take back", stop),
  );
}

/**
 * @param {import("../app.js").App} app
 * @param {string} id
 * @param {any} entry
 * @param {() => void} update
 */
function pastRow(app, id, entry, update) {
  const files = Object.values(entry.outputs ?? {}).flatMap((/** @type {any} */ output) => output.images ?? []);
  const messages = Object.fromEntries(entry.status?.messages ?? []);
  const start = messages.execution_start?.timestamp;
  const end = Object.values(messages).at(-1)?.timestamp;
  const failed = messages.execution_error?.exception_message?.trim().split("\n")[0];
  const words = entry.status?.completed
    ? "Done"
    : messages.execution_interrupted
      ? "Cancelled"
      : `Failed${failed ? `: ${failed}` : ""}`;
  const workflow = entry.prompt?.[3]?.extra_pnginfo?.workflow;
  const thumbs = files.slice(0, 6).map((/** @type {any} */ file, /** @type {number} */ index) =>
    h(
      "button",
      {
        type: "button",
        class: "thumb tiny",
        "aria-label": `Open ${file.filename} large`,
        on: { click: () => app.gallery?.open(files, index) },
      },
      h("img", { src: app.server.address(file), alt: "", loading: "lazy" }),
    ),
  );
  const open = () =>
    app.tabs.open(structuredClone(workflow), { name: `Run ${new Date(start ?? Date.now()).toLocaleTimeString()}` });
  const forget = async () => {
    await app.server.post("/history", { delete: [id] }).catch(() => null);
    update();
  };
  return h(
    "div",
    { class: `job past${entry.status?.completed ? "" : " bad"}` },
    h("span", { class: "row-title", title: words }, words),
    h("span", { class: "count" }, start && end ? duration((end - start) / 1000) : ""),
    workflow ? iconButton("graph", "Open the graph of this run", open) : null,
    iconButton("close", "Forget", forget),
    thumbs.length ? h("div", { class: "job-thumbs" }, ...thumbs) : null,
  );
}
