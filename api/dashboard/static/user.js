// @ts-check
// One user: amounts over time, the window as the worker has it, and every transaction.

/** @import { Filters, Mark, Place } from "./address.js" */
/** @import { Page, Row, Starts, Stats } from "./answers.js" */
/** @import { State } from "./stream.js" */

import { ofUser, replace } from "./address.js";
import { drawAmounts } from "./amounts.js";
import { notice } from "./announce.js";
import { forget } from "./charts.js";
import { details } from "./details.js";
import { $, copyable, el, setPressed, setText, show } from "./dom.js";
import { clearProblem, fillFields, readFields, restOfDates, showProblem } from "./filters.js";
import { ask, csv, poll, problemOf, wasAborted } from "./http.js";
import { showRecent } from "./recent.js";
import { matches } from "./rows.js";
import { Series } from "./series.js";
import { Stream } from "./stream.js";
import { EndlessTable } from "./table.js";
import { askStarts, showNoWindow, showWindow } from "./window.js";
import { day, plural } from "./words.js";

const EVER = "1970-01-01";
const PAUSE = 300;
const MONTH = 30 * 86_400_000;

export class User {
  #report;
  #table = new EndlessTable(details, () => this.#showRows());
  #user = "";
  /** @type {Filters} */
  #filters = {};
  #log = false;
  /** @type {Mark | null} */
  #mark = null; // the transaction that was asked for
  /** @type {Series | null} */
  #series = null;
  /** @type {Series | null} */
  #coming = null; // the series that is being loaded
  /** @type {Stats | null} */
  #stats = null; // the worker's window
  /** @type {Starts | null} */
  #starts = null; // where flags start
  #currency = ""; // of its window, where it has one
  #chosen = ""; // the currency of the chart, once one is chosen
  #shown = ""; // the currency of the chart
  /** @type {Stream | null} */
  #stream = null;
  #stop = () => {};
  #timer = 0;
  #abort = new AbortController();
  #windowDue = false;
  #chartDue = false;

