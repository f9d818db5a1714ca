import { isBorder, MODE, pair } from "../../core/doc/schema.js";
import { titleOf } from "../../core/graph/nodes.js";
import { bare, TITLE, WIDGET } from "../../core/nodes/layout.js";
import { duration } from "../../core/run/eta.js";
import { fill, h, icon } from "../dom.js";
import { makeWidget } from "../widgets/registry.js";
import { makeMedia } from "./media.js";
import { makeSocket, placeSocket } from "./sockets.js";

/**
 * The element of one node. It is told when its record or its results changed and brings itself in line.
 *
 * @typedef {import("../../core/nodes/layout.js").Layout} Layout
 * @typedef {import("../widgets/registry.js").WidgetView} WidgetView
 */
export class NodeElement {
  /**
   * @param {import("../editor.js").Editor} editor
   * @param {import("../session.js").Session} session
   * @param {string} id
   */
  constructor(editor, session, id) {
    this.editor = editor;
    this.session = session;
    this.id = id;
    /** @type {WidgetView[]} */
    this.widgets = [];
    /** @type {HTMLElement[]} inputs, outputs, and those that widgets offer */
    this.sockets = [];
    this.shape = "";
    this.shown = { title: "", label: "", problems: "" };
    this.root = h("section", { class: "node", role: "group", tabindex: 0, data: { node: id } });
    this.name = h("span", { class: "node-name" });
    this.badge = h("span", { class: "badge" });
    this.fold = h(
      "button",
      { class: "fold", type: "button", tabindex: -1, on: { click: () => editor.fold([id]) } },
      icon("down"),
    );
    this.bar = h("div", { class: "bar" });
    this.enter = h(
      "button",
      { class: "fold enter", type: "button", hidden: true, on: { click: () => editor.services.inside(id) } },
      icon("graph"),
    );
    this.pin = h("span", { class: "pin", title: "Pinned: it stays where it is (P)", hidden: true }, icon("pin"));
    this.more = h(
      "button",
      {
        class: "fold more",
        type: "button",
        hidden: true,
        "aria-label": "Advanced inputs",
        title: "Advanced inputs",
        on: { click: () => this.#showAdvanced() },
      },
      icon("more"),
    );
    this.head = h(
      "header",
      { class: "node-head" },
      this.fold,
      this.name,
      this.badge,
      this.pin,
      this.more,
      this.enter,
      h("div", { class: "progress" }, this.bar),
    );
    this.body = h("div", { class: "node-body" });
    this.media = makeMedia(editor, session, id);
    this.callout = h("div", { class: "callout", role: "alert", hidden: true });
    this.corner = h("div", { class: "corner", data: { resize: id } });
    this.root.append(this.head, this.body, this.media.root, this.callout, this.corner);
    // A press decides itself what it selects; the focus that it brings must not.
    this.root.addEventListener("focusin", (event) => {
      if (/** @type {Element} */ (event.target).matches(":focus-visible")) editor.focused(id);
    });
    this.update();
  }

  /** Whether somebody is using it, so that it must stay. */
  get busy() {
    return this.root.contains(document.activeElement) || this.widgets.some((widget) => widget.busy?.());
  }

  remove() {
    this.root.remove();
  }

  update() {
    const node = this.session.document.graph.node(this.id);
    if (!node) return;
    const def = this.session.definitionFor(node);
    const layout = this.session.scene.layout(this.id);
    const shape = shapeOf(node, layout, def) + this.session.missing(node.type);
    if (shape !== this.shape) {
      this.shape = shape;
      this.#build(node, layout, def);
    }
    this.#place(node, layout);
    this.#look(node, def);
    for (const widget of this.widgets) widget.update();
    this.#results(layout);
    this.#complaints(node);
  }

  /**
   * @param {import("../../core/doc/schema.js").NodeRecord} node
   * @param {Layout} layout
   * @param {import("../../core/nodes/definitions.js").NodeDef | undefined} def
   */
  #build(node, layout, def) {
    this.widgets = layout.rows.map((row) => makeWidget(this.editor, this.session, this.id, row.widget));
    this.sockets = [
      ...layout.inputs.map((socket) => makeSocket(this.session, node, "in", socket, layout)),
      ...layout.outputs.map((socket) => makeSocket(this.session, node, "out", socket, layout)),
      ...offered(layout, def).map((socket) => makeSocket(this.session, node, "in", socket, layout)),
    ];
    const before = this.#focused();
    fill(
      this.body,
      ...this.sockets,
      ...this.widgets.map((widget) => widget.root),
      this.session.missing(node.type) ? missing(node) : null,
    );
    if (before) this.#focusAgain(before);
  }

