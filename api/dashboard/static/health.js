// Whether everything that this rests on is there, who works on what, and what was refused.

import { bars, lagShare, unknown } from "./bars.js";
import { $, el, say, show } from "./dom.js";
import { ask, repeat } from "./http.js";
import { instant, number, plural } from "./words.js";

const SERVICES = {
  kafka: ["Kafka", "carries the transactions"],
  postgres: ["Postgres", "holds the rows"],
  redis: ["Redis", "mirrors the windows"],
};

export class Health {
  #report;
  #stop = null;
  #refusedShown = "";

  constructor(report) {
    this.#report = report;
    $("services").replaceChildren(
      ...Object.entries({ api: ["API", "serves this page"], ...SERVICES }).map(([key, [name, does]]) =>
        el("li", { class: "card service", "data-service": key, "data-state": "unknown" },
          el("h2", {}, name), el("p", { class: "state" }, "…"), el("p", { class: "aside" }, does)),
      ),
    );
  }

  open() {
    document.title = "Health · txnwatch";
    this.#report("none");
    this.#stop = repeat((signal) => this.#look(signal), 2000);
  }

  close() {
    this.#stop();
  }

  async #look(signal) {
    const looks = await Promise.allSettled([
      ask("ready", {}, { signal, accept: [200, 503] }).then((ready) => this.#tellServices(ready)),
      Promise.all([ask("dashboard/data/workers", {}, { signal }), ask("dashboard/data/pulse", { after: Date.now() }, { signal })])
        .then(([workers, pulse]) => this.#tellWorkers(workers, pulse)),
      ask("dashboard/data/refused", {}, { signal }).then((refused) => this.#tellRefused(refused)),
    ]);
    const errors = looks.map((look) => look.reason);
    if (errors.some((error) => error?.name === "AbortError")) return;
    if (errors[0]) this.#tellAway(errors[0]);
    if (errors[1]) this.#tellUnknown(errors[1]);
    say($("refused-aside"), errors[2]?.message ?? $("refused-aside").textContent);
  }

  #tellServices({ dependencies }) {
    this.#tellService("api", { state: "up" });
    for (const key of Object.keys(SERVICES)) this.#tellService(key, dependencies[key] ?? { state: "unknown" });
  }

  #tellAway(error) {
    this.#tellService("api", { state: "down", detail: error.message });
    for (const key of Object.keys(SERVICES)) this.#tellService(key, { state: "unknown" });
  }

  #tellService(key, { state, detail }) {
    const card = $("services").querySelector(`[data-service=${key}]`);
    card.dataset.state = state;
    const words = { up: "Up", down: "Down", unknown: "Not known" };
    say(card.querySelector(".state"), words[state] ?? state);
    const does = key === "api" ? "serves this page" : SERVICES[key][1];
    say(card.querySelector(".aside"), detail || does);
  }

  #tellWorkers({ group, state, workers, unassigned }, { partitions }) {
    const states = { stable: "", empty: "none is running", none: "none has ever run" };
    const doing = states[state] ?? "sharing out the partitions";
    say($("workers-aside"), [`group ${group}`, doing].filter(Boolean).join(": "));
    $("workers").replaceChildren(...workers.map(worker), ...(workers.length ? [] : [el("li", { class: "empty" }, "No worker is running: nothing is being scored.")]));
    const holder = new Map(workers.flatMap((one) => one.partitions.map((partition) => [partition, one.address || one.host])));
    bars(
      $("partitions"),
      partitions.map(({ partition, lag, committed }) => ({
        name: `Partition ${partition} · ${holder.get(partition) ?? "held by nobody"}`,
        value: lag ? `${number(lag)} behind` : `caught up at ${number(committed)}`,
        share: lagShare(lag),
        warn: unassigned.includes(partition) || lag > 10_000,
      })),
    );
  }

  #tellUnknown(error) {
    say($("workers-aside"), error.message);
    $("workers").replaceChildren(el("li", { class: "empty" }, "Not known."));
    unknown($("partitions"));
  }

  #tellRefused({ total, complete, reasons, last }) {
    say($("refused-aside"), total ? `${plural(total, "message")}${complete ? "" : ", the newest alone"}` : "none: every message was a transaction");
    const most = Math.max(...Object.values(reasons), 1);
    bars($("reasons"), Object.entries(reasons).map(([reason, count]) => ({ name: reason, value: number(count), share: count / most, warn: true })));
    show($("refused-last-title"), last.length > 0);
    // Untouched while it is the same: somebody may be reading, or have opened one.
    const shown = JSON.stringify(last);
    if (shown === this.#refusedShown) return;
    this.#refusedShown = shown;
    const known = new Map([...$("refused-last").children].map((item) => [item.dataset.place, item]));
    $("refused-last").replaceChildren(...last.map((message) => known.get(placeOf(message)) ?? refused(message)));
  }
}

function worker(one) {
  const partitions = one.partitions.length ? one.partitions.map((number_) => el("li", {}, String(number_))) : [el("li", { class: "none" }, "none")];
  return el(
    "li",
    {},
    el("div", {}, el("strong", {}, one.address || one.host), el("p", { class: "aside" }, one.id)),
    el("ul", { class: "chips", "aria-label": `Partitions of ${one.address || one.host}` }, ...partitions),
  );
}

const placeOf = ({ partition, offset }) => `${partition}-${offset}`;

function refused(message) {
  return el(
    "li",
    { "data-place": placeOf(message) },
    el("details", {},
      el("summary", {},
        el("strong", {}, message.reason), el("span", { class: "what" }, message.detail),
        el("time", { class: "aside" }, `${instant(message.at)} UTC`)),
      el("p", { class: "aside" }, `partition ${message.partition}, offset ${number(message.offset)}, key ${message.key || "none"}`),
      el("pre", { tabindex: "0" }, message.value || "(empty)")),
  );
}
