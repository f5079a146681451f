// @ts-check
// Charts: uPlot draws on a canvas, in the page's own colours; a label says it for screen readers, a tip on hover.

import { el, say, show } from "./dom.js";
import { instant, number } from "./words.js";

/**
 * One value for each of the figure's times, and how they are drawn.
 * @typedef {object} Mark
 * @property {"line" | "dots" | "diamonds" | "bars"} kind
 * @property {(number | null)[]} values - null where there is none
 * @property {string} colour - the name of a colour in style.css
 * @property {number} size - a line's width or a point's diameter in pixels, a bar's width in milliseconds
 * @property {number[]} [dash]
 * @property {string} [fill] - the name of the colour below a line
 */

/**
 * What a chart shows.
 * @typedef {object} Figure
 * @property {string} label - what a screen reader says of it
 * @property {number[]} times - milliseconds since 1970, ascending
 * @property {Mark[]} marks - the last is drawn on top
 * @property {(index: number) => string} tip - of one of the times
 * @property {[number, number]} [range] - from and to when; by default, all of the times
 * @property {boolean} [log] - whether amounts are on a logarithmic scale
 * @property {(index: number) => void} [pick] - a point was clicked
 */

const COLOURS = ["ink", "soft", "line", "accent", "flag", "accent-fill"];
const REACH = 20; // pixels: how near a point the pointer must be
const MINUTE = 60_000;
const DAY = 86_400_000;

/** @type {Map<HTMLElement, Chart>} */
const charts = new Map();

/**
 * Draws the figure, in place of the one before.
 * @param {HTMLElement} element
 * @param {Figure} figure
 */
export function draw(element, figure) {
  const chart = charts.get(element) ?? new Chart(element);
  charts.set(element, chart);
  chart.draw(figure);
}

/**
 * Removes the chart and all that it holds.
 * @param {HTMLElement} element
 */
export function forget(element) {
  charts.get(element)?.remove();
  charts.delete(element);
}

