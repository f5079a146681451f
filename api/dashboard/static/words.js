// @ts-check
// Money, times and reasons in words. Amounts stay decimal text: no amount passes through a float.

/** @import { Row, Words } from "./answers.js" */

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * The number format of this key, made once: making one costs more than to format with it.
 * @param {string} key
 * @param {() => Intl.NumberFormat} make
 */
function format(key, make) {
  const known = formats.get(key) ?? make();
  formats.set(key, known);
  return known;
}

/**
 * @param {string} currency
 * @param {Intl.NumberFormatOptions} options
 */
function currencyFormat(currency, options) {
  return format(`${currency} ${JSON.stringify(options)}`, () => {
    try {
      return new Intl.NumberFormat(undefined, { style: "currency", currency, ...options });
    } catch {
      return new Intl.NumberFormat(undefined, options); // no currency, as on an axis without one
    }
  });
}

/**
 * @param {string} currency
 * @param {number} digits
 */
const withDigits = (currency, digits) =>
  currencyFormat(currency, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/**
 * An amount in full, in its own currency: "₹1,266.00", and "¥1,700", as yen have no hundredths.
 * @param {string} amount
 * @param {string} currency
 */
export function money(amount, currency) {
  const own = currencyFormat(currency, {}).resolvedOptions().maximumFractionDigits ?? 2;
  return withDigits(currency, /\.00$/.test(amount) ? Math.min(own, 2) : 2).format(decimal(amount));
}

/**
 * A mean, as exact as one reads it: "₹1,266", "₹43.50".
 * @param {string} amount
 * @param {string} currency
 */
function roughly(amount, currency) {
  const whole = Math.abs(Number(amount)) >= 1000 || /\.0*$/.test(amount);
  return withDigits(currency, whole ? 0 : 2).format(decimal(amount));
}

/**
 * Numbers beside an axis: in full, or all of them short: "₹4.5M".
 * @param {number[]} values
 * @param {string} currency - empty for mere numbers
 */
export function besideAxis(values, currency) {
  const long = Math.max(...values) >= 1_000_000;
  const options = long
    ? { notation: /** @type {const} */ ("compact"), maximumFractionDigits: 2 }
    : { maximumFractionDigits: 4 };
  const written = currencyFormat(currency, { minimumFractionDigits: 0, ...options });
  return values.map((value) => written.format(value));
}

/** The character between units and hundredths, as this reader's language has it. */
export const MARK = new Intl.NumberFormat().formatToParts(0.5).find(({ type }) => type === "decimal")?.value ?? ".";

/**
 * A number as somebody types it in this reader's language, as the API takes it: "1.234,50" is 1234.50 in German. What
 * is no such number is left as it is, for the API to refuse.
 * @param {string} typed
 */
export function typedNumber(typed) {
  const [units, ...rest] = typed.split(MARK);
  const grouped = new RegExp(`^[0-9]{1,3}(${GROUPS}[0-9]{2,3})*${GROUPS}[0-9]{3}$`);
  const fits = rest.length <= 1 && /^[0-9]*$/.test(rest.join("")) && (grouped.test(units) || /^[0-9]+$/.test(units));
  return fits ? [units.replace(/[^0-9]/g, ""), ...rest].join(".") : typed;
}

const GROUPS = MARK === "," ? "[. \u00a0\u202f'’]" : "[, \u00a0\u202f'’]";

/**
 * A number of the API's as this reader would type it.
 * @param {string} text
 */
export const typeable = (text) => text.replace(".", MARK);

/**
 * Decimal text as `Intl.NumberFormat` takes it, which reads text exactly.
 * @param {string} amount
 */
const decimal = (amount) => /** @type {Intl.StringNumericLiteral} */ (amount);

/** @param {number} value */
export function number(value, digits = 0) {
  const make = () => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits });
  return format(`number ${digits}`, make).format(value);
}

/** @param {number} value */
function ratio(value) {
  const digits = value < 100 ? 1 : 0;
  const notation = /** @type {"standard" | "compact"} */ (value < 100_000 ? "standard" : "compact"); // a narrow column
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, notation };
  return `${format(JSON.stringify(options), () => new Intl.NumberFormat(undefined, options)).format(value)} ×`;
}

