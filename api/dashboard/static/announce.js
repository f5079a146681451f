// @ts-check
// Announces to a screen reader what arrives: politely, in one sentence, and at most every 15 seconds.

import { $, el } from "./dom.js";

const REST = 15_000;
/** @type {(() => string) | null} */
let pending = null;
let timer = 0;

/**
 * Announces the sentence now, or when the former one is over; only the last of those that wait is announced.
 * @param {() => string} sentence - called when it is time to speak
 */
export function announce(sentence) {
  pending = sentence;
  if (!timer) speak();
}

function speak() {
  timer = 0;
  if (!pending) return;
  $("announcer").textContent = pending();
  pending = null;
  timer = setTimeout(speak, REST);
}

/**
 * Shows a notice until it is dismissed, or for a while; one with the same text is not shown twice.
 * @param {string} text
 */
export function notice(text, milliseconds = 20_000) {
  const notices = $("notices");
  if ([...notices.children].some((child) => child.firstChild?.textContent === text)) return;
  const close = el("button", { type: "button", class: "quiet" }, "Dismiss");
  const paragraph = el("p", { class: "notice" }, el("span", {}, text), close);
  close.addEventListener("click", () => paragraph.remove());
  notices.append(paragraph);
  setTimeout(() => paragraph.remove(), milliseconds);
}
