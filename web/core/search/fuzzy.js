/**
 * Fuzzy search: every letter of the query in order; starts of words and runs of letters count more.
 */

const BOUNDARY = /[\s/_\-.:()]/;

/**
 * @param {string} query
 * @param {string} text
 * @returns {number} 0 for no match; higher is better
 */
export function score(query, text) {
  const [q, t] = [query.toLowerCase(), text.toLowerCase()];
  if (!q) return 1;
  const found = t.indexOf(q);
  if (found >= 0) return 1000 - found * 2 - t.length + (atStart(text, found) ? 400 : 0) + (t === q ? 1000 : 0);
  let [points, at, run] = [0, 0, 0];
  for (const letter of q) {
    if (letter === " ") continue;
    const next = t.indexOf(letter, at);
    if (next < 0) return 0;
    run = next === at ? run + 1 : 0;
    points += 4 + run * 4 + (atStart(text, next) ? 12 : 0) - Math.min(next - at, 6);
    at = next + 1;
  }
  return Math.max(points - t.length * 0.05, 0.01);
}

/**
 * @param {string} text
 * @param {number} at
 */
function atStart(text, at) {
  if (at === 0) return true;
  const [before, here] = [text[at - 1], text[at]];
  return BOUNDARY.test(before) || (here !== here.toLowerCase() && before === before.toLowerCase());
}

/**
 * @template T
 * @param {string} query
 * @param {Iterable<T>} items
 * @param {(item: T) => string[]} fields the first counts fully, later ones less
 * @param {number} [limit]
 * @returns {T[]}
 */
export function search(query, items, fields, limit = 60) {
  const ranked = [];
  for (const item of items) {
    const best = fields(item).reduce((top, field, index) => Math.max(top, score(query, field) / (1 + index * 0.5)), 0);
    if (best > 0) ranked.push({ item, best });
  }
  return ranked
    .sort((a, b) => b.best - a.best)
    .slice(0, limit)
    .map(({ item }) => item);
}
