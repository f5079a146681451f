// A user's newest amounts with the rule's lines over them: what the chart of amounts is drawn from.

import { ask } from "./http.js";
import { compare, rollingMeans } from "./rows.js";
import { isFlagged, moment, money, plural, sentence } from "./words.js";

const SHOWN = 500;

export class Series {
  #rule;
  #rows = []; // oldest first
  #ids = new Set();
  #all = false; // whether nothing older is in the range

  constructor(rule) {
    this.#rule = rule;
  }

  async load(user, { from_date, to_date }, signal) {
    const limit = SHOWN + this.#rule.window; // the first shown row is compared with those before it
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
    if (this.#rows.length > SHOWN + this.#rule.window) {
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
    const { window, minimum, factor, detector } = this.#rule;
    const whole = this.#all && held !== null && held < window;
    const means = rollingMeans(this.#rows, { window, minimum }, whole);
    const from = this.#all ? 0 : this.#rows.length - this.count;
    const rows = this.#rows.slice(from);
    const lines = means.slice(from);
    const ruled = detector === "rolling_mean";
    return (palette, axis) => ({
      label: label(rows),
      data: [
        ...(ruled ? [line("threshold", rows, lines.map((mean) => mean && mean * factor), { color: palette.flag, width: 1.5, dash: "6px,3px" })] : []),
        points("amount", rows.filter((row) => !isFlagged(row)), { color: palette.accent, size: 5, opacity: 0.75 }),
        line("rolling mean", rows, lines, { color: palette.ink, width: 2 }),
        points("flagged", rows.filter(isFlagged), { color: palette.flag, size: 10, symbol: "diamond", line: { color: palette.card, width: 1 } }),
      ],
      layout: {
        margin: { l: 3.8 * palette.rem, r: 10, t: 8, b: 2.7 * palette.rem },
        xaxis: axis({ type: "date", nticks: 6, showgrid: false }),
        yaxis: axis({ type: log ? "log" : "linear", rangemode: log ? "normal" : "tozero", nticks: 6, tickformat: ",~r" }),
        hovermode: "closest",
      },
    });
  }
}

const time = (row) => row.txn_date.replace("Z", "");

function line(name, rows, values, style) {
  return { x: rows.map(time), y: values, name, type: "scatter", mode: "lines", line: style, hoverinfo: "skip" };
}

function points(name, rows, marker) {
  return {
    x: rows.map(time),
    y: rows.map((row) => Number(row.amount)),
    text: rows.map((row) => (isFlagged(row) ? sentence(row).replace(" over", "<br>over") : money(row.amount, row.currency))),
    customdata: rows,
    name,
    type: "scatter",
    mode: "markers",
    marker,
    hovertemplate: "%{text}<br>%{x|%Y-%m-%d %H:%M:%S} UTC<extra></extra>",
  };
}

function label(rows) {
  if (!rows.length) return "No amounts in these dates.";
  const flagged = rows.filter(isFlagged).length;
  return `${plural(rows.length, "amount")} from ${moment(rows[0].txn_date)} to ${moment(rows.at(-1).txn_date)}, ${number(flagged)} flagged. The table below lists them.`;
}

const number = (count) => (count === 0 ? "none" : String(count));
