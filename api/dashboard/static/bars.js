// @ts-check
// Lists of labelled bars. Elements are kept, so that a list that changes every second does not flicker.

import { el, setText } from "./dom.js";

/** @typedef {{ name: string, value: string, share: number, warn?: boolean }} Bar - `share` is from 0 to 1 */

/**
 * Shows these bars in the list.
 * @param {HTMLElement} list
 * @param {Bar[]} entries
 */
export function showBars(list, entries) {
  while (list.children.length > entries.length) list.lastElementChild?.remove();
  for (const [index, entry] of entries.entries()) {
    const item = list.children[index] ?? list.appendChild(emptyBar());
    const [name, value, track] = item.children;
    setText(name, entry.name);
    setText(value, entry.value);
    const bar = /** @type {HTMLElement} */ (track.firstElementChild);
    bar.style.inlineSize = `${Math.round(entry.share * 1000) / 10}%`;
    item.classList.toggle("warn", Boolean(entry.warn));
  }
}

/**
 * Replaces values that no longer hold.
 * @param {HTMLElement} list
 */
export function showUnknown(list) {
  const names = [...list.children].map((item) => item.firstElementChild?.textContent.replace(/ · .*/, "") ?? "");
  showBars(
    list,
    names.map((name) => ({ name, value: "not known", share: 0 })),
  );
}

function emptyBar() {
  const track = el("span", { class: "track", "aria-hidden": "true" }, el("i"));
  return el("li", {}, el("span", { class: "name" }), el("span", { class: "value" }), track);
}

/**
 * How long a bar is, from nothing to a million behind: each tenfold is as long as the one before.
 * @param {number} lag
 */
export const lagShare = (lag) => Math.min(Math.log10(lag + 1) / 6, 1);
