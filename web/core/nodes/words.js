/**
 * What is written into text fields for the moment of a run: alternatives, comments, dates, values of other nodes.
 */

/**
 * Take comments out and pick one of each {a|b|c}; \{ \} and \| stand for themselves.
 * @param {string} text
 * @param {() => number} [random]
 * @returns {string}
 */
export function drawWords(text, random = Math.random) {
  const bare = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:])\/\/[^\n]*/g, "$1");
  const marks = ["\uE000", "\uE001", "\uE002"];
  let result = bare.replace(/\\([{}|])/g, (_, mark) => marks["{}|".indexOf(mark)]);
  for (let depth = 0; depth < 64; depth += 1) {
    const next = result.replace(/\{([^{}]*)\}/g, (_, body) => pick(body.split("|"), random));
    if (next === result) break;
    result = next;
  }
  return result.replace(/[\uE000-\uE002]/g, (mark) => "{}|"[marks.indexOf(mark)]);
}

/**
 * @param {string[]} choices
 * @param {() => number} random
 */
function pick(choices, random) {
  return choices[Math.floor(random() * choices.length)];
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
