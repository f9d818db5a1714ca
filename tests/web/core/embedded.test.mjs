import assert from "node:assert/strict";
import { test } from "node:test";
import { embeddedJson } from "../../../web/core/format/embedded.js";
import { NoGraph, readBytes, readFile } from "../../../web/core/format/read.js";
import { definitions } from "./fixtures.mjs";

const WORKFLOW = '{"nodes": [{"id": 1, "type": "A", "title": "ü \\" } {"}], "links": [], "seed": 12345678901234567890}';
const bytes = (/** @type {(string | number[])[]} */ ...parts) =>
  new Uint8Array(
    Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part)))),
  );

const FILES = {
  "a.flac": bytes("fLaC", [4, 0, 1, 2], "workflow=", WORKFLOW, [0, 0], "prompt={}"),
  "a.mp3": bytes("ID3", [4, 0], "TXXX", [0, 0, 0, 9, 0, 0, 3], "workflow", [0], WORKFLOW, [0, 255, 251]),
  "a.mp4": bytes(
    [0, 0, 0, 24],
    "ftypisom",
    "mdta",
    "workflow",
    [0, 0, 0, 9],
    "data",
    [0, 0, 0, 1, 0, 0, 0, 0],
    WORKFLOW,
  ),
  "a.webm": bytes([0x1a, 0x45, 0xdf, 0xa3], [0x45, 0xa3, 0x88], "workflow", [0x44, 0x87, 0x41, 0x05], WORKFLOW, [0]),
  "a.svg": bytes("<svg><metadata><![CDATA[", `{"workflow": ${WORKFLOW}, "prompt": {}}`, "]]></metadata></svg>"),
  "a.glb": bytes("glTF", [2, 0, 0, 0], `{"asset":{"extras":{"workflow":${JSON.stringify(WORKFLOW)}}}}`, [0]),
  "a.avif": bytes([0, 0, 0, 28], "ftypavif", "Exif", [0, 0], "a workflow is here; ", "workflow:", WORKFLOW, [0]),
};

for (const [name, content] of Object.entries(FILES)) {
  test(`the graph in ${name}`, () => {
    const { record, kind } = readFile(name, content, definitions());
    assert.equal(kind, "workflow");
    assert.equal(record.nodes[0].title, 'ü " } {');
    assert.equal(record.seed, 12345678901234567890n);
  });
}

test("files without a graph, and broken ones, are told", () => {
  const broken = ["workflow={", "workflow", 'workflow={"nodes": [}', "no word", '"workflow":"{\\"a', ""];
  for (const text of broken) {
    assert.deepEqual(embeddedJson(bytes(text)), {}, text);
    assert.throws(() => readFile("a.mp4", bytes(text), definitions()), NoGraph);
  }
});

test("of weights the header is read, of a long film both ends", async () => {
  /** @type {[number, number][]} */
  const read = [];
  const file = (/** @type {string} */ name, /** @type {number} */ size, /** @type {Uint8Array} */ head) => ({
    name,
    size,
    slice(/** @type {number} */ from, /** @type {number} */ to) {
      read.push([from, to]);
      return new Blob([head.slice(from, to)]);
    },
    arrayBuffer: () => Promise.reject(new Error("the whole file was read")),
  });
  const header = JSON.stringify({ __metadata__: { workflow: WORKFLOW } });
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(Buffer.byteLength(header)), true);
  const content = bytes([...length], header, "weights without end");
  const found = readFile("m.safetensors", await readBytes(file("m.safetensors", 7e9, content)), definitions());
  assert.equal(found.record.nodes.length, 1);
  assert.deepEqual(read.pop(), [0, 8 + Buffer.byteLength(header)]);
  await readBytes(file("film.mp4", 4e9, content));
  assert.deepEqual(
    read.slice(-2).map(([from, to]) => to - from),
    [8 * 2 ** 20, 8 * 2 ** 20],
  );
});
