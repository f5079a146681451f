// A user's newest amounts with the rule's lines over them: what the chart of amounts is drawn from.

import { details } from "./details.js";
import { ask } from "./http.js";
import { compare, levels } from "./rows.js";
import { rule } from "./rule.js";
import { isFlagged, moment, money, plural, sentence } from "./words.js";

const SHOWN = 500;
const [PLAIN, THRESHOLD] = [{ colour: "ink", size: 2 }, { colour: "flag", size: 1.5, dash: [6, 3] }];

export class Series {
  #rows = []; // oldest first
  #ids = new Set();
  #all = false; // whether nothing older is in the range
  #before = rule()?.window ?? 0; // the first shown row is compared with so many before it

  async load(user, { from_date, to_date }, signal) {
    const limit = SHOWN + this.#before;
    const dates = Object.fromEntries(Object.entries({ from_date, to_date }).filter(([, value]) => value));
    const page = await ask("transactions", { user_id: user, limit, ...dates }, { signal, fresh: true });
    const arrived = this.#rows; // meanwhile
    this.#rows = page.transactions.reverse();
    this.#ids = new Set(this.#rows.map((row) => row.id));
    this.#all = page.transactions.length < limit;
    arrived.forEach((row) => this.add(row));
  }

  add(row) {
    if (this.#ids.has(row.id)) return;
    this.#ids.add(row.id);
    let place = this.#rows.length;
    while (place > 0 && compare(this.#rows[place - 1], row) < 0) place -= 1;
    this.#rows.splice(place, 0, row);
    if (this.#rows.length > SHOWN + this.#before) {
      this.#ids.delete(this.#rows.shift().id);
      this.#all = false;
    }
  }

  get count() {
    return this.#all ? this.#rows.length : Math.min(this.#rows.length, SHOWN);
  }

  // What charts.draw takes. `held` is how many amounts the worker's window has now, if known: fewer than
  // fit in say that these rows are all that there ever were.
  figure({ log, held }) {
    const { window, lines } = rule() ?? { lines: [] };
    const whole = this.#all && held !== null && held < window;
    const from = this.#all ? 0 : this.#rows.length - this.count;
    const rows = this.#rows.slice(from);
    const over = (those, style) => those.map((one) => line(levels(this.#rows, one, whole).slice(from), style));
    return {
      label: label(rows),
      times: rows.map((row) => Date.parse(row.txn_date)),
      marks: [
        ...over(lines.filter(({ threshold }) => threshold), THRESHOLD),
        points("dots", rows, (row) => !isFlagged(row), { colour: "accent", size: 5 }),
        ...over(lines.filter(({ threshold }) => !threshold), PLAIN),
        points("diamonds", rows, isFlagged, { colour: "flag", size: 11 }),
      ],
      log,
      tip: (index) => tip(rows[index]),
      pick: (index) => details(rows[index]),
    };
  }
}

const line = (values, style) => ({ kind: "line", values, ...style });

function points(kind, rows, isShown, style) {
  return { kind, values: rows.map((row) => (isShown(row) ? Number(row.amount) : null)), ...style };
}

function tip(row) {
  const text = isFlagged(row) ? sentence(row).replace(" over", "\nover") : money(row.amount, row.currency);
  return `${text}\n${moment(row.txn_date)} UTC`;
}

function label(rows) {
  if (!rows.length) return "No amounts in these dates.";
  const flagged = rows.filter(isFlagged).length;
  return `${plural(rows.length, "amount")} from ${moment(rows[0].txn_date)} to ${moment(rows.at(-1).txn_date)}, ${number(flagged)} flagged. The table below lists them.`;
}

const number = (count) => (count === 0 ? "none" : String(count));
