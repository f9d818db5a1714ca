/**
 * How ComfyUI's editor puts nodes on the system's clipboard: as HTML whose first element carries the JSON, as base64 of
 * UTF-8, in an attribute. Written beside plain text, so that nodes can be pasted there, and read, so that its nodes can be
 * pasted here.
 */

const CARRIER = /data-metadata="([A-Za-z0-9+/=]+)"/;

/** @param {string} json @returns {string} */
export function clipHtml(json) {
  const bytes = new TextEncoder().encode(json);
  let letters = "";
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return `<meta charset="utf-8"><div><span data-metadata="${btoa(letters)}"></span></div>`;
}

/**
 * @param {string} html
 * @returns {string} the JSON in it, "" where there is none
 */
export function clipFromHtml(html) {
  const carried = CARRIER.exec(html)?.[1];
  if (!carried) return "";
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(carried), (letter) => letter.charCodeAt(0)));
  } catch {
    return "";
  }
}
