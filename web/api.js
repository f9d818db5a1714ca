// The page of the API: renders /openapi.json. Nothing is loaded from elsewhere, nothing is written as HTML.

/**
 * @typedef {{ name: string, in: string, required?: boolean, schema?: unknown, description?: string }} Parameter
 * @typedef {{ content?: Record<string, { schema?: unknown }>, description?: string }} Body
 * @typedef {{ summary: string, description?: string, tags?: string[], parameters?: Parameter[], requestBody?: Body,
 *   responses: Record<string, Body> }} Operation
 * @typedef {{ info: { title: string, version: string, description: string },
 *   paths: Record<string, Record<string, Operation>>, components: { schemas: Record<string, unknown> } }} Document
 */

/**
 * An element with text or children.
 * @param {string} name
 * @param {(string | Node)[]} children
 */
function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

/**
 * A schema with what it refers to put in its place, each at most once on the way.
 * @param {unknown} schema
 * @param {Record<string, unknown>} known
 * @param {string[]} above
 * @returns {unknown}
 */
export function resolved(schema, known, above = []) {
  if (Array.isArray(schema)) return schema.map((each) => resolved(each, known, above));
  if (schema === null || typeof schema !== "object") return schema;
  const reference = /** @type {{ $ref?: unknown }} */ (schema).$ref;
  if (typeof reference === "string") {
    const name = reference.split("/").at(-1) ?? "";
    return above.includes(name) ? { $ref: name } : resolved(known[name], known, [...above, name]);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, known, above)]));
}

/**
 * A body as text: each media type with its schema.
 * @param {Body} body
 * @param {Record<string, unknown>} known
 */
function told(body, known) {
  const parts = Object.entries(body.content ?? {}).map(([kind, { schema }]) => {
    const text = schema ? JSON.stringify(resolved(schema, known), null, 2) : "";
    return element("pre", `${kind}\n${text}`.trim());
  });
  return parts.length > 0 ? parts : ["Nothing."];
}

/**
 * @param {Parameter[]} parameters
 */
function table(parameters) {
  const rows = parameters.map((each) =>
    element(
      "tr",
      element("td", element("code", each.name)),
      element("td", each.in),
      element("td", element("code", JSON.stringify(each.schema ?? {}))),
      element("td", each.description ?? (each.required ? "needed" : "")),
    ),
  );
  return element("table", ...rows);
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Operation} operation
 * @param {Record<string, unknown>} known
 */
function entry(path, method, operation, known) {
  const parameters = operation.parameters ?? [];
  const made = element(
    "details",
    element("summary", element("b", method.toUpperCase()), element("code", path), ` ${operation.summary}`),
    element("p", operation.description ?? ""),
    ...(parameters.length > 0 ? [table(parameters)] : []),
    ...(operation.requestBody ? [element("h3", "Request"), ...told(operation.requestBody, known)] : []),
  );
  for (const [status, body] of Object.entries(operation.responses)) {
    made.append(element("h3", `${status} ${body.description ?? ""}`), ...told(body, known));
  }
  return made;
}

/**
 * @param {Document} description
 * @param {HTMLElement} place
 */
function show(description, place) {
  /** @type {Map<string, HTMLElement>} */
  const sections = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "";
      const section = sections.get(tag) ?? element("section", element("h2", tag.replaceAll("_", " ")));
      sections.set(tag, section);
      section.append(entry(path, method, operation, description.components.schemas));
    }
  }
  place.append(...sections.values());
}

/**
 * Hide what does not hold the words.
 * @param {HTMLElement} place
 * @param {string} words
 */
function find(place, words) {
  for (const section of place.querySelectorAll("section")) {
    let left = 0;
    for (const each of section.querySelectorAll("details")) {
      each.hidden = !(each.textContent ?? "").toLowerCase().includes(words.toLowerCase());
      left += each.hidden ? 0 : 1;
    }
    section.hidden = left === 0;
  }
}

const place = document.getElementById("operations");
const input = document.getElementById("find");
const about = document.getElementById("about");
if (place && about && input instanceof HTMLInputElement) {
  const answer = await fetch("openapi.json");
  /** @type {Document} */
  const description = await answer.json();
  about.textContent = `Version ${description.info.version}. ${description.info.description}`;
  show(description, place);
  input.addEventListener("input", () => find(place, input.value));
}
