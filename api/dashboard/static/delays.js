// @ts-check
// How long flags take from their producer to the screen.

/** @import { Sample } from "./answers.js" */

import { $, setText } from "./dom.js";
import { keyOf } from "./rows.js";
import { duration } from "./words.js";

const COUNTED = 20; // flags
const REMEMBERED = 500; // flags that are produced and not yet seen, or the other way round

export class Delays {
  /** @type {Map<string, number>} */
  #produced = new Map(); // key -> when, by the server's clock
  /** @type {Map<string, { at: number, since: number }>} */
  #seen = new Map(); // key -> when it was on the screen, and `#since` at that time
  #since = 0; // since when nothing but the system itself has delayed flags
  /** @type {number[]} */
  #newest = []; // milliseconds

  /** From here on the system alone delays a flag: the list is not held back, the page not hidden. */
  restart() {
    this.#since = document.hidden ? Infinity : Date.now();
  }

  /**
   * Notes flags that are on the screen now.
   * @param {string[]} keys
   */
  seen(keys) {
    const seen = { at: Date.now(), since: this.#since };
    for (const key of keys) this.#seen.set(key, seen);
    forgetOldest(this.#seen, REMEMBERED);
  }

  /**
   * Shows the delays, with these samples' flags among them.
   * @param {Sample[]} samples
   * @param {number} skew - milliseconds that the server's clock is ahead
   */
  show(samples, skew) {
    for (const { produced } of samples) if (produced) this.#produced.set(keyOf(produced), produced.at);
    for (const [key, at] of this.#produced) {
      const seen = this.#seen.get(key);
      if (!seen) continue; // not painted yet: it counts once it is, however late
      this.#produced.delete(key);
      const produced = at - skew;
      if (produced < seen.since) continue;
      this.#newest = [...this.#newest, Math.max(seen.at - produced, 0)].slice(-COUNTED);
    }
    forgetOldest(this.#produced, REMEMBERED);
    if (this.#newest.length) this.#write(this.#newest.toSorted((one, other) => one - other));
  }

  /** @param {number[]} sorted */
  #write(sorted) {
    const slowest = duration(Math.round(sorted[sorted.length - 1]));
    const many = `median of ${sorted.length} flags; slowest ${slowest}`;
    setText($("delay"), duration(Math.round(sorted[sorted.length >> 1])));
    setText($("delay-aside"), sorted.length > 1 ? many : "of the last flag");
  }
}

/**
 * Removes all but the newest of a map.
 * @param {Map<string, unknown>} map
 * @param {number} kept
 */
export function forgetOldest(map, kept) {
  for (const key of [...map.keys()].slice(0, -kept)) map.delete(key);
}
