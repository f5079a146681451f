// @ts-check
// Who is logged in, and logging out.

import { $, setText, show } from "./dom.js";
import { ask, logIn } from "./http.js";

/** @param {string} path - of this session, or of all of this account's */
async function logOut(path) {
  await fetch(path, { method: "DELETE" }).catch(() => null);
  logIn();
}

export async function prepare() {
  $("log-out").addEventListener("click", () => logOut("session"));
  $("log-out-everywhere").addEventListener("click", () => logOut("sessions"));
  const session = await ask("session").catch(() => ({ name: "" }));
  setText($("account-name"), session.name);
  show($("account"), session.name !== "");
}