  /** What has the keyboard in here, in words that outlive the elements. */
  #focused() {
    const active = document.activeElement;
    if (!(active instanceof HTMLElement) || !this.body.contains(active)) return null;
    const { slot = "", input = "" } = active.dataset;
    const widget = /** @type {HTMLElement | null} */ (active.closest(".widget"))?.dataset.input ?? "";
    return { slot: slot.split(":").slice(0, 2).join(":"), input, widget };
  }

  /** @param {{slot: string, input: string, widget: string}} before */
  #focusAgain({ slot, input, widget }) {
    const field = widget && this.body.querySelector(`.widget[data-input="${CSS.escape(widget)}"]`);
    const socket = this.sockets.find((candidate) =>
      input ? candidate.dataset.input === input : candidate.dataset.slot?.startsWith(`${slot}:`),
    );
    const next = field ? field.querySelector("input, textarea, button") : slot ? socket : null;
    /** @type {HTMLElement | null | undefined} */ (next)?.focus({ preventScroll: true });
  }

  /**
   * @param {import("../../core/doc/schema.js").NodeRecord} node
   * @param {Layout} layout
   */
  #place(node, layout) {
    const [x, y] = pair(node.pos, [0, 0]);
    const { style } = this.root;
    style.transform = `translate(${x}px, ${y - (bare(node) ? 0 : TITLE)}px)`;
    style.width = `${layout.width}px`;
    style.height = `${layout.height + (bare(node) ? 0 : TITLE)}px`;
    const places = [...layout.inputs, ...layout.outputs, ...offered(layout, this.session.definitionFor(node))];
    for (const [index, { y: middle }] of places.entries()) placeSocket(this.sockets[index], middle);
    for (const [index, row] of layout.rows.entries()) {
      const widget = this.widgets[index];
      if (!widget) continue;
      widget.root.style.top = `${row.y}px`;
      widget.root.style.height = `${row.height}px`;
      widget.root.classList.toggle("linked", row.linked);
    }
  }

  /**
   * @param {import("../../core/doc/schema.js").NodeRecord} node
   * @param {import("../../core/nodes/definitions.js").NodeDef | undefined} def
   */
  #look(node, def) {
    const { classList, style } = this.root;
    const run = this.session.job?.nodes.get(this.id);
    classList.toggle("selected", this.session.document.selection.has(this.id));
    classList.toggle("collapsed", Boolean(node.flags?.collapsed));
    classList.toggle("bare", bare(node));
    classList.toggle("border", isBorder(node));
    classList.toggle("pinned", Boolean(node.flags?.pinned));
    this.root.dataset.mark = this.session.marks.get(this.id) ?? "";
    this.pin.hidden = !node.flags?.pinned;
    this.more.hidden = !def?.widgets.some((widget) => widget.options.advanced) || Boolean(node.flags?.collapsed);
    this.more.setAttribute("aria-pressed", String(Boolean(node.showAdvanced)));
    classList.toggle("muted", node.mode === MODE.MUTED);
    classList.toggle("bypassed", node.mode === MODE.BYPASS);
    classList.toggle("missing", this.session.missing(node.type));
    classList.toggle("note", Boolean(def?.virtual && def.widgets.length));
    style.setProperty("--title-colour", node.color || "");
    style.setProperty("--body-colour", node.bgcolor || "");
    const title = titleOf(node, def);
    if (title !== this.shown.title) this.name.textContent = this.shown.title = title;
    if (def?.help) this.head.title = def.help;
    this.root.dataset.state = run?.state ?? "";
    this.badge.textContent = badgeText(node, run);
    this.bar.style.width = run?.state === "running" && run.maximum ? `${(100 * run.value) / run.maximum}%` : "0";
    const label = ariaLabel(title, this.id, node, run);
    if (label !== this.shown.label) this.root.setAttribute("aria-label", (this.shown.label = label));
    const instance = this.session.hasInside(node.type);
    this.enter.hidden = !instance;
    if (instance) this.enter.setAttribute("aria-label", (this.enter.title = `Open ${title}: look inside`));
    this.fold.setAttribute("aria-label", node.flags?.collapsed ? `Open ${title}` : `Fold ${title}`);
  }

  #showAdvanced() {
    const { document } = this.session;
    const on = document.graph.node(this.id)?.showAdvanced;
    document.transact("Advanced inputs", (tx) => tx.set("node", this.id, ["showAdvanced"], on ? undefined : true));
  }

  /** @param {Layout} layout */
  #results(layout) {
    this.media.update(layout);
  }

  /** @param {import("../../core/doc/schema.js").NodeRecord} node */
  #complaints(node) {
    const run = this.session.job?.nodes.get(this.id);
    const problems = [...(this.session.problems.get(this.id) ?? [])];
    if (run?.message) problems.push({ input: run.input, message: run.message, details: "" });
    const words = this.shape + JSON.stringify(problems);
    if (words === this.shown.problems) return;
    this.shown.problems = words;
    this.root.classList.toggle("bad", problems.length > 0);
    const inputs = new Set(problems.map((problem) => problem.input));
    for (const element of this.body.querySelectorAll("[data-input]")) {
      const bad = inputs.has(/** @type {HTMLElement} */ (element).dataset.input ?? "");
      element.classList.toggle("bad", bad);
      const field = element.querySelector("input, textarea, button") ?? element;
      if (bad) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
    this.callout.hidden = problems.length === 0;
    const close = h(
      "button",
      {
        class: "callout-close",
        type: "button",
        "aria-label": "Dismiss",
        on: { click: () => this.editor.dismiss(this.id) },
      },
      icon("close"),
    );
    fill(this.callout, close, ...problems.map((problem) => complaint(problem, node)));
  }
}

