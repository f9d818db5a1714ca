/**
 * What is written into text fields for the moment of a run: alternatives, comments, dates, values of other nodes.
 */

const COMMENT = /\/\*[^]*?\*\/|(?<!:)\/\/[^\n]*/g;
const TOKEN = /\\[{}|]|[{}|]/g;

/**
 * Take comments out and pick one of each {a|b|c}, which may nest; \{ \} and \| stand for themselves. Braces that are
 * never closed stay, and so do the slashes of an address.
 * @param {string} text
 * @param {() => number} [random]
 * @returns {string}
 */
export function drawWords(text, random = Math.random) {
  const bare = text.replace(COMMENT, "");
  /** @type {string[][]} for each open brace the alternatives so far, the last one growing */
  const open = [[""]];
  const add = (/** @type {string} */ words) => {
    const group = open[open.length - 1];
    group[group.length - 1] += words;
  };
  let at = 0;
  for (const { 0: token, index } of bare.matchAll(TOKEN)) {
    add(bare.slice(at, index));
    at = index + token.length;
    if (token === "{") open.push([""]);
    else if (open.length > 1 && token === "|") open[open.length - 1].push("");
    else if (open.length > 1 && token === "}") {
      const choices = /** @type {string[]} */ (open.pop());
      add(choices[Math.floor(random() * choices.length)]);
    } else add(token[token.length - 1]);
  }
  add(bare.slice(at));
  return (
    open[0][0] +
    open
      .slice(1)
      .map((choices) => `{${choices.join("|")}`)
      .join("")
  );
}

/**
 * Fill %date:yyyy-MM-dd% and %Node.widget% in a file name.
 * @param {string} text
 * @param {(node: string, widget: string) => unknown} lookUp undefined leaves the pattern as it is
 * @param {Date} [now]
 */
export function fillPatterns(text, lookUp, now = new Date()) {
  return text.replace(/%([^%\s][^%]*)%/g, (whole, body) => {
    if (body.startsWith("date:")) return formatDate(body.slice(5), now);
    const dot = body.lastIndexOf(".");
    if (dot < 1) return whole;
    const value = lookUp(body.slice(0, dot), body.slice(dot + 1));
    return value === undefined ? whole : String(value).replace(/[/?<>\\:*|"\u0000-\u001f\u007f]/g, "_");
  });
}

/**
 * @param {string} pattern
 * @param {Date} now
 */
function formatDate(pattern, now) {
  const parts = /** @type {Record<string, number>} */ ({
    d: now.getDate(),
    M: now.getMonth() + 1,
    h: now.getHours(),
    m: now.getMinutes(),
    s: now.getSeconds(),
  });
  return pattern.replace(/yyyy|yy|dd?|MM?|hh?|mm?|ss?/g, (token) => {
    if (token[0] === "y") return String(now.getFullYear()).slice(-token.length);
    return String(parts[token[0]]).padStart(token.length, "0");
  });
}
