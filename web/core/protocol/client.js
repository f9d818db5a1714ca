import { parseJson, stringifyJson } from "../format/json.js";

/**
 * The server, as seen from here: requests, and one socket that comes back by itself.
 *
 * @typedef {(type: string, data: any) => void} MessageListener
 */

const RETRY_MS = [300, 600, 1000, 2000, 3000];

/** An answer that says no. `body` is its JSON, or null. */
export class ServerError extends Error {
  /**
   * @param {number} status
   * @param {import("./types.d.ts").ErrorBody | null} body
   * @param {string} path
   */
  constructor(status, body, path) {
    super(messageOf(body) || (status ? `The server answered ${status} to ${path}.` : "The server does not answer."));
    this.status = status;
    this.body = body;
  }
}

/** @param {any} body */
function messageOf(body) {
  const error = body?.error ?? body;
  if (typeof error === "string") return error;
  return [error?.message, error?.remedy].filter(Boolean).join(" ");
}

export class Server {
  /**
   * @param {string} clientId
   * @param {MessageListener} listener also told "socket" with true or false when the connection comes and goes,
   *   and "frame" with each binary message
   */
  constructor(clientId, listener) {
    this.clientId = clientId;
    this.listener = listener;
    this.attempt = 0;
    this.connected = false;
    this.closed = false;
  }

  /**
   * @param {string} path without /api
   * @param {{method?: string, json?: unknown, body?: BodyInit, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   * @throws {ServerError}
   */
  async request(path, { method, json, body, signal } = {}) {
    const payload = json === undefined ? body : stringifyJson(json);
    const headers = json === undefined ? undefined : { "Content-Type": "application/json" };
    let response;
    try {
      response = await fetch(`/api${path}`, {
        method: method ?? (payload === undefined ? "GET" : "POST"),
        body: payload,
        headers,
        signal,
      });
    } catch {
      throw new ServerError(0, null, path);
    }
    if (!response.ok) throw new ServerError(response.status, await response.json().catch(() => null), path);
    return response;
  }

  /**
   * @param {string} path
   * @returns {Promise<any>}
   */
  async get(path) {
    const response = await this.request(path);
    return parseJson(await response.text());
  }

  /**
   * @param {string} address on this server, as it has been said in full
   * @returns {Promise<any>}
   */
  async getAt(address) {
    const response = await fetch(address);
    if (!response.ok) throw new ServerError(response.status, null, address);
    return response.json();
  }

  /**
   * @param {string} path
   * @param {unknown} json
   * @returns {Promise<any>} the answer's JSON, null where it is empty
   */
  async post(path, json) {
    const response = await this.request(path, { json });
    const text = await response.text();
    return text ? parseJson(text) : null;
  }

  /**
   * @param {File | Blob} file
   * @param {string} name
   * @returns {Promise<{name: string, subfolder: string, type: string}>}
   */
  async uploadImage(file, name) {
    const form = new FormData();
    form.append("image", file, name);
    return (await this.request("/upload/image", { body: form })).json();
  }

  /**
   * @param {import("../run/jobs.js").FileRef} file
   * @returns {string} the address of a picture
   */
  address({ filename, subfolder = "", type = "output" }) {
    return `/api/view?${new URLSearchParams({ filename, subfolder, type })}`;
  }

  /** Open the socket, and again whenever it closes. */
  async connect() {
    // Read only now, because a page shows its graph before it talks.
    const { readFrame } = await import("./frames.js");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws?clientId=${encodeURIComponent(this.clientId)}`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.attempt = 0;
      this.connected = true;
      socket.send(JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: true } }));
      this.listener("socket", true);
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") this.#receive(data);
      else this.listener("frame", readFrame(data));
    });
    socket.addEventListener("close", () => {
      if (this.closed) return;
      if (this.connected || this.attempt === 0) this.listener("socket", false);
      this.connected = false;
      setTimeout(() => this.connect(), RETRY_MS[Math.min(this.attempt++, RETRY_MS.length - 1)]);
    });
    this.socket = socket;
  }

  /** @param {string} data */
  #receive(data) {
    const message = JSON.parse(data);
    this.listener(String(message.type), message.data);
  }
}