// What would turn the text around it, break its line or not be seen: written as JSON writes it.
const UNSEEN = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/gu;

/**
 * A text of a message with what cannot be seen in it made visible; line ends and tabs stay.
 * @param {string} text
 */
export const visible = (text) =>
  text.replace(UNSEEN, (one) => (/[\n\t]/.test(one) ? one : `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`));

/**
 * The same within a sentence of ours, which keeps its direction.
 * @param {string} text
 */
const apart = (text) => (/^[ -~]*$/.test(text) ? text : `\u2068${visible(text)}\u2069`);

/** What the optional fields are called. */
export const NAMES = {
  status: "Status",
  currency: "Currency",
  merchant_id: "Merchant",
  card_id: "Card",
  country: "Country",
  channel: "Channel",
};

/** @param {Row} row */
export function isFlagged(row) {
  return row.meta_data?.is_anomaly === true;
}

/** @type {Record<string, Words>} */
const known = {}; // by detector, as a worker says them (rule.js); those of former rules stay

/**
 * Takes the words of flags; whether any of them is new.
 * @param {Record<string, Words>} words
 */
export function learn(words) {
  const before = JSON.stringify(known);
  Object.assign(known, words);
  return JSON.stringify(known) !== before;
}

/** @param {Row} row */
const wordsOf = (row) => known[row.meta_data.detector ?? ""];

/** @type {Record<string, (value: unknown, currency: string) => string | null>} */
const READINGS = {
  money: (value, currency) => (typeof value === "string" ? roughly(value, currency) : null),
  times: (value) => (typeof value === "number" ? ratio(value) : null),
  count: (value) => (typeof value === "number" ? number(value) : null),
};

/**
 * The fields that a flag has as they read.
 * @param {Row} row
 */
function readFields(row) {
  /** @type {Record<string, string>} */
  const texts = {};
  for (const [name, reading] of Object.entries(wordsOf(row)?.fields ?? {})) {
    const text = READINGS[reading]?.(row.meta_data[name], row.currency) ?? null;
    if (text !== null) texts[name] = text;
  }
  return texts;
}

/**
 * The first of these whose fields are all there.
 * @param {string[]} templates
 * @param {Record<string, string>} texts
 */
const fitting = (templates, texts) =>
  templates.find((one) => [...one.matchAll(/\{(\w+)\}/g)].every(([, name]) => name === "amount" || name in texts));

/**
 * @param {string} template
 * @param {Record<string, string>} texts
 */
const filled = (template, texts) => template.replace(/\{(\w+)\}/g, (_, name) => texts[name] ?? "");

/**
 * What is shown of a flag whose detector is not known: each number or short text beside it.
 * @param {Row} row
 */
function facts({ meta_data: flag }) {
  const plain = Object.entries(flag).filter(([, value]) => typeof value === "number" || typeof value === "string");
  const named = plain
    .filter(([name]) => !["detector", "rule", "decision", "severity"].includes(name))
    .map(([name, value]) => `${name} ${value}`);
  const short = named
    .filter((fact) => fact.length < 60)
    .slice(0, 8)
    .map(apart);
  return short.length ? `: ${short.join(", ")}` : "";
}

/**
 * Why a row was flagged: what is before its amount in the sentence, the amount, and the rest.
 * @param {Row} row
 */
export function reason(row) {
  const amount = money(row.amount, row.currency);
  const texts = readFields(row);
  const words = wordsOf(row);
  const template = words && fitting([...(words.special ?? []), words.flag], texts);
  const said = messages(row);
  if (said.length && row.meta_data.detector === "rules") return { before: "", amount, rest: `: ${said.join("; ")}` };
  const more = said.map((message) => `; ${message}`).join("");
  if (!template) return { before: "", amount, rest: ` was ${flaggedBy(row)}${facts(row)}${more}` };
  const [before, ...rest] = template.split("{amount}");
  return { before: filled(before, texts), amount, rest: filled(rest.join(amount), texts) + more };
}

