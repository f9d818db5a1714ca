import { needsOf } from "../../core/nodes/needs.js";
import { fill, h } from "../../view/dom.js";

/**
 * Graphs to begin with: those that ship, with pictures of what they draw, and the examples of packs.
 *
 * @typedef {import("../app.js").App} App
 * @typedef {{title: string, detail: string, picture: string | null, record: () => Promise<any>}} Beginning
 */

/** @param {App} app */
export function makeBeginnings(app) {
  const root = h("div", { class: "beginnings" });
  /** @type {Beginning[] | null} asked for once */
  let all = null;
  const update = async () => {
    all ??= await beginnings(app).catch(() => null);
    fill(root, ...(all ?? []).map((each) => card(app, each)));
  };
  return { root, update };
}

/** @param {App} app @returns {Promise<Beginning[]>} */
async function beginnings({ server }) {
  const [groups, packs] = await Promise.all([server.get("/templates/index.json"), server.get("/workflow_templates")]);
  const shipped = groups.flatMap((/** @type {any} */ group) =>
    group.templates.map((/** @type {any} */ { name, title, description, mediaSubtype }) => ({
      title,
      detail: description,
      picture: `templates/${name}-1.${mediaSubtype}`,
      record: () => server.get(`/templates/${encodeURIComponent(name)}.json`),
    })),
  );
  const examples = Object.entries(packs).flatMap(([pack, names]) =>
    /** @type {string[]} */ (names).map((name) => ({
      title: name.replace(/\.json$/i, ""),
      detail: `An example of ${pack}`,
      picture: null,
      record: () =>
        server.get(`/workflow_templates/${encodeURIComponent(pack)}/${encodeURIComponent(`${name}.json`)}`),
    })),
  );
  return [...shipped, ...examples];
}

/**
 * @param {App} app
 * @param {Beginning} beginning
 */
function card(app, { title, detail, picture, record }) {
  const needs = h("span", { class: "beginning-needs" });
  const open = async () => {
    try {
      app.tabs.open(await record(), { name: title });
    } catch (error) {
      app.toasts.show(`${title} could not be opened: ${/** @type {Error} */ (error).message}`, { tone: "bad" });
    }
  };
  if (picture) record().then((found) => fill(needs, ...needed(app, found)), () => {});
  return h(
    "button",
    { type: "button", class: "beginning", on: { click: open } },
    picture ? h("img", { src: picture, alt: "", loading: "lazy", width: 72, height: 72 }) : null,
    h("span", { class: "beginning-words" }, h("b", {}, title), h("span", { class: "dim" }, detail), needs),
  );
}

/**
 * @param {App} app
 * @param {any} record
 */
function needed({ definitions, ready }, record) {
  const { files, classes } = needsOf(record, definitions);
  const words = files.map(({ name, present }) => (present ? `✓ ${name}` : `${name} is missing`));
  const lacks = classes.map((name) => `${name} is not installed`);
  const bad = ready && (lacks.length > 0 || files.some(({ present }) => !present));
  return [h("span", { class: bad ? "bad" : "dim" }, (ready ? [...words, ...lacks] : []).join(", "))];
}
