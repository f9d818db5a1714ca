import assert from "node:assert/strict";
import { test } from "node:test";
import { curveBounds, distanceTo, linkCurve, pointAt } from "../../../web/core/geometry/curves.js";
import { SpatialGrid } from "../../../web/core/geometry/spatial.js";
import { boundsOf, overlap, Viewport } from "../../../web/core/geometry/viewport.js";
import { random } from "./fixtures.mjs";

test("zoom keeps the point under the cursor", () => {
  const viewport = new Viewport();
  viewport.size = [800, 600];
  viewport.panBy(13, -7);
  const before = viewport.toGraph([300, 200]);
  viewport.zoomAt(1.7, [300, 200]);
  const after = viewport.toGraph([300, 200]);
  assert.ok(Math.hypot(after[0] - before[0], after[1] - before[1]) < 1e-9);
  viewport.zoomAt(1000, [0, 0]);
  assert.equal(viewport.scale, 4);
});

test("fit shows all of it in the middle", () => {
  const viewport = new Viewport();
  viewport.size = [1000, 500];
  viewport.fit([-500, -100, 4000, 800]);
  const [x, y, width, height] = viewport.visible();
  assert.ok(x <= -500 && y <= -100 && x + width >= 3500 && y + height >= 700);
  assert.deepEqual(viewport.toScreen([1500, 300]).map(Math.round), [500, 250]);
});

test("the grid finds what a plain look at everything finds", () => {
  const grid = new SpatialGrid();
  const draw = random(1);
  const boxes = new Map();
  for (let id = 0; id < 400; id += 1) {
    const box = [draw() * 9000 - 4000, draw() * 9000 - 4000, draw() * 900, draw() * 600];
    boxes.set(String(id), box);
    grid.set(String(id), /** @type {any} */ (box));
  }
  for (let id = 0; id < 100; id += 1) {
    grid.delete(String(id));
    boxes.delete(String(id));
  }
  for (let look = 0; look < 50; look += 1) {
    const area = /** @type {any} */ ([draw() * 8000 - 4000, draw() * 8000 - 4000, draw() * 4000, draw() * 900]);
    const plain = [...boxes]
      .filter(([, box]) => overlap(box, area))
      .map(([id]) => id)
      .sort();
    assert.deepEqual([...grid.query(area)].sort(), plain);
  }
  assert.ok(grid.extent());
  assert.equal(new SpatialGrid().extent(), null);
});

test("curves start and end at their sockets and know how far a point is", () => {
  for (const to of [
    [300, 100],
    [-300, 40],
    [5, 0],
  ]) {
    const curve = linkCurve([0, 0], /** @type {any} */ (to));
    assert.deepEqual(pointAt(curve, 0), [0, 0]);
    assert.deepEqual(pointAt(curve, 1), to);
    assert.ok(distanceTo(curve, pointAt(curve, 0.37)) < 2);
    const [x, y, width, height] = curveBounds(curve);
    const [px, py] = pointAt(curve, 0.5);
    assert.ok(px >= x && px <= x + width && py >= y && py <= y + height);
  }
  assert.deepEqual(boundsOf([5, 1], [2, 8]), [2, 1, 3, 7]);
});
