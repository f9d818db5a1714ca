import assert from "node:assert/strict";
import { test } from "node:test";
import { distanceTo, linkCurves } from "../../../web/core/geometry/curves.js";
import { alignTo } from "../../../web/core/geometry/guides.js";
import { SpatialGrid } from "../../../web/core/geometry/spatial.js";
import { readDefinition } from "../../../web/core/nodes/definitions.js";
import { grownDefinition } from "../../../web/core/nodes/dynamic.js";

test("a link of every style goes from its start to its end without a gap", () => {
  for (const to of /** @type {[number, number][]} */ ([
    [300, 100],
    [-200, 60],
    [10, -40],
  ])) {
    for (const style of /** @type {const} */ (["spline", "straight", "square", "hidden"])) {
      const curves = linkCurves([0, 0], to, style);
      assert.deepEqual(curves[0][0], [0, 0]);
      assert.deepEqual(curves[curves.length - 1][3], to);
      curves.slice(1).forEach((curve, index) => assert.deepEqual(curve[0], curves[index][3]));
    }
    const square = linkCurves([0, 0], to, "square");
    assert.ok(square.every(([a, , , d]) => a[0] === d[0] || a[1] === d[1]));
  }
  assert.ok(distanceTo(linkCurves([0, 0], [100, 100], "straight")[0], [50, 50]) < 1e-9);
});

test("a box comes to rest on the nearest edge or middle, each way for itself", () => {
  const neighbours = /** @type {[number, number, number, number][]} */ ([
    [0, 0, 100, 50],
    [400, 300, 80, 80],
  ]);
  const found = alignTo([204, 3, 60, 30], neighbours, 5);
  assert.deepEqual([found.x, found.y], [null, 0]);
  assert.deepEqual(found.lines, [{ axis: "y", at: 0, from: 0, to: 264 }]);
  const middle = alignTo([12, 120, 80, 30], neighbours, 5);
  assert.equal(middle.x, 10, "middles 50 and 52");
  assert.deepEqual(alignTo([204, 130, 60, 30], neighbours, 5), { x: null, y: null, lines: [] });
});

test("each visits what query finds, in narrow and wide areas", () => {
  const grid = new SpatialGrid();
  for (let index = 0; index < 300; index += 1) grid.set(`${index}`, [index * 40 - 3000, (index % 17) * 90 - 700, 30, 60]);
  for (const area of /** @type {[number, number, number, number][]} */ ([
    [0, 0, 500, 200],
    [-9000, -9000, 20000, 20000],
  ])) {
    const visited = new Set();
    grid.each(area, (key) => visited.add(key));
    assert.deepEqual(visited, grid.query(area));
  }
  const { revision } = grid;
  grid.delete("5");
  grid.delete("5");
  assert.equal(grid.revision, revision + 1);
});

const PORTS = {
  images: ["COMFY_AUTOGROW_V3", { template: { input: { required: { image: ["IMAGE"] } }, names: ["a", "b", "c"], min: 1 } }],
  mode: [
    "COMFY_DYNAMICCOMBO_V3",
    {
      options: [
        { key: "none", inputs: {} },
        {
          key: "deep",
          inputs: {
            required: {
              kind: ["COMFY_DYNAMICCOMBO_V3", { options: [{ key: "x", inputs: { required: { n: ["INT", { default: 5 }] } } }] }],
              seed: ["INT", {}],
            },
          },
        },
      ],
    },
  ],
  last: ["STRING", {}],
};

test("a class grows with the choices and links of its node", () => {
  const def = readDefinition("Dyn", { input: { required: PORTS } });
  const node = (/** @type {any} */ more) => ({ id: 1, type: "Dyn", pos: /** @type {[number, number]} */ ([0, 0]), ...more });
  const names = (/** @type {any} */ more) => grownDefinition(def, node(more)).inputs.map((input) => input.name);
  assert.deepEqual(names({}), ["images.a", "mode", "last"]);
  const linked = { inputs: [{ name: "images.b", type: "IMAGE", link: 3 }] };
  assert.deepEqual(names(linked), ["images.a", "images.b", "images.c", "mode", "last"]);
  const deep = { widgets_values: ["deep", "x", 5, 9, "end"] };
  assert.deepEqual(names(deep), ["images.a", "mode", "mode.kind", "mode.kind.n", "mode.seed", "last"]);
  const widgets = grownDefinition(def, node(deep)).widgets.map((widget) => widget.name);
  assert.deepEqual(widgets, ["mode", "mode.kind", "mode.kind.n", "mode.seed", "last"]);
  const plain = readDefinition("Plain", { input: { required: { a: ["INT", {}] } } });
  assert.equal(grownDefinition(plain, node({})), plain);
});

test("rows and sockets bring inputs of their own", () => {
  const template = { required: { name: ["COMBO", { options: ["A", "B"] }] }, optional: { on: ["BOOLEAN", {}] } };
  const ports = {
    rows: ["COMFY_DYNAMICGROUP_V3", { template, min: 1, max: 3, group_name: "LoRA" }],
    guide: ["COMFY_DYNAMICSLOT_V3", { slotType: "IMAGE", inputs: { required: { strength: ["FLOAT", { default: 0.5 }] } } }],
    last: ["STRING", {}],
  };
  const def = readDefinition("Rows", { input: { required: ports } });
  const grown = (/** @type {any} */ more) => grownDefinition(def, { id: 1, type: "Rows", pos: [0, 0], ...more });
  const names = (/** @type {any} */ more) => grown(more).inputs.map((input) => input.name);
  assert.deepEqual(names({}), ["rows", "rows.0.name", "rows.0.on", "guide", "last"]);
  const two = grown({ widgets_values: [2, "A", true, "B", false, "end"] });
  assert.deepEqual(two.widgets.map((widget) => widget.name), ["rows", "rows.0.name", "rows.0.on", "rows.1.name", "rows.1.on", "last"]);
  assert.equal(two.widgets[0].serialised, false, "the number of rows is for the editor");
  assert.deepEqual([-1, 1e9, "x", null].map((count) => names({ widgets_values: [count] }).length), [5, 5, 5, 5]);
  const linked = { widgets_values: [1, "A", true, 0.7, "end"], inputs: [{ name: "guide", type: "IMAGE", link: 3 }] };
  assert.deepEqual(names(linked).slice(3), ["guide", "guide.strength", "last"]);
  assert.equal(grown(linked).inputs[3].type, "IMAGE");
});