/**
 * @param {import("../session.js").Problem} problem
 * @param {import("../../core/doc/schema.js").NodeRecord} _node
 */
function complaint({ input, message, details }, _node) {
  const more = details && details !== input && !message.includes(details) ? h("div", { class: "dim" }, details) : null;
  return h("div", { class: "complaint" }, input ? h("strong", {}, `${input}: `) : null, message, more);
}

/**
 * The sockets that widgets offer but that are not made yet.
 * @param {Layout} layout
 * @param {import("../../core/nodes/definitions.js").NodeDef | undefined} def
 * @returns {import("../../core/nodes/layout.js").Socket[]}
 */
function offered(layout, def) {
  if (layout.collapsed || !def || def.virtual) return [];
  return layout.rows
    .filter((row) => row.slot < 0 && row.widget.owner === null && !row.widget.options.socketless)
    .map((row) => ({ slot: -1, x: 0, y: row.y + WIDGET / 2, widget: row.widget.name }));
}

/**
 * What must be built anew when it changes; everything else is updated in place.
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 * @param {Layout} layout
 * @param {import("../../core/nodes/definitions.js").NodeDef | undefined} def
 */
function shapeOf(node, layout, def) {
  const inputs = (node.inputs ?? []).map((input) => [input.name, input.type, input.link, input.label]);
  const outputs = (node.outputs ?? []).map((output) => [
    output.name,
    output.type,
    output.links?.length ?? 0,
    output.label,
  ]);
  const rows = layout.rows.map((row) => [row.widget.name, row.widget.kind, row.widget.choices?.length, row.slot < 0]);
  return JSON.stringify([
    node.type,
    def?.module,
    layout.collapsed,
    Boolean(node.flags?.unused_hidden),
    inputs,
    outputs,
    rows,
    def ? 0 : node.widgets_values,
  ]);
}

/**
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 * @param {import("../../core/run/jobs.js").NodeRun | undefined} run
 */
function badgeText(node, run) {
  if (node.mode === MODE.MUTED) return "muted";
  if (node.mode === MODE.BYPASS) return "bypassed";
  if (!run) return "";
  if (run.state === "running" && run.maximum > 1) {
    const left = duration(run.pace.seconds);
    return `${run.value}/${run.maximum}${left ? ` · ${left} left` : ""}`;
  }
  if (run.state === "cached") return "kept";
  return run.state === "done" && run.seconds !== null ? duration(run.seconds) : "";
}

/**
 * @param {string} title
 * @param {string} id
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 * @param {import("../../core/run/jobs.js").NodeRun | undefined} run
 */
function ariaLabel(title, id, node, run) {
  const mode = node.mode === MODE.MUTED ? ", muted" : node.mode === MODE.BYPASS ? ", bypassed" : "";
  const pinned = node.flags?.pinned ? ", pinned" : "";
  return `${title}, node ${id}${mode}${pinned}${run ? `, ${run.state}` : ""}`;
}

/**
 * What a node of an unknown class shows: that it is unknown, and the values it keeps.
 * @param {import("../../core/doc/schema.js").NodeRecord} node
 */
function missing(node) {
  const values = Object.entries(node.widgets_values ?? {}).slice(0, 8);
  return h(
    "div",
    { class: "missing-note" },
    h("strong", {}, `“${node.type}” is not installed.`),
    " The node is kept as it is and saved with the graph.",
    h(
      "dl",
      {},
      ...values.flatMap(([name, value]) => [
        h("dt", {}, name),
        h("dd", {}, String(typeof value === "object" ? JSON.stringify(value) : value).slice(0, 80)),
      ]),
    ),
  );
}
