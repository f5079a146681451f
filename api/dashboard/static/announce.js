// Tells a screen reader of what arrives: politely, in one sentence, and not more often than one can listen to.

import { $ } from "./dom.js";

const REST = 15_000;
let pending = null;
let timer = 0;

// `sentence` is called when it is time to speak.
export function announce(sentence) {
  pending = sentence;
  if (timer) return;
  speak();
}

function speak() {
  timer = 0;
  if (!pending) return;
  $("announcer").textContent = pending();
  pending = null;
  timer = setTimeout(speak, REST);
}

// A notice that stays until it is dismissed, or a while; the same one is not shown twice.
export function notice(text, lasts = 20_000) {
  const notices = $("notices");
  if ([...notices.children].some((child) => child.firstChild.textContent === text)) return;
  const paragraph = document.createElement("p");
  paragraph.className = "notice";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => paragraph.remove());
  paragraph.append(words, close);
  notices.append(paragraph);
  setTimeout(() => paragraph.remove(), lasts);
}
