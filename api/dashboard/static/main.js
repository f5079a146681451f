// Which view is shown, by the address; the theme's switch; whether the page is live.

import { read } from "./address.js";
import { prepare as prepareDetails } from "./details.js";
import { $, say, show } from "./dom.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
import { followRule } from "./rule.js";
import { prepare as prepareSearch } from "./search.js";
import { User } from "./user.js";

const STATES = {
  connecting: "Connecting",
  open: "Live",
  reconnecting: "Reconnecting…",
  asleep: "Asleep while hidden",
  none: "",
};

function report(state) {
  const connection = $("connection");
  connection.dataset.state = state;
  say(connection, STATES[state]);
}

const views = { live: new Live(report), users: new User(report), health: new Health(report) };
let [current, shownUser] = ["", ""];

function route() {
  const place = read();
  const changed = place.view !== current;
  if (changed && current) views[current].close();
  for (const name of Object.keys(views)) show($(name), name === place.view);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === place.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current && (changed || place.user !== shownUser)) {
    scrollTo(0, 0);
    $("main").focus({ preventScroll: true });
  }
  [current, shownUser] = [place.view, place.user];
  if (changed || current === "users") views[current].open(place);
}

// --- The theme: the system's, unless one is chosen

const THEMES = ["auto", "light", "dark"];

function theme() {
  const button = $("theme");
  const now = () => document.documentElement.dataset.theme ?? "auto";
  const tell = () => say(button, `Theme: ${now()}`);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("txnwatch-theme", next);
    } catch {
      // Not kept, then.
    }
    tell();
  });
  tell();
}

theme();
prepareDetails();
prepareSearch();
addEventListener("hashchange", route);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  $("main").focus();
});
followRule((reworded) => views[current].ruled?.(reworded)).then(route);
