// @ts-check
// Whether the services are there, which worker has which partitions, and what was refused.

/** @import { Dependency, Late, PulsePage, Readiness, Refused, RefusedPage, Sample, Worker, Workers } from "./answers.js" */
/** @import { State } from "./stream.js" */

import { lagShare, showBars, showUnknown } from "./bars.js";
import { $, el, foreign, setText, show } from "./dom.js";
import { ask, poll, problemOf, wasAborted } from "./http.js";
import { instant, number, plural, stamp, visible, ZONE } from "./words.js";

/** @type {Record<string, string[]>} */
const SERVICES = {
  kafka: ["Kafka", "carries the transactions"],
  postgres: ["Postgres", "holds the rows"],
  redis: ["Redis", "mirrors the windows"],
};

const MINUTE = 60_000;

/** @type {Late} */
const NONE_LATE = { decision: 0, partitions: [] };

/**
 * @param {number} offsets
 * @param {number | null} since
 */
const heldBack = (offsets, since) =>
  since ? ` · ${number(offsets)} held back by a transaction open since ${instant(since)} ${ZONE}` : "";

export class Health {
  #report;
  #stop = () => {};
  #refusedShown = "";
  #refusedRate = 0; // how many were refused in the last minute

  /** @param {(state: State) => void} report */
  constructor(report) {
    this.#report = report;
    $("services").replaceChildren(
      ...Object.entries({ api: ["API", "serves this page"], ...SERVICES }).map(([key, [name, does]]) =>
        el(
          "li",
          { class: "card service", id: `service-${key}`, "data-service": key, "data-state": "unknown" },
          el("h2", {}, name),
          el("p", { class: "state" }, "…"),
          el("p", { class: "aside" }, does),
        ),
      ),
    );
  }

  open() {
    document.title = "Health · txnwatch";
    this.#report("none");
    this.#stop = poll((signal) => this.#look(signal), 2000);
  }

  /** Nothing here depends on the rule. */
  ruled() {}

  close() {
    this.#stop();
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    await Promise.all([
      ask("ready", {}, { signal, accept: [200, 503] })
        .then((ready) => this.#showServices(ready))
        .catch((error) => wasAborted(error) || this.#showAway(problemOf(error))),
      Promise.all([
        ask("dashboard/data/workers", {}, { signal }),
        ask("dashboard/data/pulse", { after: Date.now() - MINUTE }, { signal }),
        ask("dashboard/data/decisions", {}, { signal }).catch(() => NONE_LATE),
      ])
        .then((answers) => this.#showWorkers(...answers))
        .catch((error) => wasAborted(error) || this.#showUnknown(problemOf(error))),
      ask("dashboard/data/refused", {}, { signal })
        .then((page) => this.#showRefused(page))
        .catch((error) => wasAborted(error) || setText($("refused-aside"), problemOf(error).message)),
    ]);
  }

  /** @param {Readiness} ready */
  #showServices({ dependencies }) {
    this.#showService("api", { state: "up" });
    for (const key of Object.keys(SERVICES)) this.#showService(key, dependencies[key] ?? { state: "unknown" });
  }

  /** @param {Error} error */
  #showAway(error) {
    this.#showService("api", { state: "down", detail: error.message });
    for (const key of Object.keys(SERVICES)) this.#showService(key, { state: "unknown" });
  }

  /**
   * @param {string} key
   * @param {Dependency} dependency
   */
  #showService(key, { state, detail }) {
    const card = $(`service-${key}`);
    card.dataset.state = state;
    /** @type {Record<string, string>} */
    const words = { up: "Up", down: "Down", unknown: "Not known" };
    const [, shownState, aside] = card.children;
    setText(shownState, words[state] ?? state);
    setText(aside, detail || (key === "api" ? "serves this page" : SERVICES[key][1]));
  }

  /**
   * @param {Workers} group
   * @param {PulsePage} pulse
   * @param {Late} late
   */
  #showWorkers({ group, state, workers, unassigned, placement }, { partitions, samples }, late) {
    this.#refusedRate = refusedIn(samples);
    /** @type {Record<string, string>} */
    const states = { stable: "", empty: "none is running", none: "none has ever run" };
    const doing = states[state] ?? "sharing out the partitions";
    const elsewhere =
      placement.misplaced > 0 &&
      `${plural(placement.misplaced, "user")} on partitions where ${placement.partitioner} does not put them (docs/producers.md)`;
    const behind =
      late.partitions.length > 0 &&
      `${plural(late.partitions.length, "partition")} without decision ${late.decision}, which was made over 10 s ago`;
    setText($("workers-aside"), [`group ${group}`, doing, behind, elsewhere].filter(Boolean).join(": "));
    $("workers").replaceChildren(
      ...workers.map(worker),
      ...(workers.length ? [] : [el("li", { class: "empty" }, "No worker is running: nothing is being scored.")]),
    );
    const holder = new Map(
      workers.flatMap((one) => one.partitions.map((partition) => [partition, one.address || one.host])),
    );
    showBars(
      $("partitions"),
      partitions.map(({ partition, lag, committed, held_back, held_since }) => ({
        name: `Partition ${partition} · ${holder.get(partition) ?? "held by nobody"}`,
        value: (lag ? `${number(lag)} behind` : `caught up at ${number(committed)}`) + heldBack(held_back, held_since),
        share: lagShare(lag + held_back),
        warn: unassigned.includes(partition) || lag > 10_000 || held_since !== null,
      })),
    );
  }

  /** @param {Error} error */
  #showUnknown(error) {
    setText($("workers-aside"), error.message);
    $("workers").replaceChildren(el("li", { class: "empty" }, "Not known."));
    showUnknown($("partitions"));
  }

