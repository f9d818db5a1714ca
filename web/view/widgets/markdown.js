import { fill, h } from "../dom.js";

/**
 * Markdown as elements: headings, lists, quotes, tables, rules, code, emphasis and links. Text goes in as text, so no
 * markup of the note's own ever becomes markup of the page; pictures from elsewhere are shown as links to them.
 *
 * @typedef {HTMLElement | string} Part
 */

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const SAFE = /^(https?:\/\/|mailto:|#|\/(?!\/))/i;
const INLINE =
  /(`+)(.+?)\1|!?\[([^\]]*)\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)|(\*\*|__)(?=\S)(.+?)\5|(\*|_)(?=\S)([^*_]+?)\7(?!\w)|~~(.+?)~~|<?(https?:\/\/[^\s<>)]+)>?/;

/**
 * @param {HTMLElement} page
 * @param {string} text
 */
export function renderMarkdown(page, text) {
  fill(page, ...blocks(text.replaceAll("\r\n", "\n").split("\n")));
  if (!text.trim()) fill(page, h("p", { class: "dim" }, "Double-click to write"));
}

/**
 * @param {string[]} lines
 * @returns {HTMLElement[]}
 */
function blocks(lines) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [element, next] = block(lines, at);
    made.push(element);
    at = next;
  }
  return made;
}

/**
 * One block and the line after it.
 * @param {string[]} lines
 * @param {number} at
 * @returns {[HTMLElement, number]}
 */
function block(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return code(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [h(levelTag(heading[1].length), {}, ...inline(heading[2])), at + 1];
  if (RULE.test(line)) return [h("hr"), at + 1];
  if (/^\s*>/.test(line)) {
    const end = runOf(lines, at, (text) => /^\s*>/.test(text));
    return [h("blockquote", {}, ...blocks(lines.slice(at, end).map((text) => text.replace(/^\s*>\s?/, "")))), end];
  }
  if (ITEM.test(line)) return list(lines, at);
  if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) return table(lines, at);
  const end = runOf(lines, at, (text, index) => index === at || plain(text));
  return [h("p", {}, ...paragraph(lines.slice(at, end))), end];
}

/** @param {number} level */
function levelTag(level) {
  return /** @type {"h1"} */ (`h${level}`);
}

/** Whether a line goes on with a paragraph. @param {string} text */
function plain(text) {
  return (
    text.trim() !== "" && ![FENCE, HEADING, RULE, ITEM].some((pattern) => pattern.test(text)) && !/^\s*>/.test(text)
  );
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {(text: string, index: number) => boolean} fits
 * @returns {number} the first line from `at` on that does not fit
 */
function runOf(lines, at, fits) {
  let end = at;
  while (end < lines.length && fits(lines[end], end)) end += 1;
  return end;
}

/** @param {string[]} lines @param {number} at @returns {[HTMLElement, number]} */
function code(lines, at) {
  const fence = /** @type {RegExpExecArray} */ (FENCE.exec(lines[at]))[1];
  const end = runOf(lines, at + 1, (text) => !text.trim().startsWith(fence));
  return [h("pre", {}, h("code", {}, lines.slice(at + 1, end).join("\n"))), end + 1];
}

/**
 * A list; lines that stand further in than its bullets belong to the item above.
 * @param {string[]} lines
 * @param {number} at
 * @returns {[HTMLElement, number]}
 */
function list(lines, at) {
  const [, indent, bullet] = /** @type {RegExpExecArray} */ (ITEM.exec(lines[at]));
  const numbered = /\d/.test(bullet);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== numbered) break;
    const next = runOf(lines, end + 1, (text) => deeper(text, indent.length));
    const inner = lines.slice(end + 1, next).map((text) => text.slice(indent.length + 2));
    items.push(h("li", {}, ...task(item[3]), ...blocks(inner)));
    end = next;
    if (!lines[end]?.trim() && ITEM.test(lines[end + 1] ?? "")) end += 1; // a blank line between items
  }
  const start = numbered ? parseInt(bullet, 10) : 1;
  return [numbered ? h("ol", { start: start === 1 ? null : start }, ...items) : h("ul", {}, ...items), end];
}

/** @param {string} text @param {number} indent */
function deeper(text, indent) {
  return text.trim() !== "" && /^\s*/.exec(text)?.[0].length !== undefined && text.search(/\S/) > indent;
}

/** The words of an item, with the box of a task. @param {string} text @returns {Part[]} */
function task(text) {
  const box = /^\[([ xX])\]\s+/.exec(text);
  if (!box) return inline(text);
  return [box[1] === " " ? "☐ " : "☑ ", ...inline(text.slice(box[0].length))];
}

/** @param {string[]} lines @param {number} at @returns {[HTMLElement, number]} */
function table(lines, at) {
  const end = runOf(lines, at, (text) => text.includes("|"));
  const cells = (/** @type {string} */ text) =>
    text
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => cell.trim());
  const row = (/** @type {"th" | "td"} */ tag, /** @type {string} */ text) =>
    h("tr", {}, ...cells(text).map((cell) => h(tag, {}, ...inline(cell))));
  const head = h("thead", {}, row("th", lines[at]));
  const body = h("tbody", {}, ...lines.slice(at + 2, end).map((text) => row("td", text)));
  return [h("table", {}, head, body), end];
}

/** @param {string[]} lines @returns {Part[]} */
function paragraph(lines) {
  return lines.flatMap((line, index) => {
    const last = index === lines.length - 1;
    const parts = inline(line.trim());
    if (last) return parts;
    return / {2}$|\\$/.test(line) ? [...parts, h("br")] : [...parts, " "];
  });
}

/**
 * Emphasis, code and links inside a line.
 * @param {string} text
 * @returns {Part[]}
 */
function inline(text) {
  /** @type {Part[]} */
  const parts = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    if (match.index) parts.push(rest.slice(0, match.index));
    parts.push(span(match));
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) parts.push(rest);
  return parts;
}

/** @param {RegExpExecArray} match of INLINE @returns {Part} */
function span(match) {
  const [whole, tick, literal, words, address, strong, bold, , slanted, struck, bare] = match;
  if (tick) return h("code", {}, literal);
  if (address) return link(address, words ? inline(words) : [address], whole);
  if (bare) return link(bare.replace(/[.,;:]+$/, ""), [bare], whole);
  if (strong) return h("strong", {}, ...inline(bold));
  if (struck) return h("s", {}, ...inline(struck));
  return h("em", {}, ...inline(slanted));
}

/**
 * @param {string} address
 * @param {Part[]} words
 * @param {string} whole the source, shown where the address is none that a page may open
 * @returns {Part}
 */
function link(address, words, whole) {
  if (!SAFE.test(address)) return whole;
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, ...words);
}
