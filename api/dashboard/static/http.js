// @ts-check
// Requests to the API. Errors carry the problem's own words.

/** @import { ParameterError } from "./answers.js" */

export class ProblemError extends Error {
  /**
   * @param {number} status - 0 where there was no answer
   * @param {string} detail
   * @param {ParameterError[]} errors
   */
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

const UNAUTHORIZED = 401;
export const NO_ANSWER = "The API does not answer.";

/**
 * Whether a request was given up, since its answer is no longer needed.
 * @param {unknown} error
 */
export const wasAborted = (error) => error instanceof DOMException && error.name === "AbortError";

/**
 * The error as a problem, so that it can be shown.
 * @param {unknown} error
 */
export function problemOf(error) {
  if (error instanceof ProblemError) return error;
  console.error(error);
  return new ProblemError(0, String(error));
}

/** @typedef {Record<string, string | number>} Parameters */

/**
 * A JSON answer.
 * @param {string} path
 * @param {Parameters} parameters
 * @param {{ signal?: AbortSignal, fresh?: boolean, accept?: number[] }} options - `fresh` passes over answers that
 *   the API keeps for a moment
 * @returns {Promise<any>}
 */
export async function ask(path, parameters = {}, { signal, fresh = false, accept = [200] } = {}) {
  const headers = { Accept: "application/json", ...(fresh ? { "Cache-Control": "no-cache" } : {}) };
  const answer = await get(path, parameters, { signal, headers });
  const body = await answer.json().catch(() => null);
  if (accept.includes(answer.status) && body) return body;
  throw problem(answer, body);
}

/**
 * All rows of a range as a file.
 * @param {string} path
 * @param {Parameters} parameters
 */
export async function csv(path, parameters) {
  const answer = await get(path, parameters, { headers: { Accept: "text/csv" } });
  if (!answer.ok) throw problem(answer, await answer.json().catch(() => null));
  return answer.blob().catch(() => {
    throw new ProblemError(0, "The export was cut short.");
  });
}

/**
 * @param {string} path
 * @param {Parameters} parameters
 * @param {RequestInit} options
 */
async function get(path, parameters, options) {
  const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
  try {
    const answer = await fetch(query.size ? `${path}?${query}` : path, options);
    if (answer.status === UNAUTHORIZED) logIn();
    return answer;
  } catch (error) {
    throw wasAborted(error) ? error : new ProblemError(0, NO_ANSWER);
  }
}

/** Go to the page to log in at, and come back from there to what is shown now. */
export function logIn() {
  location.replace(`login?next=${encodeURIComponent(`dashboard${location.search}${location.hash}`)}`);
}

/**
 * @param {Response} answer
 * @param {any} body
 */
const problem = (answer, body) => new ProblemError(answer.status, body?.detail ?? NO_ANSWER, body?.errors ?? []);

/**
 * Calls `step` so long after each call has ended; up to five times less often while it fails, and not at all while
 * the page is hidden.
 * @param {(signal: AbortSignal) => Promise<void>} step
 * @param {number} milliseconds
 * @returns {() => void} ends it
 */
export function poll(step, milliseconds) {
  const ended = new AbortController();
  let timer = 0;
  let failures = 0;
  /** @type {AbortController | null} */
  let current = null; // one for each call: a signal that lasts would keep the listeners of every request
  async function turn() {
    if (current || document.hidden || ended.signal.aborted) return;
    current = new AbortController();
    clearTimeout(timer);
    try {
      await step(current.signal);
      failures = 0;
    } catch (error) {
      if (!wasAborted(error)) {
        failures += 1;
        problemOf(error);
      }
    }
    current = null;
    if (!ended.signal.aborted) timer = setTimeout(turn, milliseconds * Math.min(2 ** failures, 5));
  }
  document.addEventListener("visibilitychange", turn, { signal: ended.signal });
  turn();
  return () => {
    ended.abort();
    current?.abort();
    clearTimeout(timer);
  };
}
