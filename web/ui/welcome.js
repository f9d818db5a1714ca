import { h, icon, iconButton } from "../view/dom.js";
import { keyText } from "./commands.js";

const RUN = "runs it. Change the words in Prompt first, if you like.";
const KEYS = [
  [keyText("Mod+Enter"), RUN],
  ["Tab", "adds a node; drag from a socket to join two."],
  ["?", "shows all keys and gestures."],
];
const TOUCH = [
  ["Run", RUN],
  ["Two fingers", "zoom and move; one moves the view."],
  ["?", "below shows all gestures."],
];

/**
 * A card for the first visit: three things, and it never comes back once it is put away or something has run.
 * @param {import("./app.js").App} app
 */
export function welcome(app) {
  if (app.settings.get("welcomed")) return;
  const away = () => {
    card.remove();
    app.settings.listeners.delete(gone);
  };
  const gone = (/** @type {string} */ name) => (name === "welcomed" ? away() : undefined);
  const done = () => app.settings.set("welcomed", true);
  const step = (/** @type {string} */ key, /** @type {string} */ words) =>
    h("li", {}, h("kbd", {}, key), h("span", {}, words));
  const card = h(
    "section",
    { class: "welcome overlay", "aria-label": "Welcome" },
    h("h2", {}, icon("graph"), "This graph draws a picture"),
    h(
      "ul",
      {},
      ...(matchMedia("(hover: none)").matches ? TOUCH : KEYS).map(([key, words]) => step(key, words)),
    ),
    iconButton("close", "Put the welcome away", done, { class: "welcome-close" }),
  );
  app.settings.listeners.add(gone);
  app.shell.field.append(card);
}
