import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, stringifyJson } from "../../../web/core/format/json.js";
import { readJson } from "../../../web/core/format/read.js";
import { evaluate, fit, show, stepBy } from "../../../web/core/nodes/number.js";
import { nextNumber } from "../../../web/core/nodes/seed.js";
import { definitions } from "./fixtures.mjs";

test("whole numbers keep every digit, there and back", () => {
  const text =
    '{"seed":18446744073709551615,"low":-9223372036854775808,"near":9007199254740992,"past":9007199254740993}';
  const data = parseJson(text);
  assert.equal(data.seed, 18446744073709551615n);
  assert.equal(data.low, -(2n ** 63n));
  assert.equal(stringifyJson(data), text);
});

test("what looks like a long number in a text, and long fractions, stay what they are", () => {
  const text =
    '{"a":"seed: 18446744073709551615, ","b":"\\"12345678901234567890\\"","c":0.1234567890123456789,"d":1e22,"12345678901234567890":1}';
  const data = parseJson(text);
  assert.equal(data.a, "seed: 18446744073709551615, ");
  assert.equal(data.b, '"12345678901234567890"');
  assert.equal(data.c, 0.1234567890123456789);
  assert.equal(data.d, 1e22);
  assert.equal(data["12345678901234567890"], 1);
});

test("what Python writes for no number becomes null, in texts it stays", () => {
  assert.deepEqual(parseJson('{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN, -Infinity"}'), {
    a: null,
    b: [null, null],
    c: "NaN, -Infinity",
  });
  assert.deepEqual(parseJson("[NaN,12345678901234567890]"), [null, 12345678901234567890n]);
});

test("what is no JSON is refused", () => {
  for (const text of ["", "{", "[1,]", "nonsense", "12345678901234567890x"])
    assert.throws(() => parseJson(text), SyntaxError);
});

test("indents, and texts that hide a mark", () => {
  assert.equal(stringifyJson({ a: [2n ** 70n] }, 2), `{\n  "a": [\n    ${2n ** 70n}\n  ]\n}`);
  const hidden = { "\u0000int:5": 1, b: 2n ** 60n };
  assert.equal(stringifyJson(hidden), `{"\\u0000int:5":1,"b":${2n ** 60n}}`);
});

test("a file with long numbers opens as a workflow", () => {
  const { record } = readJson(
    '{"nodes":[{"id":1,"type":"A","widgets_values":[12345678901234567890]}],"links":[]}',
    definitions(),
  );
  assert.equal(record.nodes[0].widgets_values[0], 12345678901234567890n);
});

test("a typed long number is exact; limits and steps hold for it", () => {
  assert.equal(evaluate(" 18446744073709551615 "), 18446744073709551615n);
  assert.equal(evaluate("9007199254740991"), 9007199254740991);
  const options = { min: 0, max: 18446744073709551615 };
  assert.equal(fit(18446744073709551615n, options, true), 18446744073709551615n);
  assert.equal(fit(2n ** 70n, options, true), 18446744073709551615n);
  assert.equal(fit(-(2n ** 70n), options, true), 0);
  assert.equal(stepBy(9007199254740993n, 1, options, true), 9007199254740994n);
  assert.equal(stepBy(9007199254740993n, -2, options, true), 9007199254740991);
  assert.equal(show(18446744073709551615n, options, true), "18446744073709551615");
});

test("a long seed is counted on, not rounded", () => {
  const options = { min: 0, max: 18446744073709551615 };
  assert.equal(nextNumber(18446744073709551613n, "increment", options), 18446744073709551614n);
  assert.equal(nextNumber(9007199254740993n, "decrement", options), 9007199254740992n);
  assert.equal(nextNumber(18446744073709551613n, "fixed", options), 18446744073709551613n);
});