  /** @param {RefusedPage} page */
  #showRefused({ total, complete, reasons, last }) {
    const rate = this.#refusedRate ? `, ${number(this.#refusedRate)} of them in the last minute` : "";
    setText(
      $("refused-aside"),
      total
        ? `${plural(total, "message")}${complete ? "" : ", the newest alone"}${rate}`
        : "none: every message was a transaction",
    );
    const most = Math.max(...Object.values(reasons), 1);
    showBars(
      $("reasons"),
      Object.entries(reasons).map(([reason, count]) => ({
        name: visible(reason),
        value: number(count),
        share: count / most,
        warn: true,
      })),
    );
    show($("refused-last-title"), last.length > 0);
    // Left alone while it is the same: somebody may be reading, or have opened one.
    const shown = JSON.stringify(last);
    if (shown === this.#refusedShown) return;
    this.#refusedShown = shown;
    const known = new Map([...$("refused-last").children].map((item) => [item.getAttribute("data-place"), item]));
    $("refused-last").replaceChildren(...last.map((message) => known.get(placeOf(message)) ?? refused(message)));
  }
}

/**
 * How many were refused from the first of these samples to the last.
 * @param {Sample[]} samples
 */
function refusedIn(samples) {
  const each = samples.slice(1).map((one, index) => ((one.at - samples[index].at) / 1000) * one.refused);
  return Math.round(each.reduce((sum, one) => sum + one, 0));
}

/** @param {Worker} one */
function worker(one) {
  const partitions = one.partitions.length
    ? one.partitions.map((partition) => el("li", {}, String(partition)))
    : [el("li", { class: "none" }, "none")];
  return el(
    "li",
    {},
    el("div", {}, el("strong", {}, foreign(one.address || one.host)), el("p", { class: "aside" }, foreign(one.id))),
    el("ul", { class: "chips", "aria-label": `Partitions of ${one.address || one.host}` }, ...partitions),
  );
}

/** @param {Refused} message */
const placeOf = ({ partition, offset }) => `${partition}-${offset}`;

/** @param {Refused} message */
function refused(message) {
  return el(
    "li",
    { "data-place": placeOf(message) },
    el(
      "details",
      {},
      el(
        "summary",
        {},
        el("strong", {}, foreign(message.reason)),
        el("span", { class: "what" }, foreign(message.detail)),
        el("time", { class: "aside" }, stamp(new Date(message.at).toISOString())),
      ),
      el(
        "p",
        { class: "aside" },
        `partition ${message.partition}, offset ${number(message.offset)}, key `,
        foreign(message.key || "none"),
      ),
      el("pre", { tabindex: "0" }, visible(message.value) || "(empty)"),
    ),
  );
}
