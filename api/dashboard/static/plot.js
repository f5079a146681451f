// @ts-check
// What a chart shows, and how uPlot draws it on a canvas, in the page's own colours.

import { besideAxis, instant, ZONE } from "./words.js";

/**
 * One value for each of the figure's times, and how they are drawn.
 * @typedef {object} Mark
 * @property {"line" | "dots" | "diamonds" | "rings" | "bars" | "ticks" | "onward"} kind - a tick is a short line across
 *   its time, and what holds onward is a line from there to the chart's end
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
 * @property {string} [currency] - of the values
 * @property {[number, number]} [range] - from and to when; by default, all of the times
 * @property {boolean} [log] - whether amounts are on a logarithmic scale
 * @property {(index: number) => void} [pick] - a point was clicked
 */

const COLOURS = ["ink", "soft", "line", "accent", "flag", "accent-fill"];
const TICK = 8; // pixels to each side
const MINUTE = 60_000;
const DAY = 86_400_000;

/**
 * The figure's numbers as uPlot takes them.
 * @param {Figure} figure
 * @returns {uPlot.AlignedData}
 */
export const data = ({ times, marks }) => [times, ...marks.map(({ values }) => values)];

/**
 * What uPlot draws it by, but for its size.
 * @param {Figure} figure
 * @param {() => Figure} now - the figure that is shown, later on
 */
export function options({ log = false, range, marks, currency = "" }, now) {
  const palette = colours();
  const font = `${Math.round(0.74 * palette.rem)}px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: palette.soft, font, ticks: { show: false } };
  return {
    ms: /** @type {const} */ (1),
    tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at), ZONE),
    legend: { show: false },
    cursor: { show: false },
    padding: /** @type {uPlot.Padding} */ ([8, 10, 0, 0]),
    scales: {
      x: {
        range: (/** @type {uPlot} */ _, /** @type {number} */ low, /** @type {number} */ high) =>
          now().range ?? widened(low ?? Date.now() - DAY, high ?? Date.now()),
      },
      y: { distr: log ? 3 : 1, range: log ? logRange : fromZero },
    },
    axes: [
      {
        ...axis,
        space: (range ? 3 : 5) * palette.rem,
        size: (range ? 1.5 : 2.6) * palette.rem,
        grid: { show: false },
        label: ZONE,
        labelFont: font,
        labelSize: 1.1 * palette.rem,
        labelGap: 0,
        ...(range ? { values: clock, incrs: [MINUTE, 5 * MINUTE] } : { values: dates }),
      },
      {
        ...axis,
        space: atMost(7, 1.7 * palette.rem),
        size: wideEnough,
        grid: { stroke: palette.line, width: 1 },
        values: (/** @type {uPlot} */ _, /** @type {number[]} */ splits) => besideAxis(splits, currency),
        ...(log ? LOG : {}),
      },
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
function series({ kind, colour, size, dash, fill }, palette) {
  const own = palette[colour];
  const noPoints = { points: { show: false } };
  if (kind === "line") return { ...noPoints, stroke: own, width: size, dash, fill: fill && palette[fill] };
  if (kind === "bars") return { ...noPoints, fill: own, paths: bars(size) };
  if (kind === "ticks" || kind === "onward")
    return { ...noPoints, stroke: own, width: size, paths: ticks(kind === "onward") };
  const points = { show: true, size, width: 0, fill: own };
  if (kind === "dots") return { paths: () => null, points, alpha: 0.75 };
  if (kind === "rings") return { paths: () => null, points: { ...points, width: 2, stroke: own, fill: "transparent" } };
  return { paths: () => null, points: { ...points, paths: diamonds(size) } };
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
 * @param {boolean} onward - to the chart's end
 * @returns {uPlot.Series.PathBuilder}
 */
const ticks = (onward) => (plot, index, from, to) => {
  const stroke = new Path2D();
  const reach = TICK * devicePixelRatio;
  eachPoint(plot, index, from, to, (at, value) => {
    const [x, y] = [plot.valToPos(at, "x", true), plot.valToPos(value, "y", true)];
    stroke.moveTo(x - reach, y);
    stroke.lineTo(onward ? plot.bbox.left + plot.bbox.width : x + reach, y);
  });
  return { stroke, fill: null };
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
    fill.lineTo(x + reach, y);
    fill.lineTo(x, y + reach);
    fill.lineTo(x - reach, y);
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

/**
 * As wide as what stands beside the axis, however large the numbers are.
 * @param {uPlot} plot
 * @param {string[] | null} values
 * @param {number} index - of the axis
 */
function wideEnough(plot, values, index) {
  const axis = plot.axes[index];
  plot.ctx.font = String(axis.font?.[0] ?? axis.font);
  const widths = (values ?? []).map((value) => plot.ctx.measureText(value).width / devicePixelRatio);
  return Math.ceil(Math.max(...widths, 0)) + 2 * (axis.gap ?? 5);
}

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
