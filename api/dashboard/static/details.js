// @ts-check
// One transaction with all that it holds, in a dialog.

/** @import { Row } from "./answers.js" */

import { ofUser } from "./address.js";
import { $, el } from "./dom.js";
import { isFlagged, moment, money, sentence } from "./words.js";

/** @param {Row} row */
export function details(row) {
  const facts = {
    Amount: money(row.amount, row.currency),
    Time: `${moment(row.txn_date)} UTC`,
    Status: row.status,
    Id: row.id,
    User: el("a", { href: ofUser(row.user_id) }, row.user_id),
  };
  const list = Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  $("details-body").replaceChildren(
    ...(isFlagged(row) ? [el("p", { class: "why" }, sentence(row))] : []),
    el("dl", { class: "facts wide" }, ...list),
    el("h3", {}, "meta_data"),
    el("pre", { tabindex: "0" }, JSON.stringify(row.meta_data, null, 2)),
  );
  $("details", HTMLDialogElement).showModal();
}

/** Makes the dialog close by its button, by a click beside it, and when the address changes. */
export function prepare() {
  const dialog = $("details", HTMLDialogElement);
  $("details-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  addEventListener("hashchange", () => dialog.close());
}