  /** @param {(state: State) => void} report */
  constructor(report) {
    this.#report = report;
    const form = $("filters", HTMLFormElement);
    form.addEventListener("input", () => this.#filter(PAUSE));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#filter(0);
    });
    $("clear").addEventListener("click", () => {
      form.reset();
      this.#apply({});
    });
    $("scale").addEventListener("click", () => {
      this.#scale(!this.#log);
      this.#tellAddress();
    });
    const currencies = $("currency", HTMLSelectElement);
    currencies.addEventListener("change", () => {
      this.#chosen = currencies.value;
      this.#draw();
      this.#showWindow();
      this.#windowDue = true; // where flags start is of this currency
    });
    $("export").addEventListener("click", () => this.#export());
    $("more-button").addEventListener("click", () => this.#offersAll && this.#everything());
  }

  /** @param {Place} place */
  async open({ user, filters, log, mark }) {
    const isSame = user === this.#user && JSON.stringify(mark) === JSON.stringify(this.#mark);
    if (user && isSame) return this.#change(filters, log);
    this.close();
    document.title = user ? `User ${user.slice(0, 8)} · txnwatch` : "Users · txnwatch";
    show($("user-none"), !user);
    show($("user-some"), Boolean(user));
    if (!user) {
      this.#report("none");
      setText($("user-title"), "Users");
      $("user-copy").replaceChildren();
      return showRecent();
    }
    [this.#user, this.#mark, this.#stats, this.#starts] = [user, mark, null, null];
    [this.#currency, this.#chosen, this.#shown] = ["", "", ""];
    this.#filters = mark ? around(mark, filters) : filters;
    this.#abort = new AbortController();
    const [shown, ...copy] = copyable(user, el("code", {}, user));
    $("user-title").replaceChildren("User ", shown);
    $("user-copy").replaceChildren(...copy);
    fillFields(this.#filters);
    this.#tellAddress();
    this.#scale(log);
    this.#stream = new Stream(`sse/transactions/${user}`, {
      row: (text) => this.#arrives(JSON.parse(text)),
      gap: () => {
        notice(
          "Some transactions were no longer in Kafka when the connection came back. The database is asked for them.",
        );
        this.#mend();
      },
      state: (state) => {
        this.#report(state);
        if (state === "open" || state === "crowded") this.#mend();
        else this.#table.lost();
      },
    });
    this.#stop = poll((signal) => this.#refresh(signal), 1000);
    await Promise.all([this.#open().then(() => mark && this.#find(mark)), this.#load()]);
    if (!this.#currency) this.#windowDue = true; // the window came before any row said which money it is
  }

  close() {
    this.#abort.abort();
    this.#stream?.close();
    this.#stream = null;
    this.#stop();
    clearTimeout(this.#timer);
    this.#table.close();
    forget($("chart-amounts"));
    [this.#user, this.#series, this.#coming, this.#chartDue, this.#windowDue] = ["", null, null, false, false];
    this.#mark = null;
  }

  #tellAddress() {
    replace(ofUser(this.#user, this.#filters, this.#log, this.#mark));
  }

  // --- The table and its filters

  /**
   * Follows the address, which has changed.
   * @param {Filters} filters
   * @param {boolean} log
   */
  #change(filters, log) {
    clearTimeout(this.#timer);
    if (log !== this.#log) this.#scale(log);
    fillFields(filters);
    return this.#apply(filters);
  }

  /**
   * Applies what the fields say.
   * @param {number} pause - milliseconds, in which one may go on typing
   */
  #filter(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#apply(readFields(this.#filters)), pause);
  }

  /** @param {Filters} filters */
  async #apply(filters) {
    if (JSON.stringify(filters) === JSON.stringify(this.#filters)) return;
    const dates = filters.from_date !== this.#filters.from_date || filters.to_date !== this.#filters.to_date;
    this.#filters = filters;
    this.#tellAddress();
    await Promise.all([this.#open(), dates ? this.#load() : null]);
  }

  async #open() {
    clearProblem();
    try {
      await this.#table.open(this.#user, this.#filters, this.#mark);
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status !== 422) throw error;
      showProblem(problem);
      show($("more-button"), false);
      setText($("more-text"), "");
    }
  }

  /**
   * Shows the row that was asked for; where too many newer ones are before it, the rows that end with it.
   * @param {Mark} mark
   */
  async #find(mark) {
    if (await this.#table.find()) return;
    await this.#apply({ from_date: dayOf(Date.parse(mark.at) - MONTH), to_date: mark.at });
    fillFields(this.#filters);
    if (!(await this.#table.find())) notice("The transaction of this address is not among the user's.");
  }

  #showRows() {
    const { rows, whole } = this.#table;
    const count = rows.length;
    setText(
      $("rows-aside"),
      count ? `${plural(count, "row")}${whole ? "" : " so far"}${this.#restOfDates(rows[0])}` : "",
    );
    this.#offersAll = false;
    if (!whole) return;
    show($("more-button"), false);
    if (count) setText($("more-text"), `That is all: ${plural(count, "transaction")}.`);
    else this.#showNone();
  }

  /**
   * What the fields do not say of the dates.
   * @param {Row} newest
   */
  #restOfDates(newest) {
    const { from_date, to_date } = this.#filters;
    const isMoved = from_date === this.#movedTo && !to_date && isOld(newest);
    return isMoved ? ", none of the last 30 days" : restOfDates(this.#filters);
  }

  /**
   * Shows where the rows are if none is of the last 30 days; of other dates, says that there are none, and where the
   * newest is that would be one but for its date.
   */
  async #showNone() {
    const { from_date, to_date, ...others } = this.#filters;
    const isDated = Boolean(from_date || to_date);
    const { signal } = this.#abort;
    try {
      const one = { user_id: this.#user, limit: 1, from_date: EVER, ...others };
      /** @type {Page} */
      const page = await ask("transactions", one, { signal, fresh: true }); // one that arrived may be the first
      if (!this.#table.whole || this.#table.rows.length) return;
      const [newest] = page.transactions;
      if (newest && !this.#currency) [this.#currency, this.#windowDue] = [newest.currency, true];
      if (newest && !isDated && isOld(newest)) return await this.#move(newest);
      const none = `Nothing in ${isDated ? "these dates" : "the last 30 days"}`;
      const never = Object.keys(others).length ? "No transaction is like that." : "This user has no transactions.";
      setText($("more-text"), newest ? `${none}; the newest is of ${day(newest.txn_date)}.` : never);
      setText($("more-button"), "Look at all dates");
      this.#offersAll = Boolean(newest);
      show($("more-button"), this.#offersAll);
    } catch (error) {
      this.#notice(error);
    }
  }

  /**
   * Shows the 30 days before the newest transaction, and what comes after it.
   * @param {Row} newest
   */
  async #move(newest) {
    this.#movedTo = dayOf(Date.parse(newest.txn_date) - MONTH);
    await this.#apply({ ...this.#filters, from_date: this.#movedTo });
    fillFields(this.#filters);
  }

  #movedTo = ""; // the day from which rows are shown, as none was of the last 30 days
  #noneDue = false; // whether a transaction has come that is of none of the dates of a table without rows
  #offersAll = false; // whether the table's button leads to all dates

  #everything() {
    const { to_date, ...others } = this.#filters;
    this.#apply({ ...others, from_date: EVER });
    fillFields(this.#filters);
  }

  async #export() {
    const button = $("export", HTMLButtonElement);
    button.disabled = true;
    try {
      const file = await csv("transactions", { user_id: this.#user, ...this.#filters });
      const link = el("a", { href: URL.createObjectURL(file), download: `transactions-${this.#user}.csv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      notice(problemOf(error).message);
    } finally {
      button.disabled = false;
    }
  }

  // --- What arrives

  /** @param {Row} row */
  #arrives(row) {
    this.#table.live(row);
    this.#currency ||= row.currency;
    const { from_date, to_date } = this.#filters;
    if (matches(row, { from_date, to_date }))
      for (const series of new Set([this.#series, this.#coming])) series?.add(row);
    this.#windowDue = true;
    this.#chartDue = true;
    this.#noneDue = this.#table.whole && !this.#table.rows.length;
  }

  /** Loads what came between loading and the stream's opening, or while it was away. */
  async #mend() {
    try {
      await this.#table.mend();
      await this.#load();
    } catch (error) {
      this.#notice(error);
    }
  }

  /**
   * Shows an error, unless it is of a request that was given up or of a filter, which says so itself.
   * @param {unknown} error
   */
  #notice(error) {
    if (wasAborted(error)) return;
    const problem = problemOf(error);
    if (problem.status !== 422) notice(problem.message);
  }

  /**
   * Once a second, draws what has arrived.
   * @param {AbortSignal} signal
   */
  async #refresh(signal) {
    if (this.#chartDue) this.#draw();
    if (this.#noneDue) {
      this.#noneDue = false;
      await this.#showNone();
    }
    if (this.#windowDue) await this.#window(signal);
  }

  // --- The chart and the window

  async #load() {
    const { signal } = this.#abort;
    try {
      const series = new Series();
      this.#coming = series;
      await series.load(this.#user, this.#filters, signal);
      if (this.#coming !== series) return;
      this.#series = series;
      // The rule became known, or changed, while this was loading.
      if (series.tooShort) await this.#load();
      else {
        this.#draw();
        await this.#window(signal);
        this.#draw(); // with the window it is known whether anything was before
      }
    } catch (error) {
      this.#notice(error);
    }
  }

  #draw() {
    this.#chartDue = false;
    const series = this.#series;
    if (!series) return;
    const { count = null, currencies } = this.#stats ?? {};
    this.#shown = drawAmounts(series, {
      log: this.#log,
      chosen: this.#chosen,
      mark: this.#mark,
      starts: this.#filters.to_date ? null : this.#starts, // it is of now, not of then
      held: (currency) =>
        currencies ? (currencies[currency]?.count ?? null) : currency === this.#currency ? count : null,
      dates: this.#filters.from_date || this.#filters.to_date ? "in these dates" : "of the last 30 days",
    });
  }

  /**
   * Follows a change of the rule.
   * @param {boolean} reworded - flags read otherwise now
   */
  ruled(reworded) {
    if (!this.#user) return reworded && showRecent();
    if (reworded) this.#table.reword();
    if (this.#series?.tooShort) this.#load();
    [this.#chartDue, this.#windowDue] = [true, true];
  }

  /** @param {boolean} log */
  #scale(log) {
    this.#log = log;
    setPressed($("scale"), log);
    this.#draw();
  }

  /** @param {AbortSignal} signal */
  async #window(signal) {
    this.#windowDue = false;
    this.#currency ||= this.#table.rows[0]?.currency ?? "";
    try {
      /** @type {Stats} */
      const stats = await ask(`users/${this.#user}/stats`, {}, { signal });
      this.#stats = stats;
      const starts = await askStarts(this.#user, this.#shown || this.#currency, signal);
      this.#chartDue ||= JSON.stringify(starts) !== JSON.stringify(this.#starts);
      this.#starts = starts;
      this.#showWindow();
    } catch (error) {
      if (wasAborted(error)) throw error;
      const problem = problemOf(error);
      this.#stats = null;
      showNoWindow(problem.status === 404 ? "No worker has a window of this user." : problem.message);
    }
  }

  /** Shows the window of the chart's currency, or of the only one that there is. */
  #showWindow() {
    if (!this.#stats) return;
    const [last] = Object.keys(this.#stats.currencies ?? {});
    showWindow(this.#stats, last ? this.#shown || last : this.#currency, this.#starts);
  }
}

/**
 * The dates of a transaction's address that says none: by default the last 30 days, and those before an older one.
 * @param {Mark} mark
 * @param {Filters} filters
 * @returns {Filters}
 */
function around({ at }, filters) {
  const time = Date.parse(at);
  if (filters.from_date || filters.to_date || Date.now() - time < MONTH) return filters;
  return { ...filters, from_date: dayOf(time - MONTH), to_date: dayOf(time) };
}

/** @param {Row} row */
const isOld = (row) => Date.now() - Date.parse(row.txn_date) >= MONTH;

/** @param {number} milliseconds */
const dayOf = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);
