// The rule that the workers run, as one of them says it (schemas/rule.py). Lines are drawn and flags are worded by it.

import { ask, repeat } from "./http.js";
import { learn } from "./words.js";

const PAUSE = 5_000;

let running = null;
let problem = "";

// null while no worker answers.
export const rule = () => running;
// Why there is none.
export const ruleProblem = () => problem;

// Asks until the page is left; `changed(reworded)` is called when another rule runs or none is known any more, and
// is given whether flags read otherwise now. Returns after the first answer.
export async function followRule(changed) {
  await look();
  repeat(async (signal) => {
    const before = JSON.stringify(running);
    const reworded = await look(signal);
    if (JSON.stringify(running) !== before) changed(reworded);
  }, PAUSE);
}

// Whether flags read otherwise than before.
async function look(signal) {
  try {
    [running, problem] = [await ask("dashboard/data/rule", {}, { signal }), ""];
    return learn(running.words);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    [running, problem] = [null, error.message];
    return false;
  }
}
