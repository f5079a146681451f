// @ts-check
// How much flows and how far behind the workers are: the tiles, the charts of the last five minutes, lag by partition.

/** @import { Lag, PulsePage, Sample } from "./answers.js" */

import { lagShare, showBars, showUnknown } from "./bars.js";
import { draw } from "./charts.js";
import { $, setText } from "./dom.js";
import { ask, problemOf, wasAborted } from "./http.js";
import { instant, number } from "./words.js";

const PAST = 300_000;
const BIN = 5_000;
const STALE = 10_000;

export class Rates {
  #delays;
  /** @type {Sample[]} */
  #samples = [];
  #skew = { round: Infinity, value: 0 };

  /** @param {import("./delays.js").Delays} delays */
  constructor(delays) {
    this.#delays = delays;
  }

  /**
   * Asks for what came since it last asked, and shows it.
   * @param {AbortSignal} signal
   */
  async refresh(signal) {
    const asked = Date.now();
    const after = this.#samples.at(-1)?.at ?? 0;
    /** @type {PulsePage} */
    const pulse = await ask("dashboard/data/pulse", { after }, { signal }).catch((error) => {
      if (!wasAborted(error)) this.#showAway(problemOf(error));
      throw error;
    });
    this.#measureSkew(asked, Date.now(), pulse.now);
    this.#samples = [...this.#samples, ...pulse.samples].filter((sample) => sample.at > pulse.now - PAST);
    this.#delays.show(pulse.samples, this.#skew.value);
    this.#showRates();
    this.#showLag(pulse.partitions);
    this.#drawRates(pulse.now);
  }

  /** @param {Error} error */
  #showAway(error) {
    for (const name of ["arrived", "lag", "flagged"]) setText($(name), "–");
    for (const name of ["scored", "share", "refused"]) setText($(name), "");
    setText($("lag-aside"), error.message);
    showUnknown($("lags"));
    this.#drawRates(Date.now() + this.#skew.value); // time goes on, the lines do not
  }

  /**
   * Compares the server's clock with ours, by the quickest answer so far.
   * @param {number} asked
   * @param {number} answered
   * @param {number} now - by the server's clock
   */
  #measureSkew(asked, answered, now) {
    const round = answered - asked;
    if (round <= this.#skew.round) this.#skew = { round, value: now - (asked + answered) / 2 };
  }

  #showRates() {
    const recent = this.#samples.slice(-5);
    const arrived = mean(recent.map((sample) => sample.arrived));
    setText($("arrived"), number(arrived, arrived < 10 ? 1 : 0));
    const scored = this.#scored();
    setText($("scored"), scored === null ? "" : `${number(scored, scored < 10 ? 1 : 0)} scored a second`);
    const minute = this.#lastMinute();
    setText($("flagged"), number(minute.flags, minute.flags < 10 ? 1 : 0));
    setText($("share"), minute.scored ? `${number((minute.known / minute.scored) * 100, 2)}% of what was scored` : "");
    const { refused } = minute;
    setText($("refused"), refused ? `${number(refused, refused < 10 ? 1 : 0)} refused a minute` : "");
  }

  /** How many were scored a second, over the last five seconds, as offsets are committed in batches; null: not known. */
  #scored() {
    const known = this.#samples.slice(-5).flatMap(({ scored }) => (scored === null ? [] : [scored]));
    return known.length ? mean(known) : null;
  }

  /** What came in the last minute, and the flags of the time of which it is known how many were scored. */
  #lastMinute() {
    const since = (this.#samples.at(-1)?.at ?? 0) - 60_000;
    const sums = { flags: 0, refused: 0, known: 0, scored: 0 };
    this.#samples.forEach((sample, index) => {
      if (sample.at <= since || !index) return;
      const seconds = (sample.at - this.#samples[index - 1].at) / 1000;
      sums.flags += sample.flagged * seconds;
      sums.refused += sample.refused * seconds;
      if (sample.scored === null) return;
      sums.known += sample.flagged * seconds;
      sums.scored += sample.scored * seconds;
    });
    return sums;
  }

  /** @param {Lag[]} partitions */
  #showLag(partitions) {
    const lag = partitions.reduce((sum, partition) => sum + partition.lag, 0);
    setText($("lag"), number(lag));
    const scored = this.#scored();
    const seconds = lag / (scored ?? 1);
    const about = seconds < 1 ? "less than a second of work" : `about ${number(seconds)} s of work`;
    const work = scored === 0 ? "nothing is being scored" : about;
    setText($("lag-aside"), lag === 0 ? "all caught up" : scored === null ? "" : work);
    showBars(
      $("lags"),
      partitions.map(({ partition, lag: behind }) => ({
        name: `Partition ${partition}`,
        value: behind ? `${number(behind)} behind` : "caught up",
        share: lagShare(behind),
        warn: behind > 10_000,
      })),
    );
  }

  /** @param {number} now - by the server's clock */
  #drawRates(now) {
    const samples = this.#samples;
    if (!samples.length) return;
    const stale = now - samples[samples.length - 1].at > STALE;
    /** @type {[number, number]} */
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
      tip: (at) => rates(times[at], arrived[at], scored[at]),
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
}

/**
 * What the chart says of one time.
 * @param {number} at
 * @param {number} arrived
 * @param {number | null} scored
 */
function rates(at, arrived, scored) {
  const known = scored === null ? "" : `\n${number(scored)} scored`;
  return `${instant(at).slice(11)}\n${number(arrived)} arriving${known}`;
}

/** @param {number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);

/**
 * Flags a second in steps of five seconds: when each begins, and its rate.
 * @param {Sample[]} samples
 * @returns {[number[], number[]]}
 */
function binned(samples) {
  /** @type {Map<number, number>} */
  const sums = new Map();
  samples.forEach((sample, index) => {
    if (!index) return;
    const bin = Math.floor((sample.at - 1) / BIN) * BIN;
    const seconds = (sample.at - samples[index - 1].at) / 1000;
    sums.set(bin, (sums.get(bin) ?? 0) + (sample.flagged * seconds * 1000) / BIN);
  });
  const bins = [...sums.keys()].sort((one, other) => one - other).slice(0, -1); // the last is not over
  return [bins, bins.map((bin) => sums.get(bin) ?? 0)];
}

/**
 * The mean of each value and the four before it: offsets are committed in batches.
 * @param {(number | null)[]} values
 */
function smooth(values) {
  return values.map((value, index) => {
    const known = values.slice(Math.max(index - 4, 0), index + 1).filter((one) => one !== null);
    return value === null ? null : mean(known);
  });
}

/**
 * @param {number[]} values
 * @param {boolean} stale
 */
function spread(values, stale) {
  if (!values.length) return "nothing yet";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${stale ? "last" : "now"} ${number(values[values.length - 1], 1)}, between ${number(low, 1)} and ${number(high, 1)}`;
}
