import { pngTexts, webpTexts } from "../core/format/png.js";
import { fill, h, icon, iconButton } from "../view/dom.js";

/**
 * One picture on the whole page: wheel or pinch to zoom, drag to move, arrows for the next.
 *
 * @typedef {import("../core/run/jobs.js").FileRef} FileRef
 * @param {import("./app.js").App} app
 * @param {FileRef[]} files
 * @param {number} start
 */
export function openViewer(app, files, start) {
  let index = start;
  const image = h("img", { class: "viewer-image", draggable: "false", alt: "" });
  const name = h("span", { class: "viewer-name" });
  const facts = h("div", { class: "viewer-facts" });
  const download = h("a", { class: "icon-button", title: "Download", "aria-label": "Download" }, icon("download"));
  const graph = h(
    "button",
    { type: "button", class: "button", on: { click: () => openGraph() } },
    icon("graph"),
    "Open its graph",
  );
  const step = (/** @type {number} */ by) => {
    index = (index + by + files.length) % files.length;
    show();
  };
  const space = h("div", { class: "viewer-space" }, image);
  const arrows =
    files.length > 1
      ? [
          iconButton("left", "Newer picture", () => step(-1), { class: "viewer-arrow left" }),
          iconButton("right", "Older picture", () => step(1), { class: "viewer-arrow right" }),
        ]
      : [];
  const dialog = h(
    "dialog",
    { class: "viewer", "aria-label": "Picture" },
    space,
    ...arrows,
    h(
      "footer",
      { class: "viewer-bar" },
      name,
      facts,
      graph,
      download,
      iconButton("close", "Close", () => dialog.close()),
    ),
  );
  const look = panZoom(space, image);
  const show = () => {
    const file = files[index];
    const address = app.server.address(file);
    image.src = address;
    image.alt = file.filename;
    name.textContent = files.length > 1 ? `${file.filename} · ${index + 1} of ${files.length}` : file.filename;
    download.setAttribute("href", address);
    download.setAttribute("download", file.filename);
    fill(facts);
    look.reset();
    readFacts(address).then((found) => {
      if (files[index] === file)
        fill(
          facts,
          ...found.map(([key, value]) => h("span", { title: `${key}: ${value}` }, h("b", {}, key), " ", value)),
        );
    });
  };
  const openGraph = async () => {
    const file = files[index];
    const blob = await (await fetch(app.server.address(file))).blob();
    dialog.close();
    await app.files?.openFile(new File([blob], file.filename, { type: blob.type }));
  };
  image.addEventListener("load", () => {
    image.classList.toggle("small", image.naturalWidth < 256);
    look.reset();
  });
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  show();
}

/**
 * What the picture says of its making, in few words.
 * @param {string} address
 * @returns {Promise<[string, string][]>}
 */
async function readFacts(address) {
  try {
    const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
    const texts = { ...webpTexts(bytes), ...pngTexts(bytes) };
    const prompt = JSON.parse(texts.prompt ?? "{}");
    const inputs = Object.values(prompt).map((/** @type {any} */ node) => node.inputs ?? {});
    const sampler = inputs.find((entry) => "seed" in entry || "noise_seed" in entry);
    const words = inputs.map((entry) => entry.text).find((text) => typeof text === "string" && text.trim());
    /** @type {[string, unknown][]} */
    const facts = [
      ["prompt", words],
      ["seed", sampler?.seed ?? sampler?.noise_seed],
      ["steps", sampler?.steps],
      ["cfg", sampler?.cfg],
      ["sampler", sampler?.sampler_name],
    ];
    return facts
      .filter(([, value]) => value !== undefined && typeof value !== "object")
      .map(([key, value]) => [key, String(value)]);
  } catch {
    return [];
  }
}

/**
 * @param {HTMLElement} space
 * @param {HTMLImageElement} image
 */
function panZoom(space, image) {
  let [scale, x, y] = [1, 0, 0];
  const draw = () => {
    image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  };
  const reset = () => {
    [scale, x, y] = [1, 0, 0];
    const fit = Math.min(
      (space.clientWidth * 0.94) / (image.naturalWidth || 1),
      (space.clientHeight * 0.94) / (image.naturalHeight || 1),
    );
    image.style.width = `${(image.naturalWidth || 1) * Math.min(fit, image.naturalWidth < 256 ? 12 : 2)}px`;
    draw();
  };
  space.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = space.getBoundingClientRect();
      const [cx, cy] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
      const next = Math.min(Math.max(scale * Math.exp(-event.deltaY * 0.0015), 0.2), 40);
      [x, y] = [cx - (cx - x) * (next / scale), cy - (cy - y) * (next / scale)];
      scale = next;
      draw();
    },
    { passive: false },
  );
  space.addEventListener("pointerdown", (down) => {
    const [startX, startY] = [x - down.clientX, y - down.clientY];
    space.setPointerCapture(down.pointerId);
    const move = (/** @type {PointerEvent} */ event) => {
      [x, y] = [startX + event.clientX, startY + event.clientY];
      draw();
    };
    space.addEventListener("pointermove", move);
    space.addEventListener("pointerup", () => space.removeEventListener("pointermove", move), { once: true });
  });
  space.addEventListener("dblclick", reset);
  return { reset };
}
