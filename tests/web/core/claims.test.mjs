import assert from "node:assert/strict";
import { test } from "node:test";
import { Claims } from "../../../web/core/doc/claims.js";

/** Windows that share a channel; messages arrive a moment later, never at their sender. */
function windows() {
  const open = new Set();
  return (/** @type {string} */ self) =>
    new Claims(
      undefined,
      () => {
        const listeners = new Set();
        const channel = {
          postMessage: (/** @type {any} */ data) =>
            setTimeout(() => {
              for (const other of open)
                if (other !== channel) for (const listen of [...other.listeners]) listen({ data });
            }, 1),
          addEventListener: (/** @type {string} */ _, /** @type {any} */ listen) => listeners.add(listen),
          removeEventListener: (/** @type {string} */ _, /** @type {any} */ listen) => listeners.delete(listen),
          listeners,
        };
        open.add(channel);
        return channel;
      },
      self,
    );
}

const later = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("without locks the windows ask each other", async () => {
  const add = windows();
  const [first, second] = [add("b"), add("a")];
  assert.equal(await first.claim("doc"), true);
  assert.equal(await second.claim("doc"), false);
  assert.equal(await second.claim("other"), true);
  assert.equal(await first.claim("doc"), true);
});

for (const wait of [0, 40]) {
  for (const names of [
    ["a", "b"],
    ["b", "a"],
  ]) {
    test(`of two that ask ${wait} ms apart one has it: ${names}`, async () => {
      const add = windows();
      const [first, second] = names.map(add);
      const asked = first.claim("doc");
      await later(wait);
      const won = await Promise.all([asked, second.claim("doc")]);
      assert.equal(won.filter(Boolean).length, 1, String(won));
    });
  }
}

test("with locks the browser decides", async () => {
  const held = new Set();
  const locks = {
    request: async (
      /** @type {string} */ name,
      /** @type {any} */ _,
      /** @type {(lock: unknown) => unknown} */ work,
    ) => {
      const lock = held.has(name) ? null : { name };
      held.add(name);
      return work(lock);
    },
  };
  const [first, second] = [new Claims(locks, undefined, "a"), new Claims(locks, undefined, "b")];
  assert.equal(await first.claim("doc"), true);
  assert.equal(await second.claim("doc"), false);
});

test("a page with neither has what it asks for", async () => {
  assert.equal(await new Claims(undefined, undefined, "a").claim("doc"), true);
});
