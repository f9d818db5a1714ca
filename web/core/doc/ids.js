/** A random id in the shape of a version 4 UUID; works on pages without a secure context too. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * The first free whole number above every numeric id in use and above the stored counter.
 * @param {Iterable<unknown>} used
 * @param {unknown} counter the file's last_node_id or last_link_id
 * @returns {number}
 */
export function nextId(used, counter) {
  let top = Number(counter);
  if (!Number.isSafeInteger(top)) top = 0;
  for (const id of used) {
    const value = Number(id);
    if (Number.isSafeInteger(value) && value > top) top = value;
  }
  return top + 1;
}
