// @ts-check
// Which view is shown, by the address; the theme's switch; whether the page is live.

/** @import { State } from "./stream.js" */

import { read } from "./address.js";
import { prepare as prepareDetails } from "./details.js";
import { $, setText, show } from "./dom.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
import { followRule } from "./rule.js";
import { prepare as prepareSearch } from "./search.js";
import { User } from "./user.js";

/** @type {Record<State, string>} */
const STATES = {
  connecting: "Connecting",
  open: "Live",
  reconnecting: "Reconnecting…",
  crowded: "Every 5 seconds",
  asleep: "Asleep while hidden",
  none: "",
};

/** @param {State} state */
function report(state) {
  const connection = $("connection");
  connection.dataset.state = state;
  setText(connection, STATES[state]);
}

const views = { live: new Live(report), users: new User(report), health: new Health(report) };
/** @type {import("./address.js").ViewName | ""} */
let current = "";
let shownUser = "";

function route() {
  const place = read();
  const changed = place.view !== current;
  if (changed && current) views[current].close();
  for (const name of Object.keys(views)) show($(name), name === place.view);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("data-view") === place.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current && (changed || place.user !== shownUser)) {
    scrollTo(0, 0);
    $("main").focus({ preventScroll: true });
  }
  [current, shownUser] = [place.view, place.user];
  if (changed || place.view === "users") views[place.view].open(place);
}

// --- The theme: the system's, unless one is chosen

const THEMES = ["auto", "light", "dark"];

function theme() {
  const button = $("theme");
  const now = () => document.documentElement.dataset.theme ?? "auto";
  const label = () => setText(button, `Theme: ${now()}`);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("txnwatch-theme", next);
    } catch {
      // Storage is switched off: the choice holds until the page is left.
    }
    label();
  });
  label();
}

theme();
prepareDetails();
prepareSearch();
addEventListener("hashchange", route);
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  $("main").focus();
});
followRule((reworded) => {
  if (current) views[current].ruled(reworded);
});
route();
