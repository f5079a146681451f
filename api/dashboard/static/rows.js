// Rows as data: their order, which of them a filter lets through, and the rule's lines over them.

import { isFlagged } from "./words.js";

// Hundredths, exact; null for what is no amount.
export function hundredths(text) {
  const match = /^([0-9]{1,18})(?:\.([0-9]{1,2}))?$/.exec(text);
  return match ? BigInt(match[1] + (match[2] ?? "").padEnd(2, "0")) : null;
}

// Sorts as the API does: newest first, ties by id. Fractions of seconds have any number of digits.
const instant = (row) => row.txn_date.replace("Z", "").padEnd(19, " ").replace(/^(.{19})$/, "$1.").padEnd(26, "0");

export function compare(one, other) {
  const [first, second] = [instant(one), instant(other)];
  if (first !== second) return first > second ? -1 : 1;
  return one.id === other.id ? 0 : one.id < other.id ? -1 : 1;
}

// The API's own reading of the filters (a date alone is the whole day), for rows that arrive live.
export function matches(row, filters) {
  const day = row.txn_date.slice(0, 10);
  const amount = hundredths(row.amount);
  if (filters.from_date && day < filters.from_date.slice(0, 10)) return false;
  if (filters.to_date && day > filters.to_date.slice(0, 10)) return false;
  const [low, high] = [hundredths(filters.min_amount ?? ""), hundredths(filters.max_amount ?? "")];
  if (low !== null && amount < low) return false;
  if (high !== null && amount > high) return false;
  if (filters.is_anomaly) return isFlagged(row) === (filters.is_anomaly === "true");
  return true;
}

// The mean of the `window` rows before each row, oldest first; null where there are fewer than needed.
// `whole` says that nothing came before the first row: then `minimum` rows are enough.
export function rollingMeans(rows, { window, minimum }, whole) {
  let sum = 0n;
  const amounts = rows.map((row) => hundredths(row.amount) ?? 0n);
  return amounts.map((amount, index) => {
    const count = Math.min(index, window);
    const mean = count >= (whole ? minimum : window) ? Number(sum) / count / 100 : null;
    sum += amount;
    if (index >= window) sum -= amounts[index - window];
    return mean;
  });
}
