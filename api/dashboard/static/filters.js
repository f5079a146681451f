// @ts-check
// The form of filters: what its fields show and say, and what is wrong with them.

/** @import { FilterName, Filters } from "./address.js" */
/** @import { ProblemError } from "./http.js" */

import { FILTERS } from "./address.js";
import { $, setText, show } from "./dom.js";
import { flagOf } from "./rows.js";
import { NAMES, typeable, typedNumber } from "./words.js";

/** @type {Record<string, string>} */
const LABELS = { from_date: "From", to_date: "To", min_amount: "At least", max_amount: "At most", ...NAMES };

/**
 * Shows these filters in the fields.
 * @param {Filters} filters
 */
export function fillFields(filters) {
  for (const name of FILTERS) {
    const field = fieldOf(name);
    if (field.type === "checkbox") field.checked = inField(name, filters) === "true";
    else field.value = inField(name, filters);
  }
}

/**
 * The filters that the fields say. An untouched field stands for all that the present filter says: a time of a day,
 * where it shows the day.
 * @param {Filters} present
 * @returns {Filters}
 */
export function readFields(present) {
  const given = new FormData($("filters", HTMLFormElement));
  const exact = FILTERS.map((name) => {
    const text = String(given.get(name) ?? "").trim();
    if (text === inField(name, present)) return [name, present[name]];
    return [name, name.endsWith("_amount") ? typedNumber(text) : text];
  });
  return Object.fromEntries(exact.filter(([, value]) => value));
}

/**
 * Shows what the API refused, at the fields that it named.
 * @param {ProblemError} problem
 */
export function showProblem(problem) {
  const lines = problem.errors.map(({ parameter, detail }) => `${LABELS[parameter] ?? parameter}: ${detail}.`);
  setText($("filters-problem"), lines.join(" ") || problem.message);
  show($("filters-problem"));
  const wrong = new Set(problem.errors.map(({ parameter }) => parameter));
  for (const name of FILTERS) if (wrong.has(name)) fieldOf(name).setAttribute("aria-invalid", "true");
}

export function clearProblem() {
  show($("filters-problem"), false);
  for (const name of FILTERS) fieldOf(name).removeAttribute("aria-invalid");
}

/**
 * What the fields do not say of the dates.
 * @param {Filters} filters
 */
export function restOfDates({ from_date, to_date = "" }) {
  if (!from_date) return to_date ? `, of the 30 days to ${to_date}` : ", of the last 30 days";
  if (from_date.length <= 10 && to_date.length <= 10) return "";
  return `, from ${from_date}${to_date ? ` to ${to_date}` : ""}`;
}

/**
 * @param {FilterName} name
 * @returns {HTMLInputElement}
 */
function fieldOf(name) {
  return /** @type {HTMLInputElement} */ ($("filters", HTMLFormElement).elements.namedItem(name));
}

/**
 * A filter as its field shows it: of a time of a day, the day.
 * @param {FilterName} name
 * @param {Filters} filters
 */
function inField(name, { [name]: value = "" }) {
  if (name === "is_anomaly") return flagOf(value) ? "true" : "";
  return name.endsWith("_date") ? value.slice(0, 10) : name.endsWith("_amount") ? typeable(value) : value;
}
