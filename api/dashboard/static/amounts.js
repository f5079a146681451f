// @ts-check
// The chart of a user's amounts, in one currency, with what stands around it.

/** @import { Mark } from "./address.js" */
/** @import { Starts } from "./answers.js" */
/** @import { Series } from "./series.js" */

import { draw } from "./charts.js";
import { $, el, setText, show } from "./dom.js";
import { rule, ruleProblem } from "./rule.js";
import { number, visible } from "./words.js";

/**
 * @typedef {object} Shown
 * @property {boolean} log
 * @property {string} chosen - a currency; empty until one is
 * @property {Mark | null} mark - the transaction that is looked for
 * @property {(currency: string) => number | null} held - how many amounts the worker's window has, if known
 * @property {Starts | null} starts - where flags start for the next, in one of the currencies
 * @property {string} dates - which these are, in words
 */

/**
 * Draws them; returns their currency.
 * @param {Series} series
 * @param {Shown} shown
 */
export function drawAmounts(series, { log, chosen, mark, held, starts, dates }) {
  const { currencies } = series;
  const wanted = [chosen, series.currencyOf(mark)].find((one) => one && currencies.includes(one));
  const currency = wanted ?? currencies[0] ?? "";
  offer(currencies, currency);
  const said = starts?.currency === currency ? starts : null;
  draw($("chart-amounts"), series.figure({ log, held: held(currency), currency, sought: mark, starts: said }));
  const unknown = ruleProblem() && `${ruleProblem()} So the rule is not known, and no line of it is drawn.`;
  const watching = (rule()?.watching ?? []).map(({ detector }) => visible(detector)).join(", ");
  const says = (rule()?.sentence ?? unknown) + (watching && ` Only watching: ${watching}.`);
  const others = currencies.length > 1 ? `; those in ${currency} are drawn` : "";
  setText($("amounts-aside"), `The newest ${number(series.count)} ${dates}, whatever their amounts${others}. ${says}`);
  const lines = rule()?.lines ?? [];
  $("legend").replaceChildren(
    ...lines.map(({ name, threshold, of }) =>
      el("li", { class: of === "state" ? "l-start" : threshold ? "l-threshold" : "l-mean" }, name),
    ),
  );
  return currency;
}

/**
 * Offers the currencies of the chart, where there are several.
 * @param {string[]} currencies
 * @param {string} shown
 */
function offer(currencies, shown) {
  const select = $("currency", HTMLSelectElement);
  show(select, currencies.length > 1);
  if ([...select.options].map(({ value }) => value).join() !== currencies.join())
    select.replaceChildren(...currencies.map((value) => el("option", { value }, value)));
  select.value = shown;
}
