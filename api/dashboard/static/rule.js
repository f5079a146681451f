// @ts-check
// The rule that the workers run, as one of them says it (schemas/rule.py). Lines are drawn and flags are worded by it.

/** @import { Rule } from "./answers.js" */

import { ask, poll, problemOf, wasAborted } from "./http.js";
import { learn } from "./words.js";

const PAUSE = 5_000;

/** @type {Rule | null} */
let running = null;
let problem = "";

/** The rule, or null while no worker answers. */
export const rule = () => running;

/** Why no rule is known. */
export const ruleProblem = () => problem;

/**
 * Asks for the rule until the page is left. Returns after the first answer.
 * @param {(reworded: boolean) => void} changed - called when another rule runs or none is known any more, with whether
 *   flags read otherwise now
 */
export async function followRule(changed) {
  await look();
  poll(async (signal) => {
    const before = JSON.stringify(running);
    const reworded = await look(signal);
    if (JSON.stringify(running) !== before) changed(reworded);
  }, PAUSE);
}

/**
 * Asks once; whether flags read otherwise than before.
 * @param {AbortSignal} [signal]
 */
async function look(signal) {
  try {
    /** @type {Rule} */
    const answer = await ask("dashboard/data/rule", {}, { signal });
    [running, problem] = [answer, ""];
    return learn(answer.words);
  } catch (error) {
    if (wasAborted(error)) throw error;
    [running, problem] = [null, problemOf(error).message];
    return false;
  }
}
