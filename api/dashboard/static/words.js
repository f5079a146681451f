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
 * @param {number} digits
 */
function currencyFormat(currency, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return format(`${currency} ${digits}`, () => {
    try {
      return new Intl.NumberFormat(undefined, { style: "currency", currency, ...options });
    } catch {
      return new Intl.NumberFormat(undefined, options); // not three letters: the number alone
    }
  });
}

/**
 * @param {string} amount
 * @param {string} currency
 */
export const money = (amount, currency) => currencyFormat(currency, 2).format(decimal(amount));

/**
 * A mean, as exact as one reads it: "₹1,266", "₹43.50".
 * @param {string} amount
 * @param {string} currency
 */
function roughly(amount, currency) {
  const whole = Math.abs(Number(amount)) >= 1000 || /\.0*$/.test(amount);
  return currencyFormat(currency, whole ? 0 : 2).format(decimal(amount));
}

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
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${format(`ratio ${digits}`, () => new Intl.NumberFormat(undefined, options)).format(value)} ×`;
}

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
 * The fields of a flag as they read; null where its detector is not known, or the flag lacks one of them.
 * @param {Row} row
 */
function readFields(row) {
  /** @type {Record<string, string>} */
  const texts = {};
  for (const [name, reading] of Object.entries(wordsOf(row)?.fields ?? {})) {
    const text = READINGS[reading]?.(row.meta_data[name], row.currency) ?? null;
    if (text === null) return null;
    texts[name] = text;
  }
  return Object.keys(texts).length ? texts : null;
}

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
  const named = plain.filter(([name]) => name !== "detector" && name !== "rule").map(([name, value]) => `${name} ${value}`);
  const short = named.filter((fact) => fact.length < 60).slice(0, 8);
  return short.length ? `: ${short.join(", ")}` : "";
}

/**
 * Why a row was flagged: what is before its amount in the sentence, the amount, and the rest.
 * @param {Row} row
 */
export function reason(row) {
  const amount = money(row.amount, row.currency);
  const texts = readFields(row);
  if (!texts) return { before: "", amount, rest: ` was flagged by ${row.meta_data.detector}${facts(row)}` };
  const [before, ...rest] = wordsOf(row).flag.split("{amount}");
  return { before: filled(before, texts), amount, rest: filled(rest.join(amount), texts) };
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
  return texts ? filled(wordsOf(row).cell, texts) : `flagged by ${row.meta_data.detector}`;
}

/**
 * How far a flagged amount stands out, as short as it gets: "7.3 ×".
 * @param {Row} row
 */
export function badge(row) {
  const [name] = Object.entries(wordsOf(row)?.fields ?? {}).find(([, reading]) => reading === "times") ?? [];
  return (name && READINGS.times(row.meta_data[name], row.currency)) || "!";
}

/**
 * "2018-04-01T00:00:31.5Z" as "2018-04-01 00:00:31"; all times are shown in UTC, as filters take them.
 * @param {string} text
 */
export const moment = (text) => text.slice(0, 19).replace("T", " ");

/** @param {number} milliseconds */
export const instant = (milliseconds) => moment(new Date(milliseconds).toISOString());

/** @param {number} milliseconds */
export const duration = (milliseconds) =>
  number(milliseconds < 10_000 ? milliseconds : Math.round(milliseconds / 1000) * 1000);

/**
 * @param {number} count
 * @param {string} one
 */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
