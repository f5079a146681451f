// @ts-check
// Who is logged in, and logging out, at the provider of logins too where that is wanted.

import { $, setText, show } from "./dom.js";
import { ask, logIn } from "./http.js";

/** @param {string} path - of this session, or of all of this account's */
async function logOut(path) {
  const ended = await fetch(path, { method: "DELETE" })
    .then((answer) => answer.json())
    .catch(() => ({}));
  if (ended.elsewhere) location.assign(ended.elsewhere);
  else logIn();
}

export async function prepare() {
  $("log-out").addEventListener("click", () => logOut("session"));
  $("log-out-everywhere").addEventListener("click", () => logOut("sessions"));
  const session = await ask("session").catch(() => ({ name: "" }));
  setText($("account-name"), session.name);
  show($("account"), session.name !== "");
}
