// @ts-check
// A user's window as the worker has it: its facts, and its amounts as columns.

/** @import { Line, Starts, Stats } from "./answers.js" */

import { $, breakable, el, setText, show } from "./dom.js";
import { ask, wasAborted } from "./http.js";
import { hundredths, level } from "./rows.js";
import { rule } from "./rule.js";
import { money, number, stamp } from "./words.js";

/**
 * Shows the window of this currency where the user has several, else the only one.
 * @param {Stats} answer
 * @param {string} currency - empty where it is not known yet
 * @param {Starts | null} starts - where flags start, in one of the currencies
 */
export function showWindow(answer, currency, starts) {
  const several = Object.keys(answer.currencies ?? {});
  const own = answer.currencies?.[currency];
  setText($("window-title"), several.length ? `Window now: ${currency}` : "Window now");
  if (several.length && !own) return showNoWindow(`There is none in ${currency}, but in ${several.join(", ")}.`);
  const stats = { ...answer, ...own };
  show($("window-none"), false);
  const shown = (/** @type {string} */ amount) => (currency ? money(amount, currency) : amount);
  const facts = [
    ...thresholds(stats, shown).map((text) => ["The next is flagged above", text]),
    ...(starts?.currency === currency ? startsOf(starts) : []).map((amount) => [
      "The next is flagged from",
      shown(amount),
    ]),
    ["Mean", shown(stats.mean)],
    ["Transactions", number(stats.count)],
    ["Finished offset", number(stats.last_offset)],
    ["As of", stamp(new Date(stats.updated_at).toISOString())],
  ];
  $("window-facts").replaceChildren(
    ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...breakable(value)))),
  );
  const highest = Math.max(...stats.amounts.map(Number), 0.01);
  $("window-amounts").replaceChildren(
    ...stats.amounts.map((amount) => column(shown(amount), Number(amount) / highest)),
  );
}

/**
 * Shows why there is no window.
 * @param {string} text
 */
export function showNoWindow(text) {
  show($("window-none"));
  setText($("window-none"), text);
  $("window-facts").replaceChildren();
  $("window-amounts").replaceChildren();
}

/**
 * The largest amount that is not flagged, by each line of the rule that the window is enough to tell.
 * @param {Stats} stats
 * @param {(amount: string) => string} shown
 */
function thresholds(stats, shown) {
  const { window = 0, lines = [] } = rule() ?? {};
  const isKnown = (/** @type {Line} */ { of, window: size }) => of !== "state" && (size || stats.count < window);
  const known = lines.filter((line) => line.threshold && isKnown(line));
  return known.map((line) => {
    const amounts = stats.amounts.slice(0, line.window || window).map((amount) => hundredths(amount) ?? 0n);
    const above = (level(amounts, line) ?? 0n) / 1_000_000n; // hundredths: the mean is rounded, the amounts are not
    const text = String(above).padStart(3, "0");
    return above > 0n ? shown(`${text.slice(0, -2)}.${text.slice(-2)}`) : `(from ${line.minimum} transactions on)`;
  });
}

/**
 * The amounts of the rule's lines that only the worker knows.
 * @param {Starts} starts
 */
function startsOf({ flags_from }) {
  const its = (rule()?.lines ?? []).filter(({ of }) => of === "state").map(({ detector = "" }) => flags_from[detector]);
  return its.filter((amount) => amount !== undefined);
}

/**
 * Where flags start for a user's next transaction, where the rule has a line that only the worker knows.
 * @param {string} user
 * @param {string} currency - empty where it is not known yet
 * @param {AbortSignal} signal
 * @returns {Promise<Starts | null>}
 */
export async function askStarts(user, currency, signal) {
  if (!currency || !rule()?.lines.some(({ of }) => of === "state")) return null;
  try {
    return { currency, ...(await ask("dashboard/data/flags_from", { user_id: user, currency }, { signal })) };
  } catch (error) {
    if (wasAborted(error)) throw error;
    return null; // no worker answers, or it has no window of this user
  }
}

/**
 * @param {string} text
 * @param {number} share - of the highest
 */
function column(text, share) {
  const bar = el("i", { "aria-hidden": "true" });
  bar.style.blockSize = `${Math.max(share * 100, 2)}%`;
  return el("li", { title: text }, bar, el("span", { class: "unseen" }, text));
}
