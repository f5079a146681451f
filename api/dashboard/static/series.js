// @ts-check
// A user's newest amounts with the rule's lines over them: what the chart of amounts is drawn from.

/** @import { Filters, Mark as Sought } from "./address.js" */
/** @import { Line, Page, Row, Starts } from "./answers.js" */
/** @import { Figure, Mark } from "./plot.js" */

import { details } from "./details.js";
import { ask } from "./http.js";
import { compare, formerOf, keyOf, levels } from "./rows.js";
import { rule } from "./rule.js";
import { isFlagged, moment, money, plural, sentence, stamp } from "./words.js";

const SHOWN = 500;
const THRESHOLD = { colour: "flag", size: 1.5, dash: [6, 3] };
const START = { colour: "flag", size: 2 };
const OTHER_LINE = { colour: "ink", size: 2 };

export class Series {
  /** @type {Row[]} */
  #rows = []; // oldest first
  /** @type {Set<string>} */
  #keys = new Set();
  #all = false; // whether nothing older is in the range
  #before = before();

  /**
   * Loads the newest amounts of these dates; those added before stay.
   * @param {string} user
   * @param {Filters} filters
   * @param {AbortSignal} signal
   */
  async load(user, { from_date, to_date }, signal) {
    const limit = SHOWN + this.#before;
    const dates = { ...(from_date && { from_date }), ...(to_date && { to_date }) };
    /** @type {Page} */
    const page = await ask("transactions", { user_id: user, limit, ...dates }, { signal, fresh: true });
    const arrived = this.#rows; // while it was loading
    this.#rows = page.transactions.reverse();
    this.#keys = new Set(this.#rows.map(keyOf));
    this.#all = page.transactions.length < limit;
    for (const row of arrived) this.add(row);
  }

  /** @param {Row} row */
  add(row) {
    const former = formerOf(this.#rows, row);
    if (former) {
      this.#rows.splice(this.#rows.indexOf(former), 1);
      this.#keys.delete(keyOf(former));
    }
    if (this.#keys.has(keyOf(row))) return;
    this.#keys.add(keyOf(row));
    let place = this.#rows.length;
    while (place > 0 && compare(this.#rows[place - 1], row) < 0) place -= 1;
    this.#rows.splice(place, 0, row);
    if (this.#rows.length > SHOWN + this.#before) {
      this.#keys.delete(keyOf(this.#rows[0]));
      this.#rows.shift();
      this.#all = false;
    }
  }

  /** Whether it was loaded for a rule that looks less far back, so that the first shown rows have no lines. */
  get tooShort() {
    return !this.#all && rule() !== null && before() > this.#before;
  }

  get count() {
    return Math.min(this.#rows.length, SHOWN);
  }

  /** The currencies of the shown rows, the newest row's first. */
  get currencies() {
    const shown = this.#rows.slice(this.#rows.length - this.count).reverse();
    return [...new Set(shown.map(({ currency }) => currency))];
  }

  /**
   * The currency of the row that is looked for.
   * @param {Sought | null} sought
   */
  currencyOf(sought) {
    return this.#rows.find((row) => isSought(row, sought))?.currency;
  }

  /**
   * What charts.draw takes, of the amounts in one currency.
   * @param {{
   *   log: boolean, held: number | null, currency?: string, sought?: Sought | null, starts?: Starts | null
   * }} options - `held` is how many amounts the worker's window has now, if known: when it is not full, these rows are
   *   all that there ever were; `starts` is where flags start for the next
   * @returns {Figure}
   */
  figure({ log, held, currency = this.currencies[0], sought = null, starts = null }) {
    const { window = 0, lines: all = [], settings } = rule() ?? {};
    const lines = all.filter(({ of }) => of !== "state");
    const whole = this.#all && held !== null && held < window;
    const newest = new Set(this.#rows.slice(this.#rows.length - this.count));
    const isShown = (/** @type {Row} */ row) => row.currency === currency && newest.has(row);
    const rows = this.#rows.filter(isShown);
    const compared = this.#rows.filter((row) => row.currency === currency || settings?.window_by === "user");
    const valuesOf = (/** @type {Line} */ one) =>
      levels(compared, one, whole).filter((_, index) => isShown(compared[index]));
    const found = rows.filter((row) => isSought(row, sought));
    return {
      label: label(rows),
      currency,
      times: rows.map((row) => Date.parse(row.txn_date)),
      marks: [
        ...lines.filter(({ threshold }) => threshold).map((one) => line(valuesOf(one), THRESHOLD)),
        ...all.filter(({ of }) => of === "state").flatMap((one) => saidOf(one, rows, starts)),
        points("dots", rows, (row) => !isFlagged(row), { colour: "accent", size: 5 }),
        ...lines.filter(({ threshold }) => !threshold).map((one) => line(valuesOf(one), OTHER_LINE)),
        points("diamonds", rows, isFlagged, { colour: "flag", size: 11 }),
        ...(found.length ? [points("rings", rows, (row) => found.includes(row), { colour: "ink", size: 24 })] : []),
      ],
      log,
      tip: (index) => tip(rows[index]),
      pick: (index) => details(rows[index]),
    };
  }
}

/** With how many rows before it the first shown row is compared; as many as may be while no rule is known. */
const before = () => Math.min(rule()?.window ?? SHOWN, SHOWN);

/**
 * @param {(number | null)[]} values
 * @param {Pick<Mark, "colour" | "size" | "dash">} style
 * @returns {Mark}
 */
const line = (values, style) => ({ kind: "line", values, ...style });

/**
 * @param {"dots" | "diamonds" | "rings"} kind
 * @param {Row[]} rows
 * @param {(row: Row) => boolean} isShown
 * @param {Pick<Mark, "colour" | "size">} style
 * @returns {Mark}
 */
function points(kind, rows, isShown, style) {
  return { kind, values: rows.map((row) => (isShown(row) ? Number(row.amount) : null)), ...style };
}

/**
 * Where flags start by a detector's state: at each of its flags, and onward from the newest row.
 * @param {Line} line
 * @param {Row[]} rows
 * @param {Starts | null} starts
 * @returns {Mark[]}
 */
function saidOf({ detector = "" }, rows, starts) {
  const atFlag = (/** @type {Row} */ row) => isFlagged(row) && row.meta_data.detector === detector;
  const now = starts?.flags_from[detector];
  return [
    { kind: "ticks", values: rows.map((row) => (atFlag(row) ? amountOf(row.meta_data.threshold) : null)), ...START },
    { kind: "onward", values: rows.map((_, index) => (index === rows.length - 1 ? amountOf(now) : null)), ...START },
  ];
}

/** @param {unknown} text */
const amountOf = (text) => (typeof text === "string" ? Number(text) : null);

/** @param {Row} row */
function tip(row) {
  const text = isFlagged(row) ? sentence(row).replace(" over", "\nover") : money(row.amount, row.currency);
  return `${text}\n${stamp(row.txn_date)}`;
}

/**
 * @param {Row} row
 * @param {Sought | null} sought
 */
const isSought = (row, sought) => sought?.id === row.id && Date.parse(sought.at) === Date.parse(row.txn_date);

/** @param {Row[]} rows */
function label(rows) {
  if (!rows.length) return "No amounts in these dates.";
  const flagged = rows.filter(isFlagged).length;
  return `${plural(rows.length, "amount")} from ${moment(rows[0].txn_date)} to ${stamp(rows[rows.length - 1].txn_date)}, ${number(flagged)} flagged. The table below lists them.`;
}

/** @param {number} count */
const number = (count) => (count === 0 ? "none" : String(count));
