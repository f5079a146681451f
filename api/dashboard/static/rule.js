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

/** Why no rule is known; empty until the first answer. */
export const ruleProblem = () => problem;

/**
 * Asks for the rule until the page is left.
 * @param {(reworded: boolean) => void} changed - called when another rule runs, or none is known or why has changed,
 *   with whether flags read otherwise now
 */
export function followRule(changed) {
  poll(async (signal) => {
    const before = JSON.stringify([running, problem]);
    let reworded = false;
    try {
      /** @type {Rule} */
      const answer = await ask("dashboard/data/rule", {}, { signal });
      [running, problem] = [answer, ""];
      reworded = learn(answer.words);
    } catch (error) {
      if (!wasAborted(error)) [running, problem] = [null, problemOf(error).message];
      throw error; // so that the next request comes later
    } finally {
      if (JSON.stringify([running, problem]) !== before) changed(reworded);
    }
  }, PAUSE);
}
