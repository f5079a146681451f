// @ts-check
// One transaction with all that it holds, in a dialog.

/** @import { Row } from "./answers.js" */

import { OPTIONAL, ofRow, ofTransaction, ofUser } from "./address.js";
import { $, copyable, el, foreign } from "./dom.js";
import { revisionOf } from "./rows.js";
import { asides, isFlagged, money, NAMES, sentence, shadows, stamp, visible } from "./words.js";

/** @param {Row} row */
export function details(row) {
  /** @type {[string, Node | string | (Node | string)[]][]} */
  const facts = [
    ["Amount", money(row.amount, row.currency)],
    ["Currency", foreign(row.currency)],
    ["Time", stamp(row.txn_date)],
    ["Status", foreign(row.status)],
    ...OPTIONAL.flatMap((name) => {
      const text = row[name];
      return text ? [/** @type {[string, Node]} */ ([NAMES[name], foreign(text)])] : [];
    }),
    ["Id", copyable(row.id, el("a", { href: ofTransaction(row.id) }, row.id))],
    ["User", copyable(row.user_id, el("a", { href: ofUser(row.user_id) }, row.user_id))],
    ["Address", [el("a", { href: ofRow(row) }, "this transaction among the user's")]],
  ];
  const { decision } = row.meta_data;
  if (typeof decision === "number") facts.push(["Rules", `as of decision ${decision}`]);
  const revision = revisionOf(row);
  if (revision > 1) facts.push(["Revision", `${revision}: said ${revision} times, the newest is shown`]);
  const list = facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...[value].flat())]);
  $("details-body").replaceChildren(
    ...(isFlagged(row) ? [el("p", { class: "why" }, sentence(row))] : []),
    ...shadows(row).map(([name, its]) =>
      el("p", {}, `${name} only watches, and would have flagged it: ${sentence(its)}`),
    ),
    ...asides(row).map((said) => el("p", {}, said)),
    el("dl", { class: "facts wide" }, ...list),
    el("h3", {}, "meta_data"),
    el("pre", { tabindex: "0" }, visible(JSON.stringify(row.meta_data, null, 2))),
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