/**
 * What rules say of a flag.
 * @param {Row} row
 */
function messages({ meta_data: { reasons } }) {
  const those = Array.isArray(reasons) ? reasons : [];
  return those.filter((one) => typeof one?.message === "string").map((one) => apart(one.message));
}

/** @param {Row} row */
export function sentence(row) {
  const { before, amount, rest } = reason(row);
  return before + amount + rest;
}

/**
 * Why a row was flagged, for a cell of a table.
 * @param {Row} row
 */
export function verdict(row) {
  const texts = readFields(row);
  const cell = wordsOf(row) && fitting([wordsOf(row).cell], texts);
  return cell ? filled(cell, texts) : (messages(row)[0] ?? flaggedBy(row));
}

/**
 * The row as it would be by each detector that only watches and would have flagged it, after that one's name.
 * @param {Row} row
 * @returns {[string, Row][]}
 */
export function shadows(row) {
  const flags = Object.entries(row.meta_data?.shadow ?? {}).filter(([, flag]) => flag && typeof flag === "object");
  return flags.map(([detector, flag]) => [
    visible(detector),
    { ...row, meta_data: { ...flag, detector, is_anomaly: true } },
  ]);
}

/**
 * What rules say of a row beside a flag, or instead of it: what allowed it, and what would have flagged it or watches.
 * @param {Row} row
 * @returns {string[]}
 */
export function asides(row) {
  const { allowed, watched } = row.meta_data ?? {};
  return [
    ...list(allowed).map((one) => `Allowed by ${ruled(one)}`),
    ...list(watched).map((one) =>
      typeof one.rule === "string"
        ? `Watched by ${ruled(one)}`
        : `Watched, not flagged: ${sentence({ ...row, meta_data: { ...one, is_anomaly: true } })}`,
    ),
  ];
}

/**
 * @param {unknown} value
 * @returns {Record<string, unknown>[]}
 */
const list = (value) => (Array.isArray(value) ? value.filter((one) => one && typeof one === "object") : []);

/** @param {Record<string, unknown>} reason */
function ruled({ rule, severity, message }) {
  const said = typeof message === "string" && message !== rule ? `: ${apart(message)}` : "";
  return `rule ${apart(String(rule))}${severity ? ` (${apart(String(severity))})` : ""}${said}`;
}

/** @param {Row} row */
const flaggedBy = ({ meta_data: { detector } }) => (detector ? `flagged by ${apart(String(detector))}` : "flagged");

/**
 * How far a flagged amount stands out, as short as it gets: "7.3 ×".
 * @param {Row} row
 */
export function badge(row) {
  const [name] = Object.entries(wordsOf(row)?.fields ?? {}).find(([, reading]) => reading === "times") ?? [];
  return (name && READINGS.times(row.meta_data[name], row.currency)) || "!";
}

/** Whose times are shown: UTC, as the filters' dates are, or the reader's. */
export const ZONE =
  document.documentElement.dataset.times === "local" ? new Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";

/**
 * "2018-04-01T00:00:31.5Z" as "2018-04-01 00:00:31", or what a clock of the reader's showed.
 * @param {string} text
 */
export const moment = (text) => (ZONE === "UTC" ? written(text) : instant(Date.parse(text)));

/** @param {string} text */
const written = (text) => text.slice(0, 19).replace("T", " ");

/** @param {number} milliseconds */
export function instant(milliseconds) {
  const ahead = ZONE === "UTC" ? 0 : -new Date(milliseconds).getTimezoneOffset() * 60_000;
  return written(new Date(milliseconds + ahead).toISOString());
}

/**
 * A time with its zone.
 * @param {string} text
 */
export const stamp = (text) => `${moment(text)} ${ZONE}`;

/**
 * "21 April 2018" in the reader's language, of a time in UTC.
 * @param {string} text
 */
export const day = (text) =>
  new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeZone: ZONE }).format(Date.parse(text));

/** @param {number} milliseconds */
export const duration = (milliseconds) =>
  number(milliseconds < 10_000 ? milliseconds : Math.round(milliseconds / 1000) * 1000);

/**
 * @param {number} count
 * @param {string} one
 */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
