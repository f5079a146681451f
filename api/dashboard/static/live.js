// The first view: how much flows, how far behind the workers are, and the flags as they are raised.

import { ofUser } from "./address.js";
import { announce, notice } from "./announce.js";
import { bars, lagShare } from "./bars.js";
import { draw } from "./charts.js";
import { $, chosen, el, say, show } from "./dom.js";
import { ask, repeat } from "./http.js";
import { Stream } from "./stream.js";
import { duration, moment, number, plural, ratio, reason, sentence } from "./words.js";

const PAST = 300_000;
const BIN = 5_000;
const SHOWN = 60;
const PAINT = 250;
const RUSH = 8; // at once: more than one can follow, so they come less often, and without ado
const RUSH_PAINT = 1000;
const EVER = "1970-01-01";

export class Live {
  #report;
  #samples = [];
  #skew = { round: Infinity, value: 0 };
  #seen = new Map(); // id -> when it was on the screen
  #delays = [];
  #flags = []; // rows as shown: newest first
  #known = new Set();
  #waiting = []; // texts of rows that are not shown yet, oldest first
  #timer = 0;
  #painted = 0;
  #rushed = false;
  #paused = false;
  #stream = null;
  #stop = null;

  constructor(report) {
    this.#report = report;
    $("pause").addEventListener("click", () => this.#pause(!this.#paused));
    $("held").addEventListener("click", () => {
      this.#pause(false);
      this.#paint();
    });
    for (const event of ["pointerleave", "focusout"]) $("feed-card").addEventListener(event, () => this.#schedule());
  }

  open() {
    document.title = "Live · txnwatch";
    this.#stop = repeat((signal) => this.#pulse(signal), 1000);
    this.#stream = new Stream("sse/anomalies", {
      row: (text) => this.#arrives(text),
      gap: () => this.#gap(),
      state: (state) => {
        this.#report(state);
        if (state === "open") this.#load().catch((error) => notice(error.message));
      },
    });
  }

  close() {
    this.#stop();
    this.#stream.close();
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#waiting = [];
  }

  // --- Rates and lag

