// Asks the API. Errors carry the problem's own words.

export class ProblemError extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

export const AWAY = "The API does not answer.";

// A JSON answer; `fresh` passes over answers that the API keeps for a moment.
export async function ask(path, parameters = {}, { signal, fresh = false, accept = [200] } = {}) {
  const headers = { Accept: "application/json", ...(fresh ? { "Cache-Control": "no-cache" } : {}) };
  const answer = await get(path, parameters, { signal, headers });
  const body = await answer.json().catch(() => null);
  if (accept.includes(answer.status) && body) return body;
  throw problem(answer, body);
}

// All rows of a range as a file.
export async function csv(path, parameters) {
  const answer = await get(path, parameters, { headers: { Accept: "text/csv" } });
  if (!answer.ok) throw problem(answer, await answer.json().catch(() => null));
  return answer.blob().catch(() => {
    throw new ProblemError(0, "The export was cut short.");
  });
}

async function get(path, parameters, options) {
  const query = new URLSearchParams(parameters).toString();
  try {
    return await fetch(query ? `${path}?${query}` : path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new ProblemError(0, AWAY);
  }
}

const problem = (answer, body) => new ProblemError(answer.status, body?.detail ?? AWAY, body?.errors ?? []);

// Calls `step` again and again, each time so long after the one before has ended; less often while it
// fails, and not at all while nobody sees the page. Returns what ends it.
export function repeat(step, milliseconds) {
  const ended = new AbortController();
  let timer = 0;
  let failures = 0;
  let current = null; // one for each turn: a signal that lasts would gather what every turn hangs on it
  async function turn() {
    if (current || document.hidden || ended.signal.aborted) return;
    current = new AbortController();
    clearTimeout(timer);
    try {
      await step(current.signal);
      failures = 0;
    } catch (error) {
      if (error.name !== "AbortError") failures += 1;
      if (error.name !== "AbortError" && !(error instanceof ProblemError)) console.error(error);
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
