import { shownNodes } from "../core/run/jobs.js";
import { h, icon } from "../view/dom.js";

/**
 * The strip of pictures, newest first. A picture can be opened large, dragged to a node, or dragged to the field to
 * open its graph.
 *
 * @typedef {import("../core/run/jobs.js").FileRef} FileRef
 */

const KEPT = 200;
const LOADED = 60;

export class Gallery {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {FileRef[]} newest first */
    this.files = [];
    this.root = app.shell.strip;
    this.list = h("div", { class: "strip-list", role: "list" });
    this.empty = h("p", { class: "strip-empty" }, icon("image"), "Pictures you make appear here.");
    this.root.append(this.empty, this.list);
    const show = () => {
      this.root.hidden = !app.settings.get("strip");
    };
    app.settings.listeners.add(show);
    show();
    this.list.addEventListener("keydown", (event) => this.#keys(event));
  }

  /** Fill the strip with what was made before. */
  async load() {
    const history = await this.app.server.get(`/history?max_items=${LOADED}`).catch(() => ({}));
    for (const entry of Object.values(history)) {
      const session = this.app.tabs.sessions.find(
        ({ document }) => document.uid === entry.prompt?.[3]?.metadata?.document,
      );
      for (const [node, output] of Object.entries(entry.outputs ?? {})) {
        const files = (output.images ?? []).filter((/** @type {FileRef} */ file) => file?.filename);
        for (const file of files) this.#insert(file, false);
        if (session && files.length) {
          for (const shown of shownNodes(node)) session.pictures.set(shown, files);
          if (session === this.app.tabs.current) this.app.editor.refresh(session.front.local(shownNodes(node)));
        }
      }
    }
  }

  /**
   * @param {FileRef} file
   */
  add(file) {
    this.#insert(file, true);
    this.list.scrollTo({ left: 0, behavior: "smooth" });
  }

  /**
   * Open pictures large.
   * @param {FileRef[]} files
   * @param {number} index
   */
  async open(files, index) {
    if (!files.length) return;
    const { openViewer } = await import("./viewer.js");
    openViewer(this.app, files, index);
  }

  /** @param {FileRef} file @param {boolean} fresh */
  #insert(file, fresh) {
    if (this.files.some((other) => this.app.server.address(other) === this.app.server.address(file))) return;
    this.files.unshift(file);
    this.list.prepend(this.#thumbnail(file, fresh));
    while (this.files.length > KEPT) {
      this.files.pop();
      this.list.lastElementChild?.remove();
    }
    this.empty.hidden = true;
  }

  /** @param {FileRef} file @param {boolean} fresh */
  #thumbnail(file, fresh) {
    const image = h("img", {
      src: this.app.server.address(file),
      alt: file.filename,
      loading: "lazy",
      draggable: "true",
    });
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 160));
    image.addEventListener("error", () => button.classList.add("gone"));
    const open = () => this.open(this.files, this.files.indexOf(file));
    const button = h(
      "button",
      {
        type: "button",
        class: `thumb${fresh ? " fresh" : ""}`,
        title: file.filename,
        "aria-label": `Open ${file.filename} large`,
        on: { click: open },
      },
      image,
    );
    return h("div", { role: "listitem" }, button);
  }

  /** @param {KeyboardEvent} event */
  #keys(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll("button")]);
    all[all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step]?.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
