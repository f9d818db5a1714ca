import { isObject } from "../doc/schema.js";

/**
 * Fills in the choices of combos that the server lists elsewhere, such as the pictures that were made. What cannot be
 * had stays empty.
 * @param {Record<string, any>} catalogue the answer of /object_info, which is written into
 * @param {(address: string) => Promise<unknown>} ask
 * @returns {Promise<Record<string, any>>} the same
 */
export async function askForChoices(catalogue, ask) {
  /** @type {Map<string, Record<string, any>[]>} */
  const wanted = new Map();
  for (const entry of Object.values(catalogue)) {
    for (const section of ["required", "optional"]) {
      for (const port of Object.values(entry?.input?.[section] ?? {})) {
        const address = isRemote(port) ? port[1].remote.route : "";
        if (address) wanted.set(address, [...(wanted.get(address) ?? []), port[1]]);
      }
    }
  }
  await Promise.all(
    [...wanted].map(async ([address, ports]) => {
      const answer = await ask(address).catch(() => null);
      for (const options of ports) options.options = choicesIn(answer, options);
    }),
  );
  return catalogue;
}

/**
 * Of this server alone: a pack may name any address.
 * @param {any} port
 */
function isRemote(port) {
  if (!Array.isArray(port) || port[0] !== "COMBO" || !isObject(port[1]) || port[1].options) return false;
  const route = /** @type {any} */ (port[1].remote)?.route;
  return typeof route === "string" && /^\/(?!\/)/.test(route);
}

/**
 * @param {any} answer
 * @param {Record<string, any>} options
 * @returns {unknown[]}
 */
function choicesIn(answer, options) {
  const listed = options.remote.response_key ? answer?.[options.remote.response_key] : answer;
  if (!Array.isArray(listed)) return [];
  const folder = options.image_folder;
  return folder && folder !== "input" ? listed.map((name) => `${name} [${folder}]`) : listed;
}
