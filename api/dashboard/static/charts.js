// @ts-check
// Charts in the page: drawn again when data, size or theme change, with a label for screen readers and a tip on hover.

/** @import { Figure } from "./plot.js" */

import { el, setText, show } from "./dom.js";
import { data, options } from "./plot.js";

const REACH = 20; // pixels: how near a point the pointer must be

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
    if (typeof uPlot === "undefined") return setText(this.#element, "The charts could not be loaded.");
    if (!this.#element.clientWidth) return; // in a view that is not shown: drawn when it is
    const style = JSON.stringify([figure.log, figure.currency, figure.marks.map(({ values, ...rest }) => rest)]);
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
    setText(this.#tip, figure.tip(index));
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

// --- The colours may change: by the theme, by the system, on paper

function repaint() {
  for (const chart of charts.values()) chart.repaint();
}

new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "print"])
  matchMedia(query).addEventListener("change", repaint);
