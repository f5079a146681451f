// @ts-check
// What the API answers, as types alone: no module loads this file.

/**
 * A scored transaction, as every route and stream writes it.
 * @typedef {object} Row
 * @property {string} id
 * @property {string} user_id
 * @property {string} amount - decimal text
 * @property {string} currency
 * @property {string} txn_date - RFC 3339, in UTC
 * @property {string} status
 * @property {Meta} meta_data
 * @property {string} [merchant_id] - this and what follows only where the producer said it
 * @property {string} [card_id]
 * @property {string} [country]
 * @property {string} [channel]
 */

/**
 * What the producer said, and the verdict; a flag also has its detector's evidence, and `shadow` that of each detector
 * that only watches.
 * @typedef {{
 *   is_anomaly?: boolean,
 *   detector?: string,
 *   revision?: unknown,
 *   shadow?: object,
 *   [key: string]: unknown,
 * }} Meta
 */

/** @typedef {{ transactions: Row[], cursor: string }} Page */

/** @typedef {{ count: number, mean: string, sum: string, amounts: string[] }} CurrencyWindow */

/**
 * A user's window as the worker has it, of the currency used last; where there are several, that of each.
 * @typedef {CurrencyWindow & {
 *   last_offset: number,
 *   updated_at: string,
 *   currencies?: Record<string, CurrencyWindow>,
 * }} Stats
 */

/**
 * A detector's flags in words: the sentence, the same for a cell of a table, how each field of the evidence reads, and
 * sentences that come first where a flag has all of their fields.
 * @typedef {{
 *   flag: string,
 *   cell: string,
 *   fields: Record<string, "money" | "times" | "count">,
 *   special?: string[],
 * }} Words
 */

/**
 * A line over the chart of a user's amounts: `factor` times the mean or the largest of the `window` before (0: of all),
 * or where flags start by the `state` of a detector, which only the worker knows.
 * @typedef {{
 *   name: string,
 *   of: "mean" | "largest" | "state",
 *   window: number,
 *   minimum: number,
 *   factor: number,
 *   threshold: boolean,
 *   detector?: string,
 * }} Line
 */

/**
 * The least amount of a user's next transaction in a currency that each detector would flag, of those that can say it.
 * @typedef {{ currency: string, flags_from: Record<string, string> }} Starts
 */

/**
 * The rule that a worker runs, and the words of all detectors.
 * @typedef {{
 *   detector: string,
 *   window: number,
 *   sentence: string,
 *   settings: Record<string, unknown>,
 *   lines: Line[],
 *   words: Record<string, Words>,
 *   watching?: { detector: string }[],
 * }} Rule
 */

/**
 * Rates per second from the sample before this one until `at`, in milliseconds.
 * @typedef {{
 *   at: number,
 *   arrived: number,
 *   scored: number | null,
 *   flagged: number,
 *   refused: number,
 *   produced?: { id: string, txn_date: string, user_id: string, at: number } | null,
 * }} Sample
 */

/**
 * `held_back` cannot be read, because of a transaction that has been open since `held_since`.
 * @typedef {{
 *   partition: number, end: number, committed: number, lag: number, held_back: number, held_since: number | null
 * }} Lag
 */

/** @typedef {{ now: number, samples: Sample[], partitions: Lag[] }} PulsePage */

/** @typedef {{ state: string, detail?: string }} Dependency */

/** @typedef {{ ready: boolean, dependencies: Record<string, Dependency> }} Readiness */

/** @typedef {{ id: string, host: string, address: string, partitions: number[] }} Worker */

/** @typedef {{ partitioner: ?string, misplaced: number }} Placement */

/** @typedef {{ decision: number, partitions: number[] }} Late */

/** @typedef {{ group: string, state: string, workers: Worker[], unassigned: number[], placement: Placement }} Workers */

/**
 * @typedef {{
 *   at: number,
 *   reason: string,
 *   detail: string,
 *   key: string,
 *   value: string,
 *   partition: number,
 *   offset: number,
 * }} Refused
 */

/** @typedef {{ total: number, complete: boolean, reasons: Record<string, number>, last: Refused[] }} RefusedPage */

/** @typedef {{ parameter: string, detail: string }} ParameterError */

export {};
