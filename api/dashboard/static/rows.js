// @ts-check
// Rows as data: their order, which of them a filter lets through, and the rule's lines over them.

/** @import { Filters } from "./address.js" */
/** @import { Line, Row } from "./answers.js" */

import { TEXTS } from "./address.js";
import { isFlagged } from "./words.js";

/**
 * Hundredths, exact, of a number as JSON writes it; null for what is no amount.
 * @param {string} text
 */
export function hundredths(text) {
  const [, minus, units, fraction = "", exponent = "0"] = NUMBER.exec(text) ?? [];
  if (!units) return null;
  const digits = `${units}${fraction}`.replace(/^0+(?=.)/, "");
  const zeros = Number(exponent) - fraction.length + 2;
  if (digits === "0") return 0n;
  if (minus || digits.length + zeros > 20 || !/^0*$/.test(zeros < 0 ? digits.slice(zeros) : "")) return null;
  return zeros < 0 ? BigInt(digits.slice(0, zeros)) : BigInt(digits + "0".repeat(zeros));
}

const NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:e([-+]?[0-9]+))?$/i;

/**
 * UTC times as texts that sort: to the microsecond, however many digits were given.
 * @param {string} time
 */
const sortable = (time) =>
  time
    .replace("Z", "")
    .replace(/^(.{19})$/, "$1.")
    .padEnd(26, "0");

/**
 * @param {Row} one
 * @param {Row} other
 */
export function newestFirst(one, other) {
  const [first, second] = [sortable(one.txn_date), sortable(other.txn_date)];
  return first === second ? 0 : first > second ? -1 : 1;
}

/**
 * Sorts as the API does: newest first, ties by id.
 * @param {Row} one
 * @param {Row} other
 */
export const compare = (one, other) =>
  newestFirst(one, other) || byText(one.id, other.id) || byText(one.user_id, other.user_id);

/**
 * @param {string} one
 * @param {string} other
 */
const byText = (one, other) => Number(one > other) - Number(one < other);

/**
 * What a transaction is known by: two may share an id, as the two legs of a transfer do.
 * @param {Pick<Row, "id" | "txn_date" | "user_id">} row
 */
export const keyOf = ({ id, txn_date, user_id }) => `${id} ${sortable(txn_date)} ${user_id}`;

/**
 * How often a transaction was said, with other content each time.
 * @param {Row} row
 */
export function revisionOf({ meta_data }) {
  return typeof meta_data?.revision === "number" ? meta_data.revision : 1;
}

/**
 * Where a transaction was, of what it says: the merchant, the country, the channel. Its card is in the details.
 * @param {Row} row
 */
export const whereOf = ({ merchant_id = "", country = "", channel = "" }) =>
  [merchant_id, country, channel].filter(Boolean);

/**
 * The row that this one is a later revision of; its date may have been another.
 * @param {Iterable<Row>} rows
 * @param {Row} row
 */
export function formerOf(rows, row) {
  const revision = revisionOf(row);
  if (revision < 2) return null;
  for (const one of rows)
    if (one.id === row.id && one.user_id === row.user_id && revisionOf(one) < revision) return one;
  return null;
}

const MOST = `${"9".repeat(18)}.99`;

/**
 * Whether a row that arrives live passes the filters, read as the API reads them; none passes one that it refuses.
 * @param {Row} row
 * @param {Filters} filters
 */
export function matches(row, { from_date, to_date, min_amount = "0", max_amount = MOST, is_anomaly = "", ...others }) {
  const [time, amount] = [sortable(row.txn_date), hundredths(row.amount)];
  const latest = to_date ? moment(to_date, "23:59:59.999999") : "9999-99";
  const earliest = from_date
    ? moment(from_date, "00:00:00.000000")
    : latest && monthBefore(to_date ? latest : thisMinute());
  const [low, high] = [hundredths(min_amount), hundredths(max_amount)];
  if (amount === null || earliest === null || latest === null || low === null || high === null) return false;
  const inside = earliest <= time && time <= latest && low <= amount && amount <= high;
  const said = TEXTS.every((name) => {
    const wanted = others[name];
    return !wanted || row[name] === (name === "country" ? wanted.toUpperCase() : wanted);
  });
  return inside && said && (!is_anomaly || flagOf(is_anomaly) === isFlagged(row));
}

/**
 * Whether flagged rows are asked for, in any of the API's spellings.
 * @param {string} text
 */
export const flagOf = (text) => ["true", "1", "yes"].includes(text.toLowerCase());

const MOMENT = /^((?!0000)\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?(Z|[-+ ]\d\d(?::?\d\d)?)?)?$/i;

/**
 * A date, or a time of a day, as it sorts.
 * @param {string} text
 * @param {string} rest - what a date alone stands for
 */
function moment(text, rest) {
  const [, day, minutes, seconds = ":00", fraction = "", offset = "Z"] = MOMENT.exec(text) ?? [];
  if (!day || utc(Date.parse(`${day}T00:00Z`) || 0).slice(0, 10) !== day) return null; // no such day
  if (!minutes) return `${day}T${rest}`;
  const zone = offset
    .toUpperCase()
    .replace(" ", "+")
    .replace(/^([-+]\d\d):?(\d\d)?$/, (_, hours, past = "00") => `${hours}:${past}`);
  const at = Date.parse(`${day}T${minutes}${seconds}${zone}`);
  return Number.isNaN(at) ? null : sortable(`${utc(at)}.${fraction.slice(0, 6)}`);
}

/** @param {number} milliseconds */
const utc = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19);
const thisMinute = () => `${utc(Date.now()).slice(0, 16)}:00.000000`;
/** @param {string} time */
const monthBefore = (time) => utc(Date.parse(`${time.slice(0, 19)}Z`) - 30 * 86_400_000) + time.slice(19);

/**
 * A line of the rule over amounts in hundredths, in millionths of these: exact, however large they are. Null where they
 * are too few.
 * @param {bigint[]} amounts - oldest first
 * @param {Line} line
 */
export function level(amounts, { of, minimum, factor }) {
  if (amounts.length < Math.max(minimum, 1)) return null;
  const millionths = BigInt(Math.round(factor * 1e6));
  if (of === "largest") return amounts.toSorted((one, other) => (one < other ? 1 : -1))[0] * millionths;
  return (amounts.reduce((sum, amount) => sum + amount) * millionths) / BigInt(amounts.length);
}

/**
 * The line at each row, from the rows before it; null where some of these are not here.
 * @param {Row[]} rows - oldest first
 * @param {Line} line
 * @param {boolean} whole - nothing came before the first row
 */
export function levels(rows, line, whole) {
  const amounts = rows.map((row) => hundredths(row.amount) ?? 0n);
  return amounts.map((_, index) => {
    if (!whole && (!line.window || index < line.window)) return null;
    const found = level(amounts.slice(line.window ? Math.max(index - line.window, 0) : 0, index), line);
    return found === null ? null : Number(found) / 1e8;
  });
}
