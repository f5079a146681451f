// Money, times and reasons in words. Amounts stay decimal text: no amount passes through a float.

const formats = new Map();

function format(key, make) {
  if (!formats.has(key)) formats.set(key, make());
  return formats.get(key);
}

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

export const money = (amount, currency) => currencyFormat(currency, 2).format(amount);

// A mean, as exact as one reads it: "₹1,266", "₹43.50".
function roughly(amount, currency) {
  const whole = Math.abs(Number(amount)) >= 1000 || /\.0*$/.test(amount);
  return currencyFormat(currency, whole ? 0 : 2).format(amount);
}

export function number(value, digits = 0) {
  const make = () => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits });
  return format(`number ${digits}`, make).format(value);
}

function ratio(value) {
  const digits = value < 100 ? 1 : 0;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${format(`ratio ${digits}`, () => new Intl.NumberFormat(undefined, options)).format(value)} ×`;
}

export function isFlagged(row) {
  return row.meta_data?.is_anomaly === true;
}

// Words of flags by detector, as a worker says them (rule.js); those of former rules stay.
const known = {};

// Whether any of them is new.
export function learn(words) {
  const before = JSON.stringify(known);
  Object.assign(known, words);
  return JSON.stringify(known) !== before;
}

const READINGS = {
  money: (value, currency) => (typeof value === "string" ? roughly(value, currency) : null),
  times: (value) => (typeof value === "number" ? ratio(value) : null),
  count: (value) => (typeof value === "number" ? number(value) : null),
};

// The fields of a flag as they read; null where nobody knows the detector, or the flag is not as it says.
function read({ meta_data: flag, currency }) {
  const fields = Object.entries(known[flag.detector]?.fields ?? {});
  const texts = fields.map(([name, reading]) => [name, READINGS[reading]?.(flag[name], currency) ?? null]);
  return texts.length && texts.every(([, text]) => text !== null) ? Object.fromEntries(texts) : null;
}

const filled = (template, texts) => template.replace(/\{(\w+)\}/g, (_, name) => texts[name] ?? "");

// What is told of a flag whose detector nobody knows: each number or short text beside it.
function facts({ meta_data: flag }) {
  const plain = Object.entries(flag).filter(([name, value]) => name !== "detector" && /^(number|string)$/.test(typeof value));
  const told = plain.map(([name, value]) => `${name} ${value}`).filter((fact) => fact.length < 60);
  return told.length ? `: ${told.slice(0, 8).join(", ")}` : "";
}

// Why a row was flagged: what is before its amount in the sentence, the amount, and the rest.
export function reason(row) {
  const amount = money(row.amount, row.currency);
  const texts = read(row);
  if (!texts) return { before: "", amount, rest: ` was flagged by ${row.meta_data.detector}${facts(row)}` };
  const [before, ...rest] = known[row.meta_data.detector].flag.split("{amount}");
  return { before: filled(before, texts), amount, rest: filled(rest.join(amount), texts) };
}

export function sentence(row) {
  const { before, amount, rest } = reason(row);
  return before + amount + rest;
}

// The same for a cell of a table.
export function verdict(row) {
  const texts = read(row);
  return texts ? filled(known[row.meta_data.detector].cell, texts) : `flagged by ${row.meta_data.detector}`;
}

// How far a flagged amount stands out, as short as it gets: "7.3 ×".
export function badge({ meta_data: flag }) {
  const [name] = Object.entries(known[flag.detector]?.fields ?? {}).find(([, reading]) => reading === "times") ?? [];
  return READINGS.times(flag[name]) ?? "!";
}

// "2018-04-01T00:00:31.5Z" -> "2018-04-01 00:00:31"; all times are shown in UTC, as filters take them.
export const moment = (text) => text.slice(0, 19).replace("T", " ");
export const instant = (milliseconds) => moment(new Date(milliseconds).toISOString());

export const duration = (milliseconds) => number(milliseconds < 10_000 ? milliseconds : Math.round(milliseconds / 1000) * 1000);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
