// @ts-check
// A tab's end of a live stream, which its browser's tabs share (hub.js). A tab that is not seen listens to none; when it
// is seen again it does not go on from where it was, which may be hours ago: the listener reads the database at each
// "open", and now and then while "crowded", when other tabs have all the streams that there may be.

/** @import { Message, Told } from "./hub.js" */
/** @typedef {"connecting" | "open" | "reconnecting" | "crowded" | "asleep" | "none"} State */

/**
 * @typedef {object} Listener
 * @property {(text: string) => void} row - a row arrived
 * @property {() => void} gap - Kafka no longer has what was missed
 * @property {(state: State) => void} state
 */

import { Hub } from "./hub.js";

const ALIVE = 5_000;
const PROTOCOL = "1"; // of the messages: tabs of another version of this page have a worker of their own

/** @type {MessagePort | null} */
let port = null;
/** @type {(message: Message) => void} */
let receive = () => {};

let canShare = typeof SharedWorker !== "undefined";

function connected() {
  const made = canShare ? shared() : alone();
  made.onmessage = ({ data }) => receive(data);
  return made;
}

// As on phones, which show one tab at a time, and where a worker may have no modules.
function alone() {
  const { port1, port2 } = new MessageChannel();
  new Hub().add(port2);
  return port1;
}

function shared() {
  const made = new SharedWorker(address(), { type: "module", name: PROTOCOL });
  made.onerror = () => {
    [canShare, port] = [false, null]; // it could not be loaded: the next word is for one of this tab's own
  };
  return made.port;
}

// The one address that may be run, as the page's policy wants it said.
function address() {
  const url = new URL("shared.js", import.meta.url).href;
  const { trustedTypes } = /** @type {any} */ (globalThis);
  return trustedTypes ? trustedTypes.createPolicy("shared", { createScriptURL: () => url }).createScriptURL("") : url;
}

export class Stream {
  #url;
  #listener;
  #ended = new AbortController();
  #alive = 0;
  #opened = false;

  /**
   * @param {string} path
   * @param {Listener} listener
   */
  constructor(path, listener) {
    this.#url = new URL(path, document.baseURI).href;
    this.#listener = listener;
    receive = ({ url, told }) => url === this.#url && !document.hidden && this.#hear(told);
    const { signal } = this.#ended;
    document.addEventListener("visibilitychange", () => this.#turned(), { signal });
    addEventListener("pagehide", () => this.#say(""), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#turned(), { signal });
    this.#alive = setInterval(() => document.hidden || this.#say(this.#url), ALIVE);
    this.#turned();
  }

  close() {
    this.#ended.abort();
    clearInterval(this.#alive);
    receive = () => {};
    this.#say("");
  }

  /** @param {string} listen */
  #say(listen) {
    port ??= connected();
    port.postMessage({ listen });
  }

  #turned() {
    this.#say(document.hidden ? "" : this.#url);
    this.#listener.state(document.hidden ? "asleep" : "connecting");
  }

  /** @param {Told} told */
  #hear(told) {
    if ("row" in told) this.#listener.row(told.row);
    else if ("gap" in told) this.#listener.gap();
    else this.#listener.state(told.state === "connecting" && this.#opened ? "reconnecting" : told.state);
    this.#opened ||= "state" in told && told.state === "open";
  }
}
