// @ts-check
// Finds a user by how the id begins: a combobox as the ARIA practices describe it. And a transaction by its id.

import { isUser, ofRow, ofTransaction, ofUser } from "./address.js";
import { notice } from "./announce.js";
import { $, el, show } from "./dom.js";
import { ask, problemOf, wasAborted } from "./http.js";

const PAUSE = 120;

/**
 * The address of a transaction among its user's, the newest where several have the id; "" where it is not found.
 * @param {string} id
 */
export async function seek(id) {
  try {
    const answer = await ask(`transactions/${id}`, {}, { accept: [200, 422] });
    if (!answer.choices) return ofRow(answer);
    notice("Several transactions have this id: the newest of them is shown.");
    return ofRow({ id, ...answer.choices[0] });
  } catch (error) {
    notice(problemOf(error).message);
    return "";
  }
}

export function prepare() {
  const [input, list] = [$("user", HTMLInputElement), $("suggestions")];
  let timer = 0;
  /** @type {AbortController | null} */
  let asked = null;
  let active = -1;
  let unknown = ""; // what no user's id begins with

  /** @param {string} hash */
  function go(hash) {
    close();
    input.value = "";
    location.hash = hash;
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
      unknown = users.length ? "" : text;
      offer(users, isUser(text) ? "No user has this id. Enter looks for a transaction." : "No user's id begins so.");
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
        go(ofUser(user));
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
    const id = input.value.trim();
    if (picked) go(ofUser(picked.textContent ?? ""));
    else if (isUser(id)) go((id === unknown ? ofTransaction : ofUser)(id.toLowerCase()));
    else activate(0);
  });
}
