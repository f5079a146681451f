// @ts-check
// Which view is shown, by the address; the theme's switch; whether the page is live.

/** @import { State } from "./stream.js" */

import { prepare as prepareAccount } from "./account.js";
import { read, replace } from "./address.js";
import { notice } from "./announce.js";
import { prepare as prepareDetails } from "./details.js";
import { $, setText, show } from "./dom.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
import { followRule } from "./rule.js";
import { prepare as prepareSearch, seek } from "./search.js";
import { User } from "./user.js";
import { typeable, ZONE } from "./words.js";

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
  if (place.wrong) notice(place.wrong, 60_000);
  if (changed || place.view === "users") views[place.view].open(place);
  if (place.sought) lead(place.sought);
}

/** @param {string} sought */
async function lead(sought) {
  const hash = await seek(sought);
  if (!hash || read().sought !== sought) return;
  replace(hash);
  route();
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
    remember("theme", next);
    label();
  });
  label();
}

/**
 * @param {string} name
 * @param {string} chosen
 */
function remember(name, chosen) {
  try {
    localStorage.setItem(`txnwatch-${name}`, chosen);
  } catch {
    // Storage is switched off: the choice holds until the page is left.
  }
}

// --- Times: UTC, unless those of here are chosen; filters are by days in UTC, as the API's

function times() {
  const [button, isLocal] = [$("times"), ZONE !== "UTC" || document.documentElement.dataset.times === "local"];
  button.dataset.short = isLocal ? "Local" : "UTC";
  setText(button, `Times: ${isLocal ? "local" : "UTC"}`);
  button.addEventListener("click", () => {
    remember("times", isLocal ? "utc" : "local");
    location.reload();
  });
  setText($("time-head"), `Time (${ZONE})`);
  if (isLocal) for (const label of document.querySelectorAll("[data-day]")) label.prepend("UTC day: ");
}

theme();
times();
for (const name of ["min_amount", "max_amount"]) {
  const field = $("filters", HTMLFormElement).elements.namedItem(name);
  if (field instanceof HTMLInputElement) field.placeholder = typeable(field.placeholder);
}
prepareDetails();
prepareSearch();
prepareAccount();
addEventListener("hashchange", route);
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  $("main").focus();
});
followRule((reworded) => {
  if (current) views[current].ruled(reworded);
});
route();
