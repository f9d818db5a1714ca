import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutNode, nodeBox, SLOT, TITLE } from "../../../web/core/nodes/layout.js";
import { digits, evaluate, fit, show, stepBy } from "../../../web/core/nodes/number.js";
import { filterChoices, nextChoice, nextNumber } from "../../../web/core/nodes/seed.js";
import { widgetsOf, widgetValue } from "../../../web/core/nodes/widgets.js";
import { drawWords, fillPatterns } from "../../../web/core/nodes/words.js";
import { defaultDocument, definitions, random } from "./fixtures.mjs";

const defs = definitions();

test("sums as people type them", () => {
  const cases = {
    "512*1.5": 768,
    "(64+8)/2": 36,
    "2^3^2": 512,
    "-3": -3,
    "1,5": 1.5,
    "7%4": 3,
    "1e3": 1000,
    ".5": 0.5,
    "2*-3": -6,
  };
  for (const [text, value] of Object.entries(cases)) assert.equal(evaluate(text), value, text);
  for (const text of ["", "1+", "(1", "a", "1 2", "1/0", "alert(1)"]) assert.equal(evaluate(text), null, text);
});

test("limits, rounding and steps", () => {
  assert.equal(fit(7.7, { min: 0, max: 5 }, true), 5);
  assert.equal(fit(3.14159, { round: 0.01 }, false), 3.14);
  assert.equal(stepBy(0.1, 2, { step: 0.1 }, false), 0.3);
  assert.equal(stepBy(512, 1, { step: 8 }, true), 520);
  assert.equal(digits({ step: 0.01 }), 2);
  assert.equal(digits({ step: 0.5, round: 0.001 }), 3);
  assert.equal(show(3, { step: 0.1 }, false), "3.0");
  assert.equal(show(0.123, { step: 0.1 }, false), "0.123");
  assert.equal(show(7, {}, true), "7");
});

test("what a seed's control does", () => {
  assert.equal(nextNumber(7, "fixed", {}), 7);
  assert.equal(nextNumber(7, "increment", {}), 8);
  assert.equal(nextNumber(0, "decrement", { min: 0 }), 0);
  const drawn = nextNumber(7, "randomize", { min: 0, max: 18446744073709551615 }, () => 0.999999);
  assert.ok(Number.isSafeInteger(drawn) && drawn < 2 ** 50);
  assert.equal(nextChoice("c", "increment-wrap", ["a", "b", "c"]), "a");
  assert.equal(nextChoice("c", "increment", ["a", "b", "c"]), "c");
  assert.deepEqual(filterChoices(["cat", "dog"], "/^d/"), ["dog"]);
  assert.deepEqual(filterChoices(["cat", "dog"], "/(/"), ["cat", "dog"]);
});

test("words are drawn, comments go, escapes stay", () => {
  assert.equal(
    drawWords("a {red|blue} ball", () => 0.9),
    "a blue ball",
  );
  assert.equal(
    drawWords("{a|{b|c}}", () => 0.9),
    "c",
  );
  assert.equal(drawWords("x /* no */ y // end\nz"), "x  y \nz");
  assert.equal(drawWords("\\{a\\|b\\}"), "{a|b}");
  assert.equal(drawWords("http://x"), "http://x");
});

test("patterns in file names", () => {
  const now = new Date(2026, 1, 3, 4, 5, 6);
  assert.equal(
    fillPatterns("%date:yyyy-MM-dd_hhmmss%", () => undefined, now),
    "2026-02-03_040506",
  );
  assert.equal(
    fillPatterns("a%KSampler.seed%b", (node, widget) => (node === "KSampler" && widget === "seed" ? "1/2" : undefined)),
    "a1_2b",
  );
  assert.equal(
    fillPatterns("%Nobody.x% 100%", () => undefined),
    "%Nobody.x% 100%",
  );
});

test("widgets in stored order, seed with its control", () => {
  const node = /** @type {any} */ (defaultDocument().graph.node(3));
  const widgets = widgetsOf(node, defs.get("KSampler"));
  assert.deepEqual(
    widgets.map((widget) => widget.name),
    ["seed", "control_after_generate", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
  );
  assert.equal(widgetValue(node, widgets[1]), "randomize");
  assert.deepEqual(widgetsOf(node, undefined), []);
  assert.deepEqual(
    defs.get("LoadImage")?.widgets.map((widget) => widget.kind),
    ["combo", "upload"],
  );
  assert.deepEqual(defs.get("LoraLoader")?.widgets[0].choices, ["a.safetensors"]);
});

test("a layout needs no screen and keeps the stored size", () => {
  const node = /** @type {any} */ (defaultDocument().graph.node(3));
  const layout = layoutNode(node, defs.get("KSampler"));
  assert.deepEqual([layout.width, layout.height], [300, 290]);
  assert.equal(layout.inputs.length, 4);
  assert.equal(layout.inputs[1].y - layout.inputs[0].y, SLOT);
  assert.equal(layout.outputs[0].x, 300);
  assert.deepEqual(nodeBox(node, layout), [780, 40 - TITLE, 300, 290 + TITLE]);
  const folded = layoutNode({ ...node, flags: { collapsed: true } }, defs.get("KSampler"));
  assert.equal(folded.height, 0);
  assert.equal(folded.inputs.length, 4);
});

test("rows never overlap, whatever the class", () => {
  const draw = random(3);
  for (const def of defs.values()) {
    const node = /** @type {any} */ ({
      id: 1,
      type: def.id,
      pos: [0, 0],
      size: [100 + draw() * 300, draw() * 500],
      inputs: [],
      outputs: [],
    });
    const layout = layoutNode(node, def, draw() < 0.5);
    for (let row = 1; row < layout.rows.length; row += 1) {
      assert.ok(layout.rows[row].y >= layout.rows[row - 1].y + layout.rows[row - 1].height - 1e-9);
    }
    const last = layout.rows.at(-1);
    assert.ok(!last || last.y + last.height <= layout.height + 1e-9, def.id);
    if (layout.media) assert.ok(layout.media.height > 50, def.id);
  }
});
