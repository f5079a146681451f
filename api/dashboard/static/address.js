// @ts-check
// The view and its filters, in the address after the "#", so that a view can be shared:
// #/live  #/users  #/users/<id>?from_date=2024-01-01&is_anomaly=true  #/users/<id>?txn=<id>&at=<time>  #/health
// #/transactions/<id> leads to that transaction among its user's.

/** @import { Row } from "./answers.js" */

/** @typedef {"merchant_id" | "card_id" | "country" | "channel"} OptionalName */
/** @typedef {"status" | "currency" | OptionalName} TextName */
/** @typedef {"from_date" | "to_date" | "min_amount" | "max_amount" | "is_anomaly" | TextName} FilterName */
/** @typedef {Partial<Record<FilterName, string>>} Filters */
/** @typedef {"live" | "users" | "health"} ViewName */

/**
 * Of a user's transactions the one that is looked for, by its id and time.
 * @typedef {{ id: string, at: string }} Mark
 */

/**
 * @typedef {object} Place
 * @property {ViewName} view
 * @property {string} user
 * @property {Filters} filters
 * @property {boolean} log
 * @property {Mark | null} mark
 * @property {string} sought - the id of a transaction whose user is not known yet
 * @property {string} wrong - what of the address means nothing here, in a sentence
 */

/**
 * What a transaction may say beside what all do.
 * @type {OptionalName[]}
 */
export const OPTIONAL = ["merchant_id", "card_id", "country", "channel"];
/** @type {TextName[]} */
export const TEXTS = ["status", "currency", ...OPTIONAL];
/** @type {FilterName[]} */
export const FILTERS = ["from_date", "to_date", "min_amount", "max_amount", ...TEXTS, "is_anomaly"];
/** @type {ViewName[]} */
const VIEWS = ["live", "users", "health"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @param {string} text */
export const isUser = (text) => UUID.test(text);

/** @returns {Place} */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", given = "", ...rest] = path.split("/");
  const view = name === "transactions" ? "users" : VIEWS.find((one) => one === name);
  const user = name === "users" && isUser(given) ? given.toLowerCase() : "";
  const sought = name === "transactions" && isUser(given) ? given.toLowerCase() : "";
  const parameters = new URLSearchParams(query);
  const filters = Object.fromEntries(
    FILTERS.filter((one) => parameters.get(one)).map((one) => [one, parameters.get(one)]),
  );
  const [id, at] = [parameters.get("txn") ?? "", parameters.get("at") ?? ""];
  const mark = isUser(id) && !Number.isNaN(Date.parse(at)) ? { id: id.toLowerCase(), at } : null;
  const known = new Set(user ? [...FILTERS, "scale", ...(mark ? ["txn", "at"] : [])] : []);
  const unknown = [...parameters.keys()].filter((one) => !known.has(one));
  const sentences = [
    (name && !view) || rest.length || (given && view !== "users") ? `There is no page “${path}” here.` : "",
    given && view === "users" && !user && !sought ? `“${given}” is no ${name.slice(0, -1)}'s id.` : "",
    unknown.length ? `The address says “${[...new Set(unknown)].join("”, “")}”, which means nothing here.` : "",
  ];
  return {
    view: view ?? "live",
    user,
    filters,
    log: parameters.get("scale") === "log",
    mark,
    sought,
    wrong: sentences.filter(Boolean).join(" ").slice(0, 300),
  };
}

/**
 * A user's address.
 * @param {string} user
 * @param {Filters} filters
 * @param {boolean} log
 * @param {Mark | null} mark
 */
export function ofUser(user, filters = {}, log = false, mark = null) {
  const query = new URLSearchParams(FILTERS.map((name) => [name, filters[name] ?? ""]).filter(([, value]) => value));
  if (log) query.set("scale", "log");
  if (mark)
    for (const [name, value] of [
      ["txn", mark.id],
      ["at", mark.at],
    ])
      query.set(name, value);
  return `#/users/${user}${query.size ? `?${query}` : ""}`;
}

/**
 * The address of a transaction among its user's.
 * @param {Row} row
 */
export const ofRow = ({ id, txn_date, user_id }) => ofUser(user_id, {}, false, { id, at: txn_date });

/**
 * The address that leads to a transaction by its id alone.
 * @param {string} id
 */
export const ofTransaction = (id) => `#/transactions/${id}`;

/**
 * Changes the address without a step in the history: filters change at every letter.
 * @param {string} hash
 */
export function replace(hash) {
  if (location.hash !== hash) history.replaceState(null, "", hash);
}
