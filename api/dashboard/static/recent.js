// @ts-check
// The users with the newest flags, to begin with.

/** @import { Page, Row } from "./answers.js" */

import { ofRow } from "./address.js";
import { notice } from "./announce.js";
import { $, el, leads, show } from "./dom.js";
import { ask, problemOf } from "./http.js";
import { sentence, stamp } from "./words.js";

const EVER = "1970-01-01";
const SHOWN = 24;

export async function showRecent() {
  try {
    /** @type {Page} */
    const page = await ask("anomalies", { limit: 200, from_date: EVER });
    /** @type {Map<string, Row>} */
    const newest = new Map();
    for (const row of page.transactions) if (!newest.has(row.user_id)) newest.set(row.user_id, row);
    const items = [...newest.values()].slice(0, SHOWN).map(item);
    $("recent").replaceChildren(...items);
    show($("recent-empty"), !items.length);
  } catch (error) {
    notice(problemOf(error).message);
  }
}

/** @param {Row} row */
function item(row) {
  const link = el("a", { class: "cover", href: ofRow(row) }, row.user_id);
  return leads(el("li", {}, link, el("p", { class: "aside" }, `${sentence(row)} · ${stamp(row.txn_date)}`)), link);
}
