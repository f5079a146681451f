// @ts-check
// The newest flags, as they are raised. The list stands still while it is read.

/** @import { Page, Row } from "./answers.js" */

import { ofRow } from "./address.js";
import { announce, notice } from "./announce.js";
import { forgetOldest } from "./delays.js";
import { $, breakable, el, foreign, leads, setPressed, setText, show } from "./dom.js";
import { ask, problemOf, wasAborted } from "./http.js";
import { formerOf, keyOf, newestFirst, revisionOf, whereOf } from "./rows.js";
import { badge, plural, reason, sentence, stamp } from "./words.js";

const SHOWN = 60;
const PAINT = 250; // milliseconds between two paintings
const RUSH = 8; // flags at once: more than one can follow, so they are painted less often and without animation
const RUSH_PAINT = 1000;
const EVER = "1970-01-01";

export class Feed {
  #delays;
  /** @type {Map<string, Row>} */
  #flags = new Map(); // by key, in the order in which they came
  /** @type {Map<string, Row>} */
  #waiting = new Map(); // those that are not shown yet
  #count = 0; // of those that came since the last painting; not all of them are kept
  #reloaded = false; // whether some of those waiting come from the database
  #timer = 0;
  #painted = 0;
  #rushed = false;
  #paused = false;
  #abort = new AbortController();

  /** @param {import("./delays.js").Delays} delays */
  constructor(delays) {
    this.#delays = delays;
    $("pause").addEventListener("click", () => this.#pause(!this.#paused));
    $("held").addEventListener("click", () => {
      this.#pause(false);
      this.#paint();
      $("feed").scrollTop = 0;
      $("feed-title").scrollIntoView({ block: "nearest" });
    });
    for (const event of ["pointerleave", "focusout"]) $("feed-card").addEventListener(event, () => this.#schedule());
    addEventListener("scroll", () => this.#schedule(), { capture: true, passive: true }); // the page's and the list's
  }

  open() {
    this.#abort = new AbortController();
  }

  close() {
    this.#abort.abort();
    this.#clear();
  }

  /** Loads the newest flags of the database: what was there before, or what a gap has left out. */
  async load() {
    const { signal } = this.#abort;
    try {
      /** @type {Page} */
      const page = await ask("anomalies", { limit: SHOWN, from_date: EVER }, { signal, fresh: true });
      const missed = page.transactions.reverse().filter((row) => this.add(row));
      this.#reloaded ||= missed.length > 0;
      show($("feed-empty"), !this.#flags.size && !this.#waiting.size);
    } catch (error) {
      if (!wasAborted(error)) notice(problemOf(error).message);
    }
  }

  /**
   * Keeps a flag until the next painting; whether it was not here yet.
   * @param {Row} row
   */
  add(row) {
    const key = keyOf(row);
    const known = this.#flags.get(key) ?? this.#waiting.get(key);
    if (known && revisionOf(known) >= revisionOf(row)) return false;
    const former = formerOf(this.#waiting.values(), row);
    if (former) this.#waiting.delete(keyOf(former));
    this.#waiting.set(key, row);
    this.#count += 1;
    if (this.#waiting.size > 4 * SHOWN) forgetOldest(this.#waiting, 2 * SHOWN); // no more than SHOWN are ever shown
    this.#schedule();
    return true;
  }

  /** Writes the flags again: their words have changed. */
  reword() {
    $("feed").replaceChildren();
    this.#insert([], false, false);
  }

  #schedule() {
    const pause = this.#rushed ? RUSH_PAINT : PAINT;
    const rest = Math.max(this.#painted + pause - Date.now(), 0);
    if (this.#waiting.size) this.#timer ||= setTimeout(() => this.#due(), rest);
  }

  #due() {
    this.#timer = 0;
    if (this.#paused || (this.#flags.size && isRead())) {
      setText($("held"), `${plural(this.#count, "new flag")} held back: show`);
      show($("held"));
    } else this.#paint();
  }

  /** @param {boolean} on */
  #pause(on) {
    this.#paused = on;
    setPressed($("pause"), on);
    if (!on) this.#schedule();
  }

  #paint() {
    if (!$("held").hidden) this.#delays.restart(); // those that were held back are late for that reason alone
    const [rows, count, reloaded] = [[...this.#waiting.values()], this.#count, this.#reloaded];
    const first = reloaded && !this.#flags.size;
    this.#clear();
    this.#rushed = count > RUSH && !reloaded;
    this.#insert(rows, reloaded, !reloaded && !this.#rushed);
    this.#painted = Date.now();
    requestAnimationFrame(() => setTimeout(() => this.#noteSeen(rows))); // once the frame is painted
    const newest = rows.at(-1);
    if (newest && !first) announce(() => `${plural(count, "new flag")}. ${sentence(newest)}`);
  }

  #clear() {
    clearTimeout(this.#timer);
    [this.#timer, this.#count, this.#reloaded] = [0, 0, false];
    this.#waiting.clear();
    show($("held"), false);
  }

  /** @param {Row[]} rows */
  #noteSeen(rows) {
    this.#delays.seen(rows.map(keyOf).filter((key) => this.#flags.has(key)));
  }

  /**
   * Shows these flags in the order of their times. Those that came last are kept, so that flags of old transactions
   * are seen as well; of a reload, the newest.
   * @param {Row[]} rows
   * @param {boolean} reloaded
   * @param {boolean} arriving
   */
  #insert(rows, reloaded, arriving) {
    for (const row of rows) {
      const former = formerOf(this.#flags.values(), row);
      if (former) this.#flags.delete(keyOf(former));
    }
    const all = [...this.#flags.values(), ...rows];
    if (reloaded) all.reverse().sort(newestFirst).reverse();
    this.#flags = new Map(all.slice(-SHOWN).map((row) => [keyOf(row), row]));
    const list = $("feed");
    for (const element of [...list.children]) if (!this.#flags.has(keyOn(element))) element.remove();
    for (const [place, row] of [...this.#flags.values()].reverse().sort(newestFirst).entries()) {
      const there = list.children[place] ?? null;
      if (!there || keyOn(there) !== keyOf(row)) list.insertBefore(item(row, arriving), there);
    }
    show($("feed-empty"), !this.#flags.size);
  }
}

/** @param {Element} element */
const keyOn = (element) => element.getAttribute("data-key") ?? "";

// Whether the list is being read, so that nothing may move in it: by mouse, by keyboard, or scrolled into it.
function isRead() {
  const list = $("feed");
  const above = list.scrollTop > 0 || list.getBoundingClientRect().top < $("bar").offsetHeight;
  return above || $("feed-card").matches(":hover") || list.contains(document.activeElement);
}

/**
 * @param {Row} row
 * @param {boolean} arriving
 */
function item(row, arriving) {
  const { before, amount, rest } = reason(row);
  const revision = revisionOf(row);
  const link = el("a", { class: "cover", href: ofRow(row) }, before, el("strong", {}, ...breakable(amount)), rest);
  /** @type {(Node | string)[]} */
  const about = [`${stamp(row.txn_date)} · user ${row.user_id.slice(0, 8)} · `, foreign(row.status)];
  for (const text of whereOf(row)) about.push(" · ", foreign(text));
  if (revision > 1) about.push(` · revision ${revision}`);
  return leads(
    el(
      "li",
      { class: arriving ? "arriving" : "", "data-id": row.id, "data-key": keyOf(row) },
      el("span", { class: "ratio", "aria-hidden": "true" }, badge(row)),
      el("div", {}, el("p", {}, link), el("p", { class: "aside" }, ...about)),
    ),
    link,
  );
}
