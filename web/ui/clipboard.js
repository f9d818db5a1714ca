import { typing } from "../view/dom.js";
import { clipFromHtml, clipHtml } from "../core/format/clipboard_html.js";
import { copyText, pasteText, removeSelection } from "./actions.js";
import { attempt } from "./subgraph_actions.js";

/**
 * Copy, cut and paste through the system's clipboard, as text: between tabs, windows and browsers.
 * @param {import("./app.js").App} app
 */
export function listenClipboard(app) {
  const free = (/** @type {Event} */ event) =>
    !typing(event.target) && !document.querySelector("dialog[open]") && !readsText();
  const copy = (/** @type {ClipboardEvent} */ event) => {
    const text = app.session && free(event) ? copyText(app.session) : null;
    if (!text || !event.clipboardData) return false;
    event.clipboardData.setData("text/plain", text);
    event.clipboardData.setData("text/html", clipHtml(text));
    event.preventDefault();
    return true;
  };
  document.addEventListener("copy", (event) => {
    if (copy(event)) app.toasts.announce("Copied");
  });
  document.addEventListener("cut", (event) => {
    if (copy(event) && app.session) removeSelection(app.session);
  });
  document.addEventListener("paste", (event) => {
    if (!app.session || !free(event) || !event.clipboardData) return;
    event.preventDefault();
    const [file] = event.clipboardData.files;
    const target = file?.type.startsWith("image/") ? takerOf(app.session) : null;
    if (target) app.files?.upload(app.session, target, file);
    else if (file) app.files?.openFile(file);
    else {
      const carried = clipFromHtml(event.clipboardData.getData("text/html"));
      pasteAnything(app, carried || event.clipboardData.getData("text/plain"));
    }
  });
}

/** The one selected node, where it takes pictures. @param {import("../view/session.js").Session} session */
function takerOf(session) {
  const [node, ...others] = session.document.selectedNodes();
  const takes = node && session.definitionFor(node)?.widgets.some((widget) => widget.kind === "upload");
  return takes && !others.length ? String(node.id) : null;
}

/** Whether somebody has marked words of a message, which are then what is copied. */
function readsText() {
  const selection = getSelection();
  return Boolean(
    selection &&
    !selection.isCollapsed &&
    selection.anchorNode?.parentElement?.closest(".callout, .problem-bar, .toast"),
  );
}

/**
 * @param {import("./app.js").App} app
 * @param {string} text
 */
async function pasteAnything(app, text) {
  const { session, editor } = app;
  if (!session || !text.trim()) return;
  const at = session.viewport.toGraph(editor.pointer);
  let pasted = true;
  attempt(app, () => {
    pasted = pasteText(session, text, at);
  });
  if (pasted) return;
  const { NoGraph, readJson } = await import("../core/format/read.js");
  try {
    const { record } = readJson(text, app.definitions, "The clipboard");
    app.tabs.open(record, { name: "Pasted" });
  } catch (error) {
    if (!(error instanceof NoGraph)) throw error;
    app.toasts.show("The clipboard holds no nodes.", { tone: "info" });
  }
}
