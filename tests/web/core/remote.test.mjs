import assert from "node:assert/strict";
import { test } from "node:test";
import { readDefinitions } from "../../../web/core/nodes/definitions.js";
import { askForChoices } from "../../../web/core/nodes/remote.js";

const remote = { route: "/internal/files/output" };

/** @param {Record<string, unknown>} options */
const node = (options, type = "COMBO") => ({ input: { required: { image: [type, options] } } });

test("choices are asked for once, and named with their folder", async () => {
  /** @type {string[]} */
  const asked = [];
  const catalogue = {
    A: node({ remote, image_folder: "output" }),
    B: node({ remote }),
    C: { input: { required: {}, optional: { x: ["COMBO", { remote: { route: "/y", response_key: "names" } }] } } },
  };
  const found = await askForChoices(catalogue, async (address) => {
    asked.push(address);
    return address === "/y" ? { names: ["n"] } : ["b.png", "a.png"];
  });
  assert.equal(found, catalogue);
  assert.deepEqual(asked.sort(), ["/internal/files/output", "/y"]);
  const definitions = readDefinitions(found);
  const choices = (/** @type {string} */ id) => definitions.get(id)?.inputs[0].widget?.choices;
  assert.deepEqual(choices("A"), ["b.png [output]", "a.png [output]"]);
  assert.deepEqual(choices("B"), ["b.png", "a.png"]);
  assert.deepEqual(choices("C"), ["n"]);
});

test("other servers, other types and what has choices are left alone", async () => {
  const catalogue = {
    A: node({ remote: { route: "https://elsewhere.example/list" } }),
    B: node({ remote: { route: "//elsewhere.example/list" } }),
    C: node({ remote, options: ["own"] }),
    D: node({ remote }, "STRING"),
    E: node({}),
    F: null,
  };
  const before = structuredClone(catalogue);
  await askForChoices(catalogue, () => assert.fail("nothing is to be asked"));
  assert.deepEqual(catalogue, before);
});

test("what cannot be had is empty", async () => {
  for (const ask of [() => Promise.reject(new Error("gone")), async () => ({ error: "no" }), async () => null]) {
    const catalogue = await askForChoices({ A: node({ remote, image_folder: "output" }) }, ask);
    assert.deepEqual(catalogue.A.input.required.image[1].options, []);
  }
});
