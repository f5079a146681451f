// @ts-check
// Finds a user by how the id begins: a combobox as the ARIA practices describe it.

import { isUser, ofUser } from "./address.js";
import { $, el, show } from "./dom.js";
import { ask, problemOf, wasAborted } from "./http.js";

const PAUSE = 120;

export function prepare() {
  const [input, list] = [$("user", HTMLInputElement), $("suggestions")];
  let timer = 0;
  /** @type {AbortController | null} */
  let asked = null;
  let active = -1;

  /** @param {string} user */
  function go(user) {
    close();
    input.value = "";
    location.hash = ofUser(user);
  }

  function close() {
    clearTimeout(timer);
    asked?.abort();
    active = -1;
    show(list, false);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  function activate(index) {
    const options = [...list.querySelectorAll("[role=option]")];
    if (!options.length) return;
    active = (index + options.length) % options.length;
    for (const [place, option] of options.entries()) option.setAttribute("aria-selected", String(place === active));
    input.setAttribute("aria-activedescendant", options[active].id);
    options[active].scrollIntoView({ block: "nearest" });
  }

  async function suggest() {
    const text = input.value.trim();
    asked?.abort();
    asked = new AbortController();
    if (!/^[0-9a-f-]*$/i.test(text)) return offer([], "Ids are made of 0–9, a–f and hyphens.");
    try {
      const { users } = await ask("dashboard/data/users", { prefix: text }, { signal: asked.signal });
      offer(users, "No user's id begins so.");
    } catch (error) {
      if (!wasAborted(error)) offer([], problemOf(error).message);
    }
  }

  /**
   * @param {string[]} users
   * @param {string} otherwise - shown where there are none
   */
  function offer(users, otherwise) {
    active = -1;
    const options = users.map((user, index) => {
      const option = el("li", { role: "option", id: `suggestion-${index}`, "aria-selected": "false" }, user);
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault(); // the field would lose the focus, and the list close, before the click
        go(user);
      });
      return option;
    });
    const none = el("li", { role: "option", "aria-disabled": "true", class: "none" }, otherwise);
    list.replaceChildren(...(options.length ? options : [none]));
    show(list);
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, PAUSE);
  });
  input.addEventListener("focus", suggest);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.hidden) suggest();
    else if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active - 1);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const options = [...list.querySelectorAll("[role=option]:not(.none)")];
    const picked = options[active] ?? (options.length === 1 ? options[0] : null);
    if (picked) go(picked.textContent ?? "");
    else if (isUser(input.value.trim())) go(input.value.trim().toLowerCase());
    else activate(0);
  });
}
