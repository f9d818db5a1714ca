import { bare, TITLE } from "../../core/nodes/layout.js";
import { widgetsOf } from "../../core/nodes/widgets.js";
import { fill, h } from "../dom.js";

const SAMPLE = 32;

/**
 * The pictures of a node: those it made, the one it was given, and the live one while it works. A node that has no room
 * for pictures shows the live one hanging below it, so that nothing moves.
 *
 * @param {import("../editor.js").Editor} editor
 * @param {import("../session.js").Session} session
 * @param {string} id
 */
export function makeMedia(editor, session, id) {
  const root = h("div", { class: "media", hidden: true });
  /** @type {string | null} */
  let shown = null;
  return {
    root,
    /** @param {import("../../core/nodes/layout.js").Layout} layout */
    update(layout) {
      const preview = session.previews.get(id);
      const pictures = session.pictures.get(id) ?? [];
      const given = givenPicture(session, id);
      root.hidden = layout.collapsed || !(preview || layout.media);
      if (root.hidden) return;
      place(root, layout, session.document.graph.node(id));
      const addresses = preview
        ? [preview]
        : pictures.length
          ? pictures.map((file) => editor.services.address(file))
          : given
            ? [editor.services.address(given)]
            : [];
      const key = addresses.join("\n");
      if (key === shown) return;
      shown = key;
      root.classList.toggle("many", addresses.length > 1);
      const open = (/** @type {number} */ index) =>
        preview ? undefined : editor.services.view(pictures.length ? pictures : given ? [given] : [], index);
      fill(
        root,
        ...(addresses.length
          ? addresses.map((address, index) => picture(address, Boolean(preview), () => open(index)))
          : [empty(session, id)]),
      );
    },
  };
}

/**
 * @param {HTMLElement} root
 * @param {import("../../core/nodes/layout.js").Layout} layout
 * @param {import("../../core/doc/schema.js").NodeRecord | undefined} node
 */
function place(root, { media, height }, node) {
  const title = node && bare(node) ? 0 : TITLE;
  root.classList.toggle("hanging", !media);
  root.style.top = `${title + (media ? media.y : height + 8)}px`;
  root.style.height = media ? `${media.height}px` : "";
}

/**
 * @param {string} address
 * @param {boolean} live
 * @param {() => void} open
 */
function picture(address, live, open) {
  const image = h("img", {
    src: address,
    alt: live ? "Work in progress" : "Picture of this node",
    draggable: live ? "false" : "true",
  });
  image.addEventListener("load", () => {
    image.classList.toggle("small", image.naturalWidth < 200);
    image.classList.toggle("holed", hasHoles(image));
  });
  return h("button", { type: "button", class: "picture", title: live ? "" : "Open large", on: { click: open } }, image);
}

/** Whether something of a picture is transparent, looked for in a small copy. @param {HTMLImageElement} image */
function hasHoles(image) {
  const context = new OffscreenCanvas(SAMPLE, SAMPLE).getContext("2d");
  context?.drawImage(image, 0, 0, SAMPLE, SAMPLE);
  const alphas = context?.getImageData(0, 0, SAMPLE, SAMPLE).data.filter((_, index) => index % 4 === 3);
  return alphas?.some((alpha) => alpha < 255) ?? false;
}

/**
 * @param {import("../session.js").Session} session
 * @param {string} id
 */
function empty(session, id) {
  const node = session.document.graph.node(id);
  const upload = node && session.definitionFor(node)?.widgets.some((widget) => widget.kind === "upload");
  return h("div", { class: "media-empty" }, upload ? "Drop a picture here" : "The picture appears here");
}

/**
 * The file that an upload widget names.
 * @param {import("../session.js").Session} session
 * @param {string} id
 * @returns {import("../../core/run/jobs.js").FileRef | null}
 */
function givenPicture(session, id) {
  const node = session.document.graph.node(id);
  const def = node && session.definitionFor(node);
  const upload = def?.widgets.find((widget) => widget.kind === "upload");
  if (!node || !upload) return null;
  const widget = widgetsOf(node, def).find((candidate) => candidate.name === upload.owner);
  const value = widget ? String(session.valueOf(node, widget) ?? "") : "";
  if (!value) return null;
  const [, path, type = "input"] = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(value) ?? [];
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type };
}
