// The first view: how much flows, how far behind the workers are, and the flags as they are raised.

import { ofUser } from "./address.js";
import { announce, notice } from "./announce.js";
import { bars, lagShare, unknown } from "./bars.js";
import { draw } from "./charts.js";
import { $, chosen, el, say, show } from "./dom.js";
import { ask, repeat } from "./http.js";
import { newestFirst } from "./rows.js";
import { Stream } from "./stream.js";
import { badge, duration, instant, moment, number, plural, reason, sentence } from "./words.js";

const PAST = 300_000;
const BIN = 5_000;
const STALE = 10_000;
const SHOWN = 60;
const PAINT = 250;
const RUSH = 8; // at once: more than one can follow, so they come less often, and without ado
const RUSH_PAINT = 1000;
const EVER = "1970-01-01";

export class Live {
  #report;
  #samples = [];
  #skew = { round: Infinity, value: 0 };
  #produced = new Map(); // id -> when, by the server's clock; of flags that may not be on the screen yet
  #seen = new Map(); // id -> { at, since }: when it was on the screen, and since when nothing had kept it from there
  #since = 0;
  #delays = [];
  #flags = new Map(); // id -> row, in the order in which they came
  #waiting = new Map(); // those that are not shown yet
  #count = 0; // of those that came since the last painting; not all of them are kept
  #reloaded = false; // whether some of those waiting come from the database
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
      $("feed").scrollTop = 0;
      $("feed-title").scrollIntoView({ block: "nearest" });
    });
    for (const event of ["pointerleave", "focusout"]) $("feed-card").addEventListener(event, () => this.#schedule());
    addEventListener("scroll", () => this.#schedule(), { capture: true, passive: true }); // the page's and the list's
    document.addEventListener("visibilitychange", () => this.#watched());
  }

  open() {
    document.title = "Live · txnwatch";
    this.#watched();
    this.#stop = repeat((signal) => this.#pulse(signal), 1000);
    this.#stream = new Stream("sse/anomalies", {
      row: (text) => this.#wait(JSON.parse(text)),
      gap: () => this.#gap(),
      state: (state) => {
        this.#report(state);
        if (state === "asleep") this.#watched();
        if (state === "open") this.#load();
      },
    });
  }

  close() {
    this.#stop();
    this.#stream.close();
    this.#stream = null;
    this.#taken();
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
    for (const { produced } of pulse.samples) if (produced) this.#produced.set(produced.id, produced.at);
    this.#tellDelays();
    this.#tellRates();
    this.#tellLag(pulse.partitions);
    this.#drawRates(pulse.now);
  }

  #tellAway(error) {
    for (const name of ["arrived", "lag", "flagged"]) say($(name), "–");
    for (const name of ["scored", "share"]) say($(name), "");
    say($("lag-aside"), error.message);
    unknown($("lags"));
    this.#drawRates(Date.now() + this.#skew.value); // time goes on, the lines do not
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

  // From here on it is the system alone that keeps a flag from the screen.
  #watched() {
    this.#since = document.hidden ? Infinity : Date.now();
  }

  #tellDelays() {
    for (const [id, at] of this.#produced) {
      const seen = this.#seen.get(id);
      if (!seen) continue; // not painted yet: it counts when it is, however late
      this.#produced.delete(id);
      const produced = at - this.#skew.value;
      if (produced >= seen.since) this.#delays = [...this.#delays.slice(-19), Math.max(seen.at - produced, 0)];
    }
    forget(this.#produced);
    if (!this.#delays.length) return;
    const sorted = this.#delays.toSorted((one, other) => one - other);
    say($("delay"), duration(Math.round(sorted[sorted.length >> 1])));
    const slowest = duration(Math.round(sorted.at(-1)));
    say($("delay-aside"), sorted.length > 1 ? `median of ${sorted.length} flags; slowest ${slowest}` : "of the last flag");
  }

  #drawRates(now) {
    const samples = this.#samples;
    if (!samples.length) return;
    const stale = now - samples.at(-1).at > STALE;
    const range = [now - PAST, now];
    const arrived = samples.map((one) => one.arrived);
    const scored = smooth(samples.map((one) => one.scored));
    const times = samples.map((one) => one.at);
    draw($("chart-rate"), {
      label: `Transactions a second over the last five minutes: ${spread(arrived, stale)}.`,
      times,
      range,
      marks: [
        { kind: "line", values: arrived, colour: "accent", fill: "accent-fill", size: 1.5 },
        { kind: "line", values: scored, colour: "ink", size: 1.5, dash: [2, 3] },
      ],
      tip: (at) => [instant(times[at]).slice(11), `${number(arrived[at])} arriving`, ...(scored[at] === null ? [] : [`${number(scored[at])} scored`])].join("\n"),
    });
    const [bins, counts] = binned(samples);
    draw($("chart-flags"), {
      label: `Anomalies a second over the last five minutes: ${spread(counts, stale)}.`,
      times: bins.map((bin) => bin + BIN / 2),
      range,
      marks: [{ kind: "bars", values: counts, colour: "flag", size: BIN * 0.8 }],
      tip: (at) => `${instant(bins[at]).slice(11)}\n${number(counts[at], 1)} a second`,
    });
  }

  // --- Flags

  ruled(reworded) {
    if (!reworded) return;
    $("feed").replaceChildren();
    this.#add([], false, false);
  }

  // The newest flags of the database: what was there before, or what a gap has left out.
  async #load() {
    const stream = this.#stream;
    try {
      const page = await ask("anomalies", { limit: SHOWN, from_date: EVER }, { fresh: true });
      if (stream !== this.#stream) return;
      const missed = page.transactions.reverse().filter((row) => this.#wait(row));
      this.#reloaded ||= missed.length > 0;
      show($("feed-empty"), !this.#flags.size && !this.#waiting.size);
    } catch (error) {
      notice(error.message);
    }
  }

  #gap() {
    notice("Some flags were no longer in Kafka when the connection came back. The list has been loaded again.");
    this.#load();
  }

  // Whether it was not here yet.
  #wait(row) {
    if (this.#flags.has(row.id) || this.#waiting.has(row.id)) return false;
    this.#waiting.set(row.id, row);
    this.#count += 1;
    if (this.#waiting.size > 4 * SHOWN) forget(this.#waiting, 2 * SHOWN); // no more than SHOWN are ever shown
    this.#schedule();
    return true;
  }

  #schedule() {
    const pause = this.#rushed ? RUSH_PAINT : PAINT;
    const rest = Math.max(this.#painted + pause - Date.now(), 0);
    if (this.#waiting.size) this.#timer ||= setTimeout(() => this.#due(), rest);
  }

  #due() {
    this.#timer = 0;
    if (this.#paused || (this.#flags.size && isRead())) {
      say($("held"), `${plural(this.#count, "new flag")} held back: show`);
      show($("held"));
    } else this.#paint();
  }

  #pause(on) {
    this.#paused = on;
    chosen($("pause"), on);
    if (!on) this.#schedule();
  }

  #paint() {
    if (!$("held").hidden) this.#watched(); // whoever held them back knows why they are late
    const [rows, count, reloaded] = [[...this.#waiting.values()], this.#count, this.#reloaded];
    const first = reloaded && !this.#flags.size;
    this.#taken();
    this.#rushed = count > RUSH && !reloaded;
    this.#add(rows, reloaded, !reloaded && !this.#rushed);
    this.#painted = Date.now();
    requestAnimationFrame(() => setTimeout(() => this.#noteSeen(rows))); // once the frame is painted
    if (rows.length && !first) announce(() => `${plural(count, "new flag")}. ${sentence(rows.at(-1))}`);
  }

  #taken() {
    clearTimeout(this.#timer);
    [this.#timer, this.#count, this.#reloaded] = [0, 0, false];
    this.#waiting.clear();
    show($("held"), false);
  }

  #noteSeen(rows) {
    const seen = { at: Date.now(), since: this.#since };
    for (const row of rows) if (this.#flags.has(row.id)) this.#seen.set(row.id, seen);
    forget(this.#seen);
  }

  // The last to come stay, so that flags of old transactions are seen as well; of a reload, the newest.
  #add(rows, reloaded, arriving) {
    const all = [...this.#flags.values(), ...rows];
    if (reloaded) all.reverse().sort(newestFirst).reverse();
    this.#flags = new Map(all.slice(-SHOWN).map((row) => [row.id, row]));
    const list = $("feed");
    for (const element of [...list.children]) if (!this.#flags.has(element.dataset.id)) element.remove();
    [...this.#flags.values()].reverse().sort(newestFirst).forEach((row, place) => {
      const there = list.children[place] ?? null;
      if (there?.dataset.id !== row.id) list.insertBefore(item(row, arriving), there);
    });
    show($("feed-empty"), !this.#flags.size);
  }
}

// Whether somebody reads the list, and nothing may move in it: by mouse, by keyboard, or scrolled into it.
function isRead() {
  const list = $("feed");
  const above = list.scrollTop > 0 || list.getBoundingClientRect().top < document.querySelector(".bar").offsetHeight;
  return above || $("feed-card").matches(":hover") || list.contains(document.activeElement);
}

// Keeps the newest of a map.
function forget(map, kept = 500) {
  for (const key of [...map.keys()].slice(0, -kept)) map.delete(key);
}

function item(row, arriving) {
  const { before, amount, rest } = reason(row);
  return el(
    "li",
    { class: arriving ? "arriving" : "", "data-id": row.id },
    el("span", { class: "ratio", "aria-hidden": "true" }, badge(row)),
    el(
      "div",
      {},
      el("p", {}, el("a", { class: "cover", href: ofUser(row.user_id) }, before, el("strong", {}, amount), rest)),
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

function spread(values, stale) {
  if (!values.length) return "nothing yet";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${stale ? "last" : "now"} ${number(values.at(-1), 1)}, between ${number(low, 1)} and ${number(high, 1)}`;
}

