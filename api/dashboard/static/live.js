// @ts-check
// The first view: how much flows, how far behind the workers are, and the flags as they are raised.

/** @import { State } from "./stream.js" */

import { notice } from "./announce.js";
import { Delays } from "./delays.js";
import { Feed } from "./feed.js";
import { poll } from "./http.js";
import { Rates } from "./rates.js";
import { Stream } from "./stream.js";

export class Live {
  #report;
  #delays = new Delays();
  #feed = new Feed(this.#delays);
  #rates = new Rates(this.#delays);
  /** @type {Stream | null} */
  #stream = null;
  #stop = () => {};

  /** @param {(state: State) => void} report */
  constructor(report) {
    this.#report = report;
    document.addEventListener("visibilitychange", () => this.#delays.restart());
  }

  open() {
    document.title = "Live · txnwatch";
    this.#delays.restart();
    this.#feed.open();
    this.#stop = poll((signal) => this.#rates.refresh(signal), 1000);
    this.#stream = new Stream("sse/anomalies", {
      row: (text) => this.#feed.add(JSON.parse(text)),
      gap: () => {
        notice("Some flags were no longer in Kafka when the connection came back. The list has been loaded again.");
        this.#feed.load();
      },
      state: (state) => {
        this.#report(state);
        if (state === "asleep") this.#delays.restart();
        if (state === "open" || state === "crowded") this.#feed.load();
      },
    });
  }

  /**
   * Follows a change of the rule.
   * @param {boolean} reworded - flags read otherwise now
   */
  ruled(reworded) {
    if (reworded) this.#feed.reword();
  }

  close() {
    this.#stop();
    this.#stream?.close();
    this.#stream = null;
    this.#feed.close();
  }
}
