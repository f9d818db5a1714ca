import { Journal } from "./journal.js";
import { uuid } from "../core/doc/ids.js";
import { readDefinitions } from "../core/nodes/definitions.js";
import { Server } from "../core/protocol/client.js";
import { Editor } from "../view/editor.js";
import { typing } from "../view/dom.js";
import { listenKeys } from "./commands.js";
import { editorServices } from "./services.js";
import { Panels } from "./panels.js";
import { applyTheme, Settings } from "./settings.js";
import { Shell } from "./shell.js";
import { Tabs } from "./tabs.js";
import { Toasts } from "./toasts.js";

/**
 * The page: makes the parts and introduces them to each other. Has no behaviour of its own beyond that.
 */
export class App {
  /** @param {HTMLElement} body */
  constructor(body) {
    this.settings = new Settings();
    applyTheme(this.settings);
    this.toasts = new Toasts();
    this.journal = new Journal();
    /** @type {Map<string, import("../core/nodes/definitions.js").NodeDef>} */
    this.definitions = readDefinitions({});
    this.ready = false;
    this.server = new Server("", (type, data) => this.#receive(type, data));
    this.shell = new Shell(body, this);
    this.editor = new Editor(this.shell.stage, editorServices(this));
    this.panels = new Panels(this);
    this.tabs = new Tabs(this);
    /** @type {import("./commands.js").Command[]} */
    this.commands = [];
    /** @type {import("./gallery.js").Gallery | null} the rest comes after the first picture of the graph */
    this.gallery = null;
    /** @type {import("./files.js").Files | null} */
    this.files = null;
    /** @type {import("./runner.js").Runner | null} */
    this.runner = null;
    /** @type {import("./minimap.js").Minimap | null} */
    this.map = null;
    /** @type {import("./levels.js").Levels | null} */
    this.levels = null;
    /** @type {import("./versions.js").Versions | null} */
    this.versions = null;
  }

  /** What is on screen: a workflow, or the inside of one of its subgraphs. */
  get session() {
    return this.tabs.current?.front ?? null;
  }

  async start() {
    this.#listen();
    this.journal.onFailure = (text) => this.toasts.show(text, { tone: "bad", stay: true });
    await this.journal.open();
    const [clientId, kept] = await Promise.all([ownClientId(this.journal), this.journal.kept("catalogue")]);
    this.server.clientId = clientId;
    if (kept) this.definitions = readDefinitions(kept);
    this.panels.restore();
    await this.tabs.restore();
    await this.#complete();
    this.panels.update(this.panels.shown);
    this.server.connect();
    this.shell.update();
    await this.loadCatalogue();
    this.gallery?.load();
    const [{ Minimap }, { welcome }] = await Promise.all([import("./minimap.js"), import("./welcome.js")]);
    this.map = new Minimap(this);
    welcome(this);
  }

  /** The parts that drawing the graph does not need, so that they do not hold it up. */
  async #complete() {
    const [{ Runner }, { Gallery }, { Files }, { makeCommands }, { listenClipboard }, { listenDrops }, { Levels }, { Versions }] =
      await Promise.all([
        import("./runner.js"),
        import("./gallery.js"),
        import("./files.js"),
        import("./command_list.js"),
        import("./clipboard.js"),
        import("./drops.js"),
        import("./levels.js"),
        import("./versions.js"),
        this.editor.listen(),
      ]);
    this.files = new Files(this);
    this.gallery = new Gallery(this);
    this.levels = new Levels(this);
    this.versions = new Versions(this);
    this.runner = new Runner(this.server, {
      sessions: () => this.tabs.sessions,
      seeds: () => this.settings.get("seeds"),
      refresh: (session, nodes) => {
        if (session === this.tabs.current) this.editor.refresh(session.front.local(nodes));
      },
      changed: () => {
        this.shell.update();
        this.panels.progress();
        if (this.runner?.jobs.all.size && !this.settings.get("welcomed")) this.settings.set("welcomed", true);
      },
      sent: (session) => void this.versions?.keep(session, "Ran"),
      made: (file) => {
        this.gallery?.add(file);
        this.panels.update("pictures");
      },
      problem: (session, text, nodes) => this.shell.problem(session, text, nodes),
      say: (text, tone) => this.toasts.show(text, { tone }),
    });
    this.commands = makeCommands(this);
    listenKeys(this.commands, () => document.querySelector("dialog[open], .popup") !== null);
    listenClipboard(this);
    listenDrops(this);
  }

  /** Ask for the node classes, until the server has them. */
  async loadCatalogue() {
    for (let wait = 500; ; wait = Math.min(wait * 1.5, 4000)) {
      try {
        const { askForChoices } = await import("../core/nodes/remote.js"); // only now: the graph is drawn before
        const catalogue = await askForChoices(await this.server.get("/object_info"), (at) => this.server.getAt(at));
        this.definitions = readDefinitions(catalogue);
        this.journal.keep("catalogue", catalogue);
        this.ready = true;
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    for (const session of this.tabs.sessions) session.recatalogue(this.definitions);
    if (this.session) this.editor.refresh(this.session.document.graph.nodes.keys());
    this.shell.update();
    this.panels.update("nodes");
  }

  #listen() {
    this.settings.listeners.add((name) => this.#setting(name));
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.#setting("theme"));
    window.addEventListener("pagehide", () => this.journal.snapshotAll());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.journal.snapshotAll();
    });
    const hand = (/** @type {KeyboardEvent} */ event) => {
      if (event.code === "Space" && !typing(event.target))
        this.shell.stage.classList.toggle("hand", event.type === "keydown");
    };
    document.addEventListener("keydown", hand);
    document.addEventListener("keyup", hand);
  }

  /** @param {string} name */
  #setting(name) {
    if (name === "links") this.editor.restyle();
    if (name === "theme" || name === "motion") {
      applyTheme(this.settings);
      this.editor.recolour();
    }
    this.map?.update();
    this.shell.update();
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #receive(type, data) {
    if (type === "socket") {
      this.shell.connection(data);
      if (data) {
        this.runner?.catchUp();
        this.panels.update("queue");
      }
      return;
    }
    if (type === "nodes_changed") this.loadCatalogue();
    this.runner?.receive(type, data);
    if (type === "status") this.panels.update("queue");
  }
}

/**
 * This window's name for the server: kept over a reload, not shared with a copy of the window.
 * @param {Journal} journal
 */
async function ownClientId({ claims }) {
  const kept = sessionStorage.getItem("latent-loom.client");
  const id = kept && (await claims.claim(`client:${kept}`)) ? kept : uuid();
  if (id !== kept) await claims.claim(`client:${id}`);
  sessionStorage.setItem("latent-loom.client", id);
  return id;
}