class Chart {
  #element;
  #sizes = new ResizeObserver(() => this.#resize());
  #cross = el("div", { class: "cross", hidden: true });
  #tip = el("p", { class: "tip", hidden: true });
  /** @type {Figure | null} */
  #figure = null;
  /** @type {uPlot | null} */
  #plot = null;
  #style = ""; // of what `#plot` was made
  /** @type {{ left: number, top: number } | null} */
  #pointer = null; // where it is over the plot

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#sizes.observe(element);
  }

  /** @param {Figure} figure */
  draw(figure) {
    this.#figure = figure;
    this.#element.setAttribute("aria-label", figure.label);
    if (typeof uPlot === "undefined") return say(this.#element, "The charts could not be loaded.");
    if (!this.#element.clientWidth) return; // in a view that is not shown: drawn when it is
    const style = JSON.stringify([figure.log, figure.marks.map(({ values, ...rest }) => rest)]);
    if (style === this.#style) this.#plot?.setData(data(figure));
    else this.#build(style);
    this.#point();
  }

  /** Draws it again in the colours that hold now. */
  repaint() {
    this.#style = "";
    if (this.#figure) this.draw(this.#figure);
  }

  remove() {
    this.#sizes.disconnect();
    this.#plot?.destroy();
  }

  #resize() {
    if (!this.#element.clientWidth) return;
    if (this.#style) this.#plot?.setSize(size(this.#element));
    else if (this.#figure) this.draw(this.#figure);
  }

  /** @param {string} style */
  #build(style) {
    const figure = /** @type {Figure} */ (this.#figure);
    this.#plot?.destroy();
    const now = () => /** @type {Figure} */ (this.#figure);
    const plot = new uPlot({ ...size(this.#element), ...options(figure, now) }, data(figure), this.#element);
    [this.#plot, this.#style] = [plot, style];
    plot.over.append(this.#cross, this.#tip);
    plot.over.addEventListener("pointermove", (event) => this.#move({ left: event.offsetX, top: event.offsetY }));
    plot.over.addEventListener("pointerleave", () => this.#move(null));
    plot.over.addEventListener("click", () => {
      const index = this.#nearest();
      if (index !== null) this.#figure?.pick?.(index);
    });
  }

  /** @param {{ left: number, top: number } | null} pointer */
  #move(pointer) {
    this.#pointer = pointer;
    this.#point();
  }

  /** Shows the tip of what is under the pointer. */
  #point() {
    const [plot, figure, index] = [this.#plot, this.#figure, this.#nearest()];
    show(this.#tip, index !== null);
    show(this.#cross, index !== null && !figure?.pick);
    plot?.over.classList.toggle("pickable", index !== null && Boolean(figure?.pick));
    if (!plot || !figure || !this.#pointer || index === null) return;
    const left = plot.valToPos(figure.times[index], "x");
    this.#cross.style.translate = `${left}px`;
    say(this.#tip, figure.tip(index));
    const right = left > plot.over.clientWidth / 2; // then the tip is on the left of it, and never cut off
    const top = Math.min(this.#pointer.top, plot.over.clientHeight - this.#tip.offsetHeight);
    this.#tip.style.translate = `calc(${left}px + ${right ? "-100% - 0.6rem" : "0.6rem"}) ${Math.max(top, 0)}px`;
  }

  /** The index of what is under the pointer: of the nearest point, or of the nearest time where none can be picked. */
  #nearest() {
    const [plot, figure, pointer] = [this.#plot, this.#figure, this.#pointer];
    if (!plot || !figure?.times.length || !pointer) return null;
    if (!figure.pick) return plot.posToIdx(pointer.left);
    const points = figure.marks.filter(({ kind }) => kind === "dots" || kind === "diamonds");
    let [found, nearest] = [/** @type {number | null} */ (null), REACH];
    for (const { values } of points) {
      values.forEach((value, index) => {
        if (value === null) return;
        const [left, top] = [plot.valToPos(figure.times[index], "x"), plot.valToPos(value, "y")];
        const distance = Math.hypot(left - pointer.left, top - pointer.top);
        if (distance < nearest) [found, nearest] = [index, distance];
      });
    }
    return found;
  }
}

/** @param {HTMLElement} element */
const size = (element) => ({ width: element.clientWidth, height: element.clientHeight });

/**
 * @param {Figure} figure
 * @returns {uPlot.AlignedData}
 */
const data = ({ times, marks }) => [times, ...marks.map(({ values }) => values)];

/**
 * @param {Figure} figure
 * @param {() => Figure} now - the figure that is shown, later on
 */
function options({ log = false, range, marks }, now) {
  const palette = colours();
  const font = `${Math.round(0.74 * palette.rem)}px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: palette.soft, font, ticks: { show: false } };
  return {
    ms: /** @type {const} */ (1),
    tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at), "UTC"),
    legend: { show: false },
    cursor: { show: false },
    padding: /** @type {uPlot.Padding} */ ([8, 10, 0, 0]),
    scales: {
      x: { range: (/** @type {uPlot} */ _, /** @type {number} */ low, /** @type {number} */ high) => now().range ?? widened(low, high) },
      y: { distr: log ? 3 : 1, range: log ? logRange : fromZero },
    },
    axes: [
      { ...axis, space: (range ? 3 : 5) * palette.rem, size: (range ? 1.5 : 2.6) * palette.rem, grid: { show: false }, ...(range ? { values: clock, incrs: [MINUTE, 5 * MINUTE] } : { values: dates }) },
      { ...axis, space: atMost(7, 1.7 * palette.rem), size: 3.8 * palette.rem, grid: { stroke: palette.line, width: 1 }, values: amounts, ...(log ? LOG : {}) },
    ],
    series: [{}, ...marks.map((mark) => series(mark, palette))],
  };
}

/**
 * The colours of the theme that holds now, and how many pixels a rem has.
 * @returns {Record<string, string> & { rem: number }}
 */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const named = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  return Object.assign(named, { rem: parseFloat(style.fontSize) });
}

/**
 * @param {Mark} mark
 * @param {Record<string, any>} palette
 * @returns {uPlot.Series}
 */
function series({ kind, colour, size: wide, dash, fill }, palette) {
  const stroke = palette[colour];
  const none = { points: { show: false } };
  if (kind === "line") return { ...none, stroke, width: wide, dash, fill: fill && palette[fill] };
  if (kind === "bars") return { ...none, fill: stroke, paths: bars(wide) };
  const paths = kind === "diamonds" ? { paths: diamonds(wide) } : {};
  return { alpha: kind === "dots" ? 0.75 : 1, paths: () => null, points: { show: true, size: wide, width: 0, fill: stroke, ...paths } };
}

/**
 * Bars that are so many milliseconds wide, whatever lies between them.
 * @param {number} width
 * @returns {uPlot.Series.PathBuilder}
 */
const bars = (width) => (plot, index, from, to) => {
  const fill = new Path2D();
  const floor = plot.valToPos(0, "y", true);
  eachPoint(plot, index, from, to, (at, value) => {
    const [left, right] = [at - width / 2, at + width / 2].map((edge) => plot.valToPos(edge, "x", true));
    fill.rect(left, floor, right - left, plot.valToPos(value, "y", true) - floor);
  });
  return { fill, stroke: null };
};

/**
 * @param {number} across
 * @returns {uPlot.Series.Points.PathBuilder}
 */
const diamonds = (across) => (plot, index, from, to) => {
  const fill = new Path2D();
  const reach = (across / 2) * devicePixelRatio;
  eachPoint(plot, index, from, to, (at, value) => {
    const [x, y] = [plot.valToPos(at, "x", true), plot.valToPos(value, "y", true)];
    fill.moveTo(x, y - reach);
    for (const [right, down] of [[reach, 0], [0, reach], [-reach, 0]]) fill.lineTo(x + right, y + down);
  });
  return { fill, stroke: null };
};

/**
 * @param {uPlot} plot
 * @param {number} index - of the series
 * @param {number} from
 * @param {number} to - the last place
 * @param {(at: number, value: number) => void} step
 */
function eachPoint(plot, index, from, to, step) {
  for (let place = from; place <= to; place += 1) {
    const value = plot.data[index][place];
    if (value != null) step(plot.data[0][place], value);
  }
}

// --- Scales and what stands beside them

/**
 * Room beside the first and the last point.
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]}
 */
function widened(low, high) {
  const room = (high - low) * 0.03 || MINUTE;
  return [low - room, high + room];
}

/** @type {uPlot.Range.Function} */
const fromZero = (_plot, _low, high) => [0, high > 0 ? high * 1.06 : 1];

/** @type {uPlot.Range.Function} */
const logRange = (_plot, low, high) => (low > 0 ? [low / 1.4, high * 1.4] : [1, 10]);

/**
 * @param {uPlot} _plot
 * @param {number} _axis
 * @param {number} low
 * @param {number} high
 */
function logSplits(_plot, _axis, low, high) {
  const steps = high / low > 1000 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    for (const step of steps) if (step * power >= low && step * power <= high) found.push(step * power);
  }
  return found;
}

/** @type {Partial<uPlot.Axis>} */
const LOG = { splits: logSplits, filter: (_plot, splits) => splits };

/**
 * No more than so many steps, and none smaller than so many pixels.
 * @param {number} count
 * @param {number} pixels
 * @returns {uPlot.Axis.Space}
 */
const atMost = (count, pixels) => (_plot, _axis, _low, _high, length) => Math.max(pixels, length / count);

/** @type {uPlot.Axis.DynamicValues} */
const amounts = (_plot, splits) => splits.map((value) => (value < 1_000_000 ? number(value, 4) : short(value)));

/** @param {number} value */
const short = (value) => new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 }).format(value);

/** @type {uPlot.Axis.DynamicValues} */
const clock = (_plot, splits) => splits.map((at) => instant(at).slice(11, 16));

/** @type {uPlot.Axis.DynamicValues} */
function dates(_plot, splits, _axis, _space, step) {
  let before = "";
  return splits.map((at) => {
    const [day, time] = instant(at).split(" ");
    if (step >= DAY) return day;
    const shown = time.slice(0, step < MINUTE ? 8 : 5);
    const text = day === before ? shown : `${shown}\n${day}`;
    before = day;
    return text;
  });
}

// --- The theme may change

function repaint() {
  for (const chart of charts.values()) chart.repaint();
}

new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
