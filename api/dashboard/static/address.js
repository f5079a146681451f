// @ts-check
// The view and its filters, in the address after the "#", so that a view can be shared:
// #/live  #/users  #/users/<id>?from_date=2024-01-01&is_anomaly=true  #/health

/** @typedef {"from_date" | "to_date" | "min_amount" | "max_amount" | "is_anomaly"} FilterName */
/** @typedef {Partial<Record<FilterName, string>>} Filters */
/** @typedef {"live" | "users" | "health"} ViewName */
/** @typedef {{ view: ViewName, user: string, filters: Filters, log: boolean }} Place */

/** @type {FilterName[]} */
export const FILTERS = ["from_date", "to_date", "min_amount", "max_amount", "is_anomaly"];
/** @type {ViewName[]} */
const VIEWS = ["live", "users", "health"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @param {string} text */
export const isUser = (text) => UUID.test(text);

/** @returns {Place} */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, user = ""] = path.split("/");
  const given = new URLSearchParams(query);
  const filters = Object.fromEntries(FILTERS.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
  return {
    view: VIEWS.find((name) => name === view) ?? "live",
    user: view === "users" && isUser(user) ? user.toLowerCase() : "",
    filters,
    log: given.get("scale") === "log",
  };
}

/**
 * A user's address.
 * @param {string} user
 * @param {Filters} filters
 */
export function ofUser(user, filters = {}, log = false) {
  const query = new URLSearchParams(FILTERS.map((name) => [name, filters[name] ?? ""]).filter(([, value]) => value));
  if (log) query.set("scale", "log");
  return `#/users/${user}${query.size ? `?${query}` : ""}`;
}

/**
 * Changes the address without a step in the history: filters change at every letter.
 * @param {string} hash
 */
export function replace(hash) {
  if (location.hash !== hash) history.replaceState(null, "", hash);
}
