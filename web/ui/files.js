import { stringifyJson } from "../core/format/json.js";
import { addNode } from "../core/graph/nodes.js";
import { withoutUnused } from "../core/graph/subgraphs.js";
import { setWidget, widgetsOf } from "../core/nodes/widgets.js";
import { askChoice, askText } from "./dialogs.js";

/**
 * Opening and saving.
 *
 * @typedef {import("../view/session.js").Session} Session
 */

const FOLDER = "workflows";

export class Files {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
  }

  /**
   * Open what a file holds; a picture without a graph becomes an input.
   * @param {File} file
   * @param {[number, number]} [at]
   */
  async openFile(file, at) {
    const { app } = this;
    const { NoGraph, readBytes, readFile } = await import("../core/format/read.js");
    const bytes = await readBytes(file);
    try {
      const { record, kind } = readFile(file.name, bytes, app.definitions);
      app.tabs.open(record, { name: file.name.replace(/\.[^.]+$/, "") });
      app.toasts.show(
        kind === "workflow" ? `Opened the graph of ${file.name}` : `Drew a graph from the prompt in ${file.name}`,
        { tone: "good" },
      );
    } catch (error) {
      if (!(error instanceof NoGraph)) throw error;
      if (file.type.startsWith("image/") && app.session && app.definitions.has("LoadImage"))
        await this.#asInput(file, at);
      else app.toasts.show(error.message, { tone: "bad" });
    }
  }

  /** @param {File} file @param {[number, number]} [at] */
  async #asInput(file, at) {
    const { session, definitions } = this.app;
    const def = definitions.get("LoadImage");
    if (!session || !def) return;
    const place = at ?? session.viewport.toGraph([session.viewport.size[0] / 2, session.viewport.size[1] / 2]);
    const id = session.document.transact("Add picture", (tx) => String(addNode(tx, def, place).id));
    session.document.select([id]);
    await this.upload(session, id, file);
  }

  /**
   * Send a picture to the server and name it in the node.
   * @param {Session} session
   * @param {string} id
   * @param {File} file
   */
  async upload(session, id, file) {
    const { app } = this;
    try {
      const { name, subfolder } = await app.server.uploadImage(file, file.name);
      const node = session.document.graph.node(id);
      const def = node && session.definitionFor(node);
      const owner = def?.widgets.find((widget) => widget.kind === "upload")?.owner;
      const widget = node && widgetsOf(node, def).find((candidate) => candidate.name === owner);
      if (!widget) return;
      const sent = subfolder ? `${subfolder}/${name}` : name;
      const value = (widget.options.image_folder ?? "input") === "input" ? sent : `${sent} [input]`;
      if (!widget.choices?.includes(value)) widget.choices?.push(value);
      session.document.transact("Choose picture", (tx) => setWidget(tx, id, widget, value, def));
    } catch (error) {
      app.toasts.show(`The picture could not be sent: ${/** @type {Error} */ (error).message}`, { tone: "bad" });
    }
  }

  /** Choose a file of this computer. */
  choose() {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".json,.safetensors,.latent,.glb,image/*,video/*,audio/*";
    input.multiple = true;
    input.addEventListener("change", async () => {
      for (const file of input.files ?? []) await this.openFile(file);
    });
    input.click();
  }

  /** @param {Session} session @param {{as?: boolean}} [options] as: under a new name */
  async save({ root: session }, { as = false } = {}) {
    const { document } = session;
    let { path } = document;
    if (as || !path) {
      const name = await askText("Save workflow as", document.name, "Save");
      if (!name?.trim()) return;
      path = `${name
        .trim()
        .replace(/[\\:*?"<>|]/g, "_")
        .replace(/\.json$/i, "")}.json`;
      if (path !== document.path && !(await this.#mayWrite(path))) return;
    }
    if (path === document.path && !(await this.#isOurs(document))) return;
    const text = stringifyJson(withView(session), 2);
    try {
      await this.app.server.request(`/userdata/${encodeURIComponent(`${FOLDER}/${path}`)}?overwrite=true`, {
        method: "POST",
        body: new Blob([text], { type: "application/octet-stream" }),
      });
    } catch (error) {
      const download = { label: "Download instead", run: () => this.download(session) };
      this.app.toasts.show(`Not saved: ${/** @type {Error} */ (error).message}`, {
        tone: "bad",
        stay: true,
        action: download,
      });
      return;
    }
    document.path = path;
    document.stamp = await this.#stamp(path);
    document.name = path.replace(/\.json$/, "");
    document.markSaved();
    await this.app.versions?.keep(session, "Saved");
    this.app.journal.snapshot(document.uid);
    this.app.tabs.draw();
    this.app.shell.update();
    this.app.panels.update("workflows");
    this.app.toasts.show(`Saved as ${path}`, { tone: "good" });
  }

  /** @param {string} path */
  async #mayWrite(path) {
    const present = await this.list();
    if (!present.some((file) => file.path === path)) return true;
    return (
      (await askChoice("Replace?", `There is a workflow named ${path} already.`, ["Cancel", "Replace"])) === "Replace"
    );
  }

  /**
   * Whether the file is as it was when it was read or written here; another window may have saved since.
   * @param {import("../core/doc/document.js").Document} document
   */
  async #isOurs({ path, stamp }) {
    const now = path === null ? null : await this.#stamp(path);
    if (stamp === null || now === null || now === stamp) return true;
    const question = `${path} was changed elsewhere since it was opened here.`;
    return (await askChoice("Replace the newer file?", question, ["Cancel", "Replace"])) === "Replace";
  }

  /** @param {string} path @returns {Promise<number | null>} when the file was written */
  async #stamp(path) {
    return (await this.list()).find((file) => file.path === path)?.modified ?? null;
  }

  /** @returns {Promise<{path: string, modified: number}[]>} the saved workflows, newest first */
  async list() {
    const files = await this.app.server.get(`/userdata?dir=${FOLDER}&recurse=true&full_info=true`).catch(() => []);
    return files
      .filter((/** @type {any} */ file) => /\.json$/i.test(file.path) && !/(^|\/)\./.test(file.path))
      .sort((/** @type {any} */ a, /** @type {any} */ b) => b.modified - a.modified);
  }

  /** @param {string} path */
  async openSaved(path) {
    const { app } = this;
    const open = app.tabs.sessions.find((session) => session.document.path === path);
    if (open) {
      app.tabs.show(open);
      return;
    }
    try {
      const { readFile } = await import("../core/format/read.js");
      const response = await app.server.request(`/userdata/${encodeURIComponent(`${FOLDER}/${path}`)}`);
      const { record } = readFile(path, new Uint8Array(await response.arrayBuffer()), app.definitions);
      const stamp = await this.#stamp(path);
      const { document } = app.tabs.open(record, { name: path.replace(/\.json$/, ""), path });
      document.stamp = stamp;
    } catch (error) {
      app.toasts.show(`${path} could not be opened: ${/** @type {Error} */ (error).message}`, { tone: "bad" });
    }
  }

  /** @param {string} path */
  async remove(path) {
    if ((await askChoice("Delete workflow?", `${path} is deleted from the server.`, ["Cancel", "Delete"])) !== "Delete")
      return;
    try {
      await this.app.server.request(`/userdata/${encodeURIComponent(`${FOLDER}/${path}`)}`, { method: "DELETE" });
    } catch (error) {
      this.app.toasts.show(`Not deleted: ${/** @type {Error} */ (error).message}`, { tone: "bad" });
    }
    this.app.panels.update("workflows");
  }

  /** Give the graph to the browser as a file. @param {Session} session @param {{api?: boolean}} [options] */
  async download({ root: session }, { api = false } = {}) {
    const { compilePrompt } = await import("../core/graph/prompt.js");
    const data = api ? compilePrompt(session.document.graph, session.definitions) : withView(session);
    const address = URL.createObjectURL(new Blob([stringifyJson(data, 2)], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${session.document.name}${api ? ".api" : ""}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
}

/** The workflow with the place where one looks, as the files have it. @param {Session} session */
function withView({ document, viewport }) {
  const record = withoutUnused(document.toRecord(), document.unused);
  const {
    scale,
    offset: [x, y],
  } = viewport;
  record.extra = { ...record.extra, ds: { ...record.extra?.ds, scale, offset: [x / scale, y / scale] } };
  return record;
}
