// @ts-check
// An endless table: older rows come page by page as one scrolls, new ones arrive on top, no row is there twice.

/** @import { Filters, Mark } from "./address.js" */
/** @import { Page, Row } from "./answers.js" */

import { announce } from "./announce.js";
import { $, breakable, el, foreign, selects, setText, show } from "./dom.js";
import { ask, problemOf, wasAborted } from "./http.js";
import { compare, formerOf, keyOf, matches, revisionOf, whereOf } from "./rows.js";
import { isFlagged, moment, money, number, sentence, verdict } from "./words.js";

const PAGE = 100;
const KEPT = 10_000; // rows; beyond that, the oldest pages are removed, and loaded again by scrolling
const MOST_ABOVE = 1_000; // rows that arrive above what is being read; more are counted, and loaded at the top
const MENDED_PAGES = 5;
const SEARCHED_PAGES = 10;
const FLUSH = 200;

export class EndlessTable {
  #body = $("rows");
  /** @type {Row[]} */
  #rows = []; // as shown: newest first
  /** @type {Map<string, HTMLElement>} */
  #elements = new Map(); // by key
  /** @type {{ cursor: string, last: Row }[]} */
  #pages = []; // the cursor after each page, and the page's last row
  #cursor = "";
  #done = false;
  /** @type {Promise<void> | null} */
  #loading = null; // settles with the page that is being loaded
  #user = "";
  /** @type {Filters} */
  #filters = {};
  #abort = new AbortController();
  /** @type {Row[]} */
  #arrived = [];
  #timer = 0;
  #above = 0;
  #beyond = false; // whether some of those above are counted only
  /** @type {Promise<void> | null} */
  #first = null; // settles with the first page
  /** @type {Set<string> | null} */
  #before = null; // keys that were here when the connection was lost
  /** @type {Mark | null} */
  #mark = null;
  #pick;
  #counted;
  #observer;

