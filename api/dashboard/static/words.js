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
export function roughly(amount, currency) {
  const whole = Math.abs(Number(amount)) >= 1000 || /\.0*$/.test(amount);
  return currencyFormat(currency, whole ? 0 : 2).format(amount);
}

export function number(value, digits = 0) {
  const make = () => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits });
  return format(`number ${digits}`, make).format(value);
}

export function ratio(value) {
  const digits = value < 100 ? 1 : 0;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${format(`ratio ${digits}`, () => new Intl.NumberFormat(undefined, options)).format(value)} ×`;
}

export function isFlagged(row) {
  return row.meta_data?.is_anomaly === true;
}

// Why a row was flagged: its amount, and the rest of the sentence.
export function reason(row) {
  const flag = row.meta_data;
  const amount = money(row.amount, row.currency);
  if (typeof flag.ratio !== "number" || typeof flag.mean !== "string") {
    return { amount, rest: ` was flagged by ${flag.detector}` };
  }
  const mean = roughly(flag.mean, row.currency);
  return { amount, rest: ` is ${ratio(flag.ratio)} this user's mean of ${mean} over ${flag.window} transactions` };
}

export function sentence(row) {
  const { amount, rest } = reason(row);
  return amount + rest;
}

// "2018-04-01T00:00:31.5Z" -> "2018-04-01 00:00:31"; all times are shown in UTC, as filters take them.
export const moment = (text) => text.slice(0, 19).replace("T", " ");
export const instant = (milliseconds) => moment(new Date(milliseconds).toISOString());

export const duration = (milliseconds) => number(milliseconds < 10_000 ? milliseconds : Math.round(milliseconds / 1000) * 1000);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
