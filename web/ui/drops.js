import { addFromSearch } from "./actions.js";

/**
 * Files and pictures dropped on the page: on a node that takes pictures they are its input, elsewhere their graph opens.
 * @param {import("./app.js").App} app
 */
export function listenDrops(app) {
  const { stage } = app.shell;
  let depth = 0;
  const show = (/** @type {boolean} */ on) => stage.classList.toggle("dropping", on);
  document.addEventListener("dragenter", (event) => {
    if (!useful(event)) return;
    depth += 1;
    show(true);
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) show(false);
  });
  document.addEventListener("dragover", (event) => {
    if (useful(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    depth = 0;
    show(false);
    if (!event.dataTransfer || !useful(event)) return;
    event.preventDefault();
    drop(app, event, event.dataTransfer);
  });
}

/** @param {DragEvent} event */
function useful({ dataTransfer }) {
  const types = dataTransfer?.types ?? [];
  return types.includes("Files") || types.includes("text/uri-list") || types.includes("application/x-loom-node");
}

/**
 * @param {import("./app.js").App} app
 * @param {DragEvent} event
 * @param {DataTransfer} data
 */
async function drop(app, event, data) {
  const { session } = app;
  const type = data.getData("application/x-loom-node");
  const def = type && session?.definitions.get(type);
  if (def && session) {
    addFromSearch(session, def, { at: app.editor.graphPoint(event), screen: [0, 0] });
    return;
  }
  const target = session && uploadTarget(app, event);
  const files = data.files.length ? [...data.files] : await fetchPicture(data.getData("text/uri-list"));
  if (session && target && files[0]?.type.startsWith("image/")) app.files?.upload(session, target, files[0]);
  else for (const file of files) await app.files?.openFile(file, app.editor.graphPoint(event));
}

/**
 * A picture dragged from the gallery comes as its address; only our own are fetched.
 * @param {string} list
 * @returns {Promise<File[]>}
 */
async function fetchPicture(list) {
  const address = list.split(/\r?\n/).find((line) => line && !line.startsWith("#"));
  if (!address || new URL(address, location.href).origin !== location.origin) return [];
  const blob = await (await fetch(address)).blob();
  const name = new URL(address, location.href).searchParams.get("filename") ?? "picture.png";
  return [new File([blob], name, { type: blob.type })];
}

/**
 * @param {import("./app.js").App} app
 * @param {DragEvent} event
 * @returns {string | null} the node under the cursor, where it takes uploads
 */
function uploadTarget(app, event) {
  const id = app.session?.scene.nodeAt(app.editor.graphPoint(event));
  const node = id && app.session?.document.graph.node(id);
  return node && app.session?.definitionFor(node)?.widgets.some((widget) => widget.kind === "upload") ? id : null;
}
