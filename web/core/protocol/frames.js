/**
 * Binary messages of the server: a big-endian number that says what it is, then the rest.
 *
 * @typedef {{kind: "preview", nodeId: string, promptId: string, mime: string, image: Uint8Array}
 *   | {kind: "text", nodeId: string, text: string} | {kind: "unknown", code: number}} Frame
 */

const MIMES = ["", "image/jpeg", "image/png"];

/**
 * @param {ArrayBuffer} buffer
 * @returns {Frame}
 */
export function readFrame(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 8) return { kind: "unknown", code: 0 };
  const code = view.getUint32(0);
  const length = view.getUint32(4);
  if (code === 1) {
    return {
      kind: "preview",
      nodeId: "",
      promptId: "",
      mime: MIMES[length] ?? MIMES[1],
      image: new Uint8Array(buffer, 8),
    };
  }
  const head = code === 3 || code === 4 ? new TextDecoder().decode(new Uint8Array(buffer, 8, length)) : "";
  if (code === 3)
    return { kind: "text", nodeId: head, text: new TextDecoder().decode(new Uint8Array(buffer, 8 + length)) };
  if (code !== 4) return { kind: "unknown", code };
  /** @type {import("./types.d.ts").PreviewMetadata} */
  const meta = JSON.parse(head);
  return {
    kind: "preview",
    nodeId: String(meta.display_node_id ?? meta.node_id),
    promptId: String(meta.prompt_id),
    mime: meta.image_type,
    image: new Uint8Array(buffer, 8 + length),
  };
}