  /**
   * @param {(row: Row) => void} pick - a row was clicked
   * @param {() => void} counted - how many rows there are has changed
   */
  constructor(pick, counted) {
    this.#pick = pick;
    this.#counted = counted;
    this.#observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more(), {
      rootMargin: "800px",
    });
    $("more-button").addEventListener("click", () => this.more());
    $("newer").addEventListener("click", () => $("rows-title").scrollIntoView({ block: "start" }));
    addEventListener("scroll", () => this.#above && this.#atTop() && this.#seeAbove(), { passive: true });
  }

  get rows() {
    return this.#rows;
  }

  // Whether these are all that there are.
  get whole() {
    return this.#done && !this.#beyond;
  }

  /**
   * Starts over for this user and these filters.
   * @param {string} user
   * @param {Filters} filters
   * @param {Mark | null} mark - the row that is looked for
   */
  async open(user, filters, mark = this.#mark) {
    this.close();
    this.#abort = new AbortController();
    [this.#user, this.#filters, this.#mark] = [user, filters, mark];
    this.#first = this.more();
    await this.#first;
  }

  close() {
    this.#abort.abort();
    this.#observer.disconnect();
    clearTimeout(this.#timer);
    this.#body.replaceChildren();
    [this.#rows, this.#pages, this.#arrived] = [[], [], []];
    this.#elements.clear();
    [this.#cursor, this.#timer, this.#before] = ["", 0, null];
    [this.#done, this.#loading, this.#beyond] = [false, null, false];
    this.#countAbove(0);
    show($("more-button"), false);
    setText($("more-text"), "");
    setText($("rows-aside"), "");
  }

  /** Loads the next page, if there is one; one at a time. */
  async more() {
    if (this.#done) return;
    this.#loading ??= this.#loadPage();
    await this.#loading;
  }

  async #loadPage() {
    const { signal } = this.#abort;
    show($("more-button"), false);
    setText($("more-text"), "Loading…");
    try {
      const page = await this.#page(this.#cursor, signal);
      const last = page.transactions.at(-1);
      this.#cursor = page.cursor;
      this.#done = !last;
      if (last) this.#pages.push({ cursor: page.cursor, last });
      this.#merge(page.transactions);
      setText($("more-text"), "");
      this.#counted();
    } catch (error) {
      if (wasAborted(error)) return;
      const problem = problemOf(error);
      setText($("more-text"), problem.message);
      show($("more-button"));
      setText($("more-button"), "Try again");
      if (problem.status === 422) throw error;
      return;
    } finally {
      if (!signal.aborted) this.#loading = null;
    }
    // The observer reports changes only: start it again, since the end may still be in sight.
    this.#observer.disconnect();
    if (!this.#done) this.#observer.observe($("more"));
  }

  /** Loads pages until the row that is looked for is among them, or so many, and shows it; whether it is there. */
  async find() {
    const { signal } = this.#abort;
    for (let pages = 1; pages < SEARCHED_PAGES && !this.#marked() && !this.#done && !signal.aborted; pages += 1)
      await this.more();
    this.#marked()?.scrollIntoView({ block: "center" });
    return signal.aborted || this.#marked() !== null;
  }

  /** @returns {HTMLElement | null} */
  #marked() {
    return this.#body.querySelector(".marked");
  }

  /** From here on rows may be missed, until `mend`. */
  lost() {
    if (this.#rows.length) this.#before ??= new Set(this.#elements.keys());
  }

  /** Fetches what may have been missed and puts it where it belongs. */
  async mend() {
    const { signal } = this.#abort;
    await this.#first;
    const before = this.#before ?? new Set(this.#elements.keys());
    let cursor = "";
    for (let count = 0; count < MENDED_PAGES; count += 1) {
      const page = await this.#page(cursor, signal);
      if (this.#merge(page.transactions).length) this.#changed();
      cursor = page.cursor;
      if (!cursor || before.has(keyOf(page.transactions[page.transactions.length - 1]))) {
        this.#before = null;
        return;
      }
    }
    await this.open(this.#user, this.#filters); // too much was missed for what is here to be next to it
  }

  /** Writes the verdicts again: the words of flags have changed. */
  reword() {
    for (const row of this.#rows.filter(isFlagged)) {
      const cell = this.#elementOf(row)?.querySelector(".verdict");
      if (cell) setText(cell, verdict(row));
    }
  }

  /**
   * Takes a row that was scored just now.
   * @param {Row} row
   */
  live(row) {
    const former = formerOf(this.#arrived, row);
    if (former) this.#arrived.splice(this.#arrived.indexOf(former), 1);
    this.#arrived.push(row);
    this.#timer ||= setTimeout(() => this.#flush(), FLUSH);
  }

  #flush() {
    this.#timer = 0;
    const arrived = this.#arrived.splice(0);
    if (this.#removeFormer(arrived)) this.#changed(); // whether or not the filters let the revisions through
    const rows = arrived.filter((row) => matches(row, this.#filters) && this.#belongs(row));
    this.#beyond ||= rows.length > 0 && !this.#atTop() && this.#above >= MOST_ABOVE;
    const fresh = this.#beyond ? rows : this.#merge(rows, true);
    if (!fresh.length) return;
    if (!this.#atTop()) this.#countAbove(this.#above + fresh.length);
    const flagged = fresh.filter(isFlagged);
    const newest = flagged[0] ?? fresh[0];
    announce(() =>
      isFlagged(newest) ? `New flag: ${sentence(newest)}` : `New transaction: ${money(newest.amount, newest.currency)}`,
    );
    this.#trim();
    this.#changed();
  }

  /**
   * Whether a row is of what is loaded: an older one comes with its page.
   * @param {Row} row
   */
  #belongs(row) {
    const last = this.#rows.at(-1);
    return this.#done || !last || compare(row, last) <= 0;
  }

  /**
   * @param {string} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<Page>}
   */
  #page(cursor, signal) {
    const parameters = { user_id: this.#user, limit: PAGE, ...this.#filters, ...(cursor && { cursor }) };
    return ask("transactions", parameters, { signal, fresh: true });
  }

  /**
   * Puts rows in their places and returns those that are new here.
   * @param {Row[]} rows
   */
  #merge(rows, arriving = false) {
    this.#removeFormer(rows);
    const fresh = rows.filter((row) => !this.#elementOf(row));
    fresh.sort(compare);
    const fixed = fresh.length && !this.#atTop() ? this.#onScreen() : null;
    const before = fixed?.getBoundingClientRect().top ?? 0;
    let place = 0;
    for (const row of fresh) {
      place = this.#placeOf(row, place);
      const element = this.#element(row, arriving);
      const following = this.#rows[place];
      this.#body.insertBefore(element, (following && this.#elementOf(following)) ?? null);
      this.#rows.splice(place, 0, row);
      this.#elements.set(keyOf(row), element);
    }
    // Browsers' own anchoring is switched off (style.css): not all have it, and it misses some insertions.
    if (fixed) scrollBy({ top: fixed.getBoundingClientRect().top - before, behavior: "instant" });
    return fresh;
  }

  /** @param {Row} row */
  #elementOf(row) {
    return this.#elements.get(keyOf(row));
  }

  /**
   * Removes what these are revisions of; whether anything was.
   * @param {Row[]} rows
   */
  #removeFormer(rows) {
    const former = rows.map((row) => formerOf(this.#rows, row)).filter((row) => row !== null);
    for (const row of former) this.#remove(this.#rows.indexOf(row), 1);
    return former.length > 0;
  }

  /**
   * @param {number} place
   * @param {number} count
   */
  #remove(place, count) {
    for (const row of this.#rows.splice(place, count)) {
      this.#elementOf(row)?.remove();
      this.#elements.delete(keyOf(row));
    }
  }

  /** The first row that can be seen, found by halving: asking 10,000 rows for their places takes too long. */
  #onScreen() {
    let [low, high] = [0, this.#rows.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const element = this.#elementOf(this.#rows[middle]);
      if (element && element.getBoundingClientRect().bottom < 0) low = middle + 1;
      else high = middle;
    }
    return (this.#rows[low] && this.#elementOf(this.#rows[low])) ?? null;
  }

  /**
   * @param {Row} row
   * @param {number} from
   */
  #placeOf(row, from) {
    let [low, high] = [from, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.#rows[middle], row) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trim() {
    if (this.#rows.length <= KEPT || !this.#atTop()) return;
    if (this.#pages.length <= 2) this.open(this.#user, this.#filters); // nearly all of them arrived
    while (this.#rows.length > KEPT && this.#pages.length > 2) {
      this.#pages.pop();
      const { cursor, last } = this.#pages[this.#pages.length - 1];
      const kept = this.#rows.findLastIndex((row) => compare(last, row) >= 0) + 1;
      this.#remove(kept, this.#rows.length);
      [this.#cursor, this.#done] = [cursor, false];
      this.#observer.observe($("more"));
    }
  }

  #changed() {
    if (!this.whole && !this.#loading && $("more-button").hidden) setText($("more-text"), "");
    this.#counted();
  }

  #atTop() {
    return this.#body.getBoundingClientRect().top > 0;
  }

  #seeAbove() {
    if (this.#beyond) this.open(this.#user, this.#filters);
    else this.#countAbove(0);
  }

  /** @param {number} count */
  #countAbove(count) {
    this.#above = count;
    show($("newer"), count > 0);
    if (count) setText($("newer"), `↑ ${number(count)} new`);
  }

  /**
   * @param {Row} row
   * @param {boolean} arriving
   */
  #element(row, arriving) {
    const flagged = isFlagged(row);
    const amount = money(row.amount, row.currency);
    const details = el("button", { type: "button", class: "quiet", "aria-label": `Details of ${amount}` }, "Details");
    const marked = this.#mark?.id === row.id && Date.parse(this.#mark.at) === Date.parse(row.txn_date);
    const classes = Object.entries({ row: true, flagged, arriving, marked }).filter(([, holds]) => holds);
    const revision = revisionOf(row);
    const element = el(
      "div",
      {
        role: "row",
        class: classes.map(([name]) => name).join(" "),
        "data-id": row.id,
        "aria-current": marked && "true",
      },
      el("span", { role: "cell", class: "time" }, moment(row.txn_date)),
      el("span", { role: "cell", class: "number" }, ...breakable(amount)),
      el(
        "span",
        { role: "cell", class: "status" },
        foreign(row.status),
        revision > 1 ? ` · revision ${revision}` : "",
        ...about(row),
      ),
      el(
        "span",
        { role: "cell", class: "verdict" },
        flagged ? verdict(row) : el("span", { class: "unseen" }, "not flagged"),
      ),
      el("span", { role: "cell", class: "open" }, details),
    );
    element.addEventListener("click", (event) => selects(event) || this.#pick(row));
    return element;
  }
}

/**
 * Where it was, on a line of its own; nothing of a row that does not say.
 * @param {Row} row
 */
function about(row) {
  const parts = whereOf(row).flatMap((text, place) => [place ? " · " : "", foreign(text)]);
  return parts.length ? [" ", el("span", { class: "about" }, ...parts)] : [];
}
