import { typing } from "../view/dom.js";

/**
 * Everything one can do, by name, with its keys. "Mod" is Ctrl, or Command on a Mac.
 *
 * @typedef {{id: string, group: string, label: string, keys?: string[], run: () => void, enabled?: () => boolean,
 *   fields?: boolean}} Command fields: its keys work while one types in a field too
 */

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * @param {Command[]} commands
 * @param {() => boolean} blocked true while something else has the keyboard
 */
export function listenKeys(commands, blocked) {
  const byKeys = new Map();
  for (const command of commands) for (const keys of command.keys ?? []) byKeys.set(normal(keys), command);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || blocked()) return;
    const command = byKeys.get(pressed(event));
    if (!command || (typing(event.target) && !command.fields)) return;
    if (plain(event) && ownKeys(event)) return;
    if (command.enabled && !command.enabled()) return;
    event.preventDefault();
    command.run();
  });
}

/** Buttons and lists have keys of their own. @param {KeyboardEvent} event */
function ownKeys(event) {
  const target = /** @type {Element} */ (event.target);
  if (["Enter", " "].includes(event.key)) return target.closest("button, a, summary, [role=treeitem]") !== null;
  if (event.key === "Tab")
    return (
      target.closest(".stage, body") === null || target.closest(".node, .panel, .bar, header, nav, aside") !== null
    );
  return (
    event.key.startsWith("Arrow") &&
    target.closest("[role=radiogroup], [role=tree], [role=tab], [role=menu], .combo") !== null
  );
}

/** @param {KeyboardEvent} event */
function plain(event) {
  return !event.ctrlKey && !event.metaKey && !event.altKey;
}

/** @param {string} keys */
function normal(keys) {
  const parts = keys.split("+");
  const key = parts.pop() || "+";
  return [...parts.sort(), key.length === 1 ? key.toLowerCase() : key].join("+");
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const parts = [];
  if (event.altKey) parts.push("Alt");
  if (MAC ? event.metaKey : event.ctrlKey) parts.push("Mod");
  const sign = event.key.length === 1 && !/[\p{L}\d ]/u.test(event.key); // signs need Shift on some keyboards only
  if (event.shiftKey && !sign) parts.push("Shift");
  const key = event.key === " " ? "Space" : event.key;
  return [...parts.sort(), key.length === 1 ? key.toLowerCase() : key].join("+");
}

/** @param {string} keys as a person reads them */
export function keyText(keys) {
  return keys
    .replace("Mod", MAC ? "⌘" : "Ctrl")
    .replace("ArrowUp", "↑")
    .replace("ArrowDown", "↓");
}
