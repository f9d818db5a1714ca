/**
 * Names that one window holds at a time. The browser's own locks do it where there are any; pages that are not served
 * securely, as from another machine on the network, have none, and ask the other windows instead.
 */

const CHANNEL = "latent-loom.claims";
const ANSWER_MS = 120;

/**
 * @typedef {{request: (name: string, options: {ifAvailable: true}, work: (lock: unknown) => unknown) => Promise<unknown>}} Locks
 * @typedef {{postMessage: (message: any) => void, addEventListener: (type: "message", listener: (event: any) => void) => void,
 *   removeEventListener: (type: "message", listener: (event: any) => void) => void}} Channel
 */

export class Claims {
  /**
   * @param {Locks | undefined} locks
   * @param {((name: string) => Channel) | undefined} openChannel
   * @param {string} self this window's name
   */
  constructor(locks, openChannel, self) {
    this.locks = locks;
    this.self = self;
    /** @type {Set<string>} */
    this.held = new Set();
    this.channel = locks ? undefined : openChannel?.(CHANNEL);
    this.channel?.addEventListener("message", ({ data }) => this.#answer(data));
  }

  /**
   * Hold a name until this window closes.
   * @param {string} name
   * @returns {Promise<boolean>} false where another window holds it
   */
  claim(name) {
    if (this.held.has(name)) return Promise.resolve(true);
    return this.locks ? this.#lock(this.locks, name) : this.#ask(name);
  }

  /** @param {Locks} locks @param {string} name @returns {Promise<boolean>} */
  #lock(locks, name) {
    return new Promise((resolve) => {
      locks
        .request(`latent-loom:${name}`, { ifAvailable: true }, (lock) => {
          if (lock) this.held.add(name);
          resolve(lock !== null);
          return lock ? new Promise(() => {}) : undefined;
        })
        .catch(() => resolve(true));
    });
  }

  /**
   * Two windows that ask at once both hear of it; the one whose name comes first has it.
   * @param {string} name
   * @returns {Promise<boolean>}
   */
  #ask(name) {
    const { channel } = this;
    if (!channel) return Promise.resolve(true);
    return new Promise((resolve) => {
      let free = true;
      const listen = (/** @type {{data: any}} */ { data }) => {
        if (data?.name !== name || data.from === this.self) return;
        if (data.held || data.from < this.self) free = false;
        // Who asks a moment later has not heard this window ask.
        if (!data.held && !data.again) channel.postMessage({ name, from: this.self, held: false, again: true });
      };
      channel.addEventListener("message", listen);
      channel.postMessage({ name, from: this.self, held: false });
      setTimeout(() => {
        channel.removeEventListener("message", listen);
        if (free) this.held.add(name);
        resolve(free);
      }, ANSWER_MS);
    });
  }

  /** @param {{name: string, from: string, held: boolean, again?: boolean}} asked */
  #answer({ name, from, held }) {
    if (!held && from !== this.self && this.held.has(name))
      this.channel?.postMessage({ name, from: this.self, held: true });
  }
}
