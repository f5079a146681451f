// @ts-check
// One user: amounts over time, the window as the worker has it, and every transaction.

/** @import { Filters, Place } from "./address.js" */
/** @import { Row, Stats } from "./answers.js" */
/** @import { State } from "./stream.js" */

import { ofUser, replace } from "./address.js";
import { notice } from "./announce.js";
import { draw, forget } from "./charts.js";
import { details } from "./details.js";
import { $, el, setPressed, setText, show } from "./dom.js";
import { clearProblem, fillFields, readFields, restOfDates, showProblem } from "./filters.js";
import { ask, csv, poll, problemOf, wasAborted } from "./http.js";
import { showRecent } from "./recent.js";
import { matches } from "./rows.js";
import { rule, ruleProblem } from "./rule.js";
import { Series } from "./series.js";
import { Stream } from "./stream.js";
import { EndlessTable } from "./table.js";
import { showNoWindow, showWindow } from "./window.js";
import { number, plural } from "./words.js";

const EVER = "1970-01-01";
const PAUSE = 300;

export class User {
  #report;
  #table = new EndlessTable(details, () => this.#showRows());
  #user = "";
  /** @type {Filters} */
  #filters = {};
  #log = false;
  /** @type {Series | null} */
  #series = null;
  /** @type {Series | null} */
  #coming = null; // the series that is being loaded
  /** @type {number | null} */
  #held = null; // how many amounts the worker's window has
  #currency = "";
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
      replace(ofUser(this.#user, this.#filters, this.#log));
    });
    $("export").addEventListener("click", () => this.#export());
    $("more-button").addEventListener("click", () => this.#offersAll && this.#everything());
  }

  /** @param {Place} place */
  async open({ user, filters, log }) {
    if (user && user === this.#user) return this.#change(filters, log);
    this.close();
    document.title = user ? `User ${user.slice(0, 8)} · txnwatch` : "Users · txnwatch";
    show($("user-none"), !user);
    show($("user-some"), Boolean(user));
    if (!user) {
      this.#report("none");
      setText($("user-title"), "Users");
      return showRecent();
    }
    [this.#user, this.#filters, this.#held, this.#currency] = [user, filters, null, ""];
    this.#abort = new AbortController();
    $("user-title").replaceChildren("User ", el("code", {}, user));
    fillFields(filters);
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
    await Promise.all([this.#open(), this.#load()]);
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
    replace(ofUser(this.#user, filters, this.#log));
    await Promise.all([this.#open(), dates ? this.#load() : null]);
  }

  async #open() {
    clearProblem();
    try {
      await this.#table.open(this.#user, this.#filters);
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status !== 422) throw error;
      showProblem(problem);
      show($("more-button"), false);
      setText($("more-text"), "");
    }
  }

  #showRows() {
    const { rows, whole } = this.#table;
    const count = rows.length;
    setText(
      $("rows-aside"),
      count ? `${plural(count, "row")}${whole ? "" : " so far"}${restOfDates(this.#filters)}` : "",
    );
    if (!whole) return;
    const none = Object.keys(this.#filters).length
      ? "No transaction is like that."
      : "There is none in the last 30 days.";
    setText($("more-text"), count ? `That is all: ${plural(count, "transaction")}.` : none);
    setText($("more-button"), "Look at all dates");
    show($("more-button"), this.#offersAll);
  }

  // Whether the table's button leads to all dates.
  get #offersAll() {
    return this.#table.whole && !this.#table.rows.length && !this.#filters.from_date;
  }

  #everything() {
    this.#apply({ ...this.#filters, from_date: EVER });
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
        await this.#window(signal);
        this.#draw();
      }
    } catch (error) {
      this.#notice(error);
    }
  }

  #draw() {
    this.#chartDue = false;
    const series = this.#series;
    if (!series) return;
    draw($("chart-amounts"), series.figure({ log: this.#log, held: this.#held }));
    const dates = this.#filters.from_date || this.#filters.to_date ? "in these dates" : "of the last 30 days";
    const unknown = ruleProblem() && `${ruleProblem()} So the rule is not known, and no line of it is drawn.`;
    const says = rule()?.sentence ?? unknown;
    setText($("amounts-aside"), `The newest ${number(series.count)} ${dates}, whatever their amounts. ${says}`);
    const lines = rule()?.lines ?? [];
    $("legend").replaceChildren(
      ...lines.map(({ name, threshold }) => el("li", { class: threshold ? "l-threshold" : "l-mean" }, name)),
    );
  }

  /**
   * Follows a change of the rule.
   * @param {boolean} reworded - flags read otherwise now
   */
  ruled(reworded) {
    if (!this.#user) return;
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
      this.#held = stats.count;
      showWindow(stats, this.#currency);
    } catch (error) {
      if (wasAborted(error)) throw error;
      const problem = problemOf(error);
      showNoWindow(problem.status === 404 ? "No worker has a window of this user." : problem.message);
    }
  }
}
