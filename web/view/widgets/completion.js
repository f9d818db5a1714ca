import { score } from "../../core/search/fuzzy.js";
import { fill, h } from "../dom.js";

const SHOWN = 12;
const PREFIX = "embedding:";
const WORD = /(?:^|[\s,(])embedding:([^\s,()]*)$/i;

/** The list of embeddings below a prompt that fit the word being typed. */
export class Completion {
  /**
   * @param {HTMLTextAreaElement} area
   * @param {import("./registry.js").Host} host
   */
  constructor(area, host) {
    this.area = area;
    this.host = host;
    /** @type {string[] | null} asked for once, when first needed */
    this.names = null;
    /** @type {string[]} */
    this.found = [];
    this.active = 0;
    this.root = h("div", { class: "popup completion", role: "listbox", id: "completion", "aria-label": "Embeddings" });
    area.addEventListener("keydown", (event) => this.#press(event), true);
    area.addEventListener("blur", () => this.close());
  }

  get open() {
    return this.root.isConnected;
  }

  /** The text changed: show what fits, or nothing. */
  async update() {
    if (this.#word === null) return this.close();
    this.names ??= await this.host.editor.services.embeddings();
    const word = this.#word;
    if (word === null) return this.close();
    const found = this.names
      .map((name) => ({ name, at: score(word, name) }))
      .filter(({ name, at }) => at > 0 && name !== word)
      .sort((a, b) => b.at - a.at)
      .slice(0, SHOWN)
      .map(({ name }) => name);
    if (this.open && found.join("\n") === this.found.join("\n")) return undefined; // what is marked stays marked
    this.found = found;
    return found.length ? this.#draw() : this.close();
  }

  close() {
    this.root.remove();
    this.area.removeAttribute("aria-controls");
    this.area.removeAttribute("aria-activedescendant");
  }

  /** What stands after "embedding:" before the cursor, null where nothing does. */
  get #word() {
    return WORD.exec(this.area.value.slice(0, this.area.selectionStart))?.[1] ?? null;
  }

  #draw() {
    this.active = 0;
    const option = (/** @type {string} */ name, /** @type {number} */ index) =>
      h(
        "div",
        {
          class: "chooser-option",
          role: "option",
          id: `completion-${index}`,
          on: {
            pointerdown: (/** @type {PointerEvent} */ event) => {
              event.preventDefault();
              this.#take(index);
            },
          },
        },
        name,
      );
    fill(this.root, ...this.found.map(option));
    if (!this.open) document.body.append(this.root);
    const { left, bottom } = this.area.getBoundingClientRect();
    const { height } = this.root.getBoundingClientRect();
    this.root.style.left = `${left}px`;
    this.root.style.top = `${Math.min(bottom + 4, window.innerHeight - height - 8)}px`;
    this.area.setAttribute("aria-controls", "completion");
    this.#mark();
  }

  #mark() {
    [...this.root.children].forEach((option, index) => {
      option.classList.toggle("active", index === this.active);
      option.setAttribute("aria-selected", String(index === this.active));
    });
    this.area.setAttribute("aria-activedescendant", `completion-${this.active}`);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (!this.open || event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.active = (this.active + step + this.found.length) % this.found.length;
      this.#mark();
    } else if (event.key === "Enter" || event.key === "Tab") this.#take(this.active);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {number} index */
  #take(index) {
    const { area, host } = this;
    const word = this.#word;
    this.close();
    if (word === null) return;
    const end = area.selectionStart;
    area.setRangeText(`${PREFIX}${this.found[index]}`, end - word.length - PREFIX.length, end, "end");
    host.set(area.value, false);
  }
}
