import assert from "node:assert/strict";
import { test } from "node:test";
import { pngTexts, webpTexts } from "../../../web/core/format/png.js";
import { isPrompt, NoGraph, readFile, readJson } from "../../../web/core/format/read.js";
import { defaultPrompt, defaultRecord, definitions } from "./fixtures.mjs";

const encode = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** A PNG file of chunks; checksums are not read. */
function png(chunks) {
  const parts = [Uint8Array.from([137, 80, 78, 71, 13, 10, 26, 10])];
  for (const [type, body] of chunks) {
    const head = new Uint8Array(8);
    new DataView(head.buffer).setUint32(0, body.length);
    head.set(encode(type), 4);
    parts.push(head, body, new Uint8Array(4));
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

test("a picture gives its graph back", () => {
  const text = JSON.stringify(defaultRecord());
  const bytes = png([
    ["tEXt", encode("prompt\0{}")],
    ["tEXt", encode(`workflow\0${text}`)],
    ["IEND", new Uint8Array()],
  ]);
  assert.equal(readFile("a.png", bytes, definitions()).kind, "workflow");
  assert.deepEqual(readFile("a.png", bytes, definitions()).record, defaultRecord());
});

test("international text chunks, and only the prompt", () => {
  const body = encode(
    `prompt\0\0\0en\0\0${JSON.stringify({ ...defaultPrompt(), 6: { ...defaultPrompt()[6], inputs: { text: "ä球" } } })}`,
  );
  const found = readFile("b.png", png([["iTXt", body]]), definitions());
  assert.equal(found.kind, "prompt");
  assert.equal(found.record.nodes.find((/** @type {any} */ node) => node.id === 6).widgets_values[0], "ä球");
});

test("WebP keeps texts in EXIF tags", () => {
  const text = encode('workflow:{"nodes":[]}\0');
  const exif = new Uint8Array(26 + text.length);
  const view = new DataView(exif.buffer);
  exif.set(encode("MM"), 0);
  view.setUint16(2, 42);
  view.setUint32(4, 8);
  view.setUint16(8, 1);
  view.setUint16(10, 0x010f);
  view.setUint16(12, 2);
  view.setUint32(14, text.length);
  view.setUint32(18, 26);
  exif.set(text, 26);
  const head = new Uint8Array(20);
  head.set(encode("RIFF"), 0);
  head.set(encode("WEBPEXIF"), 8);
  new DataView(head.buffer).setUint32(16, exif.length, true);
  assert.deepEqual(webpTexts(Uint8Array.from([...head, ...exif])), { workflow: '{"nodes":[]}' });
});

test("the header of a safetensors file", () => {
  const header = encode(JSON.stringify({ __metadata__: { workflow: JSON.stringify(defaultRecord()) } }));
  const bytes = new Uint8Array(8 + header.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  assert.equal(readFile("x.safetensors", bytes, definitions()).record.nodes.length, 7);
  assert.throws(() => readFile("x.safetensors", bytes.subarray(0, 30), definitions()), NoGraph);
});

test("Python's NaN is null", () => {
  const { record } = readJson('{"nodes": [], "extra": {"a": NaN, "b": [-Infinity], "c": "NaN"}}', definitions());
  assert.deepEqual(record.extra, { a: null, b: [null], c: "NaN" });
});

test("what is no graph says so", () => {
  assert.throws(() => readFile("photo.jpg", encode("x"), definitions()), /carries no graph/);
  assert.throws(() => readFile("a.png", png([]), definitions()), NoGraph);
  for (const text of ["", "[]", "{}", "null", '{"a": {"class_type": 3}}'])
    assert.throws(() => readJson(text, definitions()), NoGraph);
  assert.ok(!isPrompt({ a: { class_type: "X" }, b: 1 }));
});

test("hostile lengths end the reading, not the page", () => {
  const bytes = png([["tEXt", encode("a\0b")]]);
  bytes[8] = 255;
  assert.doesNotThrow(() => pngTexts(bytes));
  assert.deepEqual(pngTexts(new Uint8Array(3)), {});
  assert.deepEqual(webpTexts(encode("RIFF")), {});
});

test("a prompt with a class nobody knows is kept and drawn", () => {
  const prompt = {
    1: { class_type: "Gone", inputs: { a: 5, from: ["2", 3] } },
    2: { class_type: "AlsoGone", inputs: {} },
  };
  const { record } = readJson(JSON.stringify(prompt), definitions());
  assert.deepEqual(record.nodes[0].widgets_values, { a: 5 });
  assert.equal(record.links.length, 1);
  assert.equal(record.nodes[1].outputs.length, 4);
});