  async #pulse(signal) {
    const asked = Date.now();
    const pulse = await ask("dashboard/data/pulse", { after: this.#samples.at(-1)?.at ?? 0 }, { signal }).catch((error) => {
      if (error.name !== "AbortError") this.#tellAway(error);
      throw error;
    });
    this.#measureSkew(asked, Date.now(), pulse.now);
    this.#samples = [...this.#samples, ...pulse.samples].filter((sample) => sample.at > pulse.now - PAST);
    this.#tellDelays(pulse.samples);
    this.#tellRates();
    this.#tellLag(pulse.partitions);
    this.#drawRates(pulse.now).catch(console.error); // the numbers wait for no chart
  }

  #tellAway(error) {
    for (const name of ["arrived", "lag", "flagged"]) say($(name), "–");
    for (const name of ["scored", "share"]) say($(name), "");
    say($("lag-aside"), error.message);
  }

  // The server's clock against ours, by the quickest answer so far.
  #measureSkew(asked, answered, now) {
    const round = answered - asked;
    if (round <= this.#skew.round) this.#skew = { round, value: now - (asked + answered) / 2 };
  }

  #tellRates() {
    const recent = this.#samples.slice(-5);
    const arrived = mean(recent.map((sample) => sample.arrived));
    say($("arrived"), number(arrived, arrived < 10 ? 1 : 0));
    const known = recent.map((sample) => sample.scored).filter((scored) => scored !== null);
    const scored = mean(known);
    say($("scored"), known.length ? `${number(scored, scored < 10 ? 1 : 0)} scored a second` : "");
    const [flags, all] = this.#lastMinute();
    say($("flagged"), number(flags, flags < 10 ? 1 : 0));
    say($("share"), all ? `${number((flags / all) * 100, 2)}% of transactions` : "");
  }

  #lastMinute() {
    const since = (this.#samples.at(-1)?.at ?? 0) - 60_000;
    let [flags, all] = [0, 0];
    this.#samples.forEach((sample, index) => {
      if (sample.at <= since || !index) return;
      const seconds = (sample.at - this.#samples[index - 1].at) / 1000;
      flags += sample.flagged * seconds;
      all += sample.arrived * seconds;
    });
    return [flags, all];
  }

  #tellLag(partitions) {
    const lag = partitions.reduce((sum, partition) => sum + partition.lag, 0);
    say($("lag"), number(lag));
    const scored = this.#samples.at(-1)?.scored ?? 0;
    const seconds = scored > 0 ? lag / scored : Infinity;
    const about = seconds < 1 ? "less than a second of work" : `about ${number(seconds)} s of work`;
    const away = Number.isFinite(seconds) ? about : "nothing is being scored";
    say($("lag-aside"), lag === 0 ? "all caught up" : away);
    bars(
      $("lags"),
      partitions.map(({ partition, lag: behind }) => ({
        name: `Partition ${partition}`,
        value: behind ? `${number(behind)} behind` : "caught up",
        share: lagShare(behind),
        warn: behind > 10_000,
      })),
    );
  }

  #tellDelays(samples) {
    for (const { produced } of samples) {
      const seen = produced && this.#seen.get(produced.id);
      if (seen) this.#delays = [...this.#delays.slice(-19), Math.max(seen + this.#skew.value - produced.at, 0)];
    }
    if (!this.#delays.length) return;
    const sorted = this.#delays.toSorted((one, other) => one - other);
    say($("delay"), duration(Math.round(sorted[sorted.length >> 1])));
    const slowest = duration(Math.round(sorted.at(-1)));
    say($("delay-aside"), sorted.length > 1 ? `median of ${sorted.length} flags; slowest ${slowest}` : "of the last flag");
  }

  async #drawRates(now) {
    const samples = this.#samples;
    if (!samples.length) return;
    const range = [now - PAST, now].map((at) => new Date(at).toISOString());
    const times = samples.map((sample) => new Date(sample.at).toISOString());
    const over = { type: "date", range, nticks: 6, tickformat: "%H:%M", showgrid: false };
    await draw($("chart-rate"), (palette, axis) => ({
      label: `Transactions a second over the last five minutes: ${spread(samples.map((one) => one.arrived))}.`,
      data: [
        { x: times, y: samples.map((one) => one.arrived), type: "scatter", mode: "lines", name: "arriving", fill: "tozeroy",
          line: { color: palette.accent, width: 1.5 }, fillcolor: palette["accent-fill"], hovertemplate: "%{y:,.0f} arriving<extra></extra>" },
        { x: times, y: smooth(samples.map((one) => one.scored)), type: "scatter", mode: "lines", name: "scored",
          line: { color: palette.ink, width: 1.5, dash: "dot" }, hovertemplate: "%{y:,.0f} scored<extra></extra>" },
      ],
      layout: { xaxis: axis(over), yaxis: axis({ rangemode: "tozero", nticks: 4, tickformat: ",~r" }), hovermode: "x unified" },
    }));
    const [bins, counts] = binned(samples);
    await draw($("chart-flags"), (palette, axis) => ({
      label: `Anomalies a second over the last five minutes: ${spread(counts)}.`,
      data: [
        { x: bins.map((at) => new Date(at + BIN / 2).toISOString()), y: counts, type: "bar", width: BIN * 0.8,
          marker: { color: palette.flag }, hovertemplate: "%{y:,.1f} a second<extra></extra>" },
      ],
      layout: { xaxis: axis(over), yaxis: axis({ rangemode: "tozero", nticks: 3 }), hovermode: "x" },
    }));
  }

  // --- Flags

  // The newest flags of the database: what was there before, or what a gap has left out.
  async #load() {
    const page = await ask("anomalies", { limit: SHOWN, from_date: EVER }, { fresh: true });
    this.#add(page.transactions.reverse());
  }

  #gap() {
    notice("Some flags were no longer in Kafka when the connection came back. The list has been loaded again.");
    this.#load().catch((error) => notice(error.message));
  }

  #arrives(text) {
    this.#waiting.push({ text, at: Date.now() });
    // Only the newest are ever shown; the counts come from the server.
    if (this.#waiting.length > 4 * SHOWN) this.#waiting.splice(0, this.#waiting.length - 2 * SHOWN);
    this.#schedule();
  }

  #schedule() {
    const pause = this.#rushed ? RUSH_PAINT : PAINT;
    const rest = Math.max(this.#painted + pause - Date.now(), 0);
    if (this.#waiting.length) this.#timer ||= setTimeout(() => this.#due(), rest);
  }

  #due() {
    this.#timer = 0;
    if (this.#paused || $("feed-card").matches(":hover") || $("feed").contains(document.activeElement)) {
      say($("held"), `${plural(this.#waiting.length, "new flag")} held back: show`);
      show($("held"));
    } else this.#paint();
  }

  #pause(on) {
    this.#paused = on;
    chosen($("pause"), on);
    say($("pause"), on ? "Go on" : "Pause");
    if (!on) this.#schedule();
  }

  #paint() {
    show($("held"), false);
    const count = this.#waiting.length;
    this.#rushed = count > RUSH;
    const rows = this.#waiting.splice(0).slice(-SHOWN).map(({ text }) => JSON.parse(text));
    const fresh = this.#add(rows, !this.#rushed);
    this.#painted = Date.now();
    requestAnimationFrame(() => setTimeout(() => this.#noteSeen(rows))); // once the frame is painted
    const newest = fresh.at(-1);
    if (newest) {
      announce(() => `${plural(count, "new flag")}. ${sentence(newest)}`);
    }
  }

  #noteSeen(rows) {
    const now = Date.now();
    for (const row of rows) if (!this.#seen.has(row.id)) this.#seen.set(row.id, now);
    for (const id of [...this.#seen.keys()].slice(0, -500)) this.#seen.delete(id);
  }

  // Rows oldest first; those that were not there yet.
  #add(rows, arriving = false) {
    const fresh = rows.filter((row) => !this.#known.has(row.id));
    if (fresh.length) {
      for (const row of fresh) this.#known.add(row.id);
      this.#flags = [...fresh.toReversed(), ...this.#flags];
      for (const row of this.#flags.splice(SHOWN)) this.#known.delete(row.id);
      const shown = fresh.filter((row) => this.#known.has(row.id)).reverse();
      $("feed").prepend(...shown.map((row) => item(row, arriving)));
      while ($("feed").children.length > SHOWN) $("feed").lastChild.remove();
    }
    show($("feed-empty"), !this.#flags.length);
    return fresh;
  }
}

function item(row, arriving) {
  const { amount, rest } = reason(row);
  const flag = row.meta_data;
  return el(
    "li",
    { class: arriving ? "arriving" : "", "data-id": row.id },
    el("span", { class: "ratio", "aria-hidden": "true" }, typeof flag.ratio === "number" ? ratio(flag.ratio) : "!"),
    el(
      "div",
      {},
      el("p", {}, el("a", { class: "cover", href: ofUser(row.user_id) }, el("strong", {}, amount), rest)),
      el("p", { class: "aside" }, `${moment(row.txn_date)} UTC · user ${row.user_id.slice(0, 8)} · ${row.status}`),
    ),
  );
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);

function binned(samples) {
  const sums = new Map();
  samples.forEach((sample, index) => {
    if (!index) return;
    const bin = Math.floor((sample.at - 1) / BIN) * BIN;
    const seconds = (sample.at - samples[index - 1].at) / 1000;
    sums.set(bin, (sums.get(bin) ?? 0) + (sample.flagged * seconds * 1000) / BIN);
  });
  const bins = [...sums.keys()].sort((one, other) => one - other).slice(0, -1); // the last is not over
  return [bins, bins.map((bin) => sums.get(bin))];
}

// Offsets are committed in batches: each value with the four before it.
function smooth(values) {
  return values.map((value, index) => {
    const known = values.slice(Math.max(index - 4, 0), index + 1).filter((one) => one !== null);
    return value === null ? null : mean(known);
  });
}

function spread(values) {
  if (!values.length) return "nothing yet";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `now ${number(values.at(-1), 1)}, between ${number(low, 1)} and ${number(high, 1)}`;
}

