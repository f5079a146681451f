// Lists of labelled bars. Elements are kept, so that a list that changes every second does not flicker.

import { el, say } from "./dom.js";

// entries: { name, value, share (0 to 1), warn }
export function bars(list, entries) {
  while (list.children.length > entries.length) list.lastChild.remove();
  entries.forEach((entry, index) => {
    const item = list.children[index] ?? list.appendChild(bar());
    const [name, value, track] = item.children;
    say(name, entry.name);
    say(value, entry.value);
    track.firstChild.style.inlineSize = `${Math.round(entry.share * 1000) / 10}%`;
    item.classList.toggle("warn", Boolean(entry.warn));
  });
}

// What they showed holds no more.
export function unknown(list) {
  const names = [...list.children].map((item) => item.firstChild.textContent.replace(/ · .*/, ""));
  bars(list, names.map((name) => ({ name, value: "not known", share: 0 })));
}

function bar() {
  const track = el("span", { class: "track", "aria-hidden": "true" }, el("i"));
  return el("li", {}, el("span", { class: "name" }), el("span", { class: "value" }), track);
}

// From nothing to a million behind, each tenfold as wide as the one before.
export const lagShare = (lag) => Math.min(Math.log10(lag + 1) / 6, 1);
