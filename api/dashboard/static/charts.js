// Plotly, which loads beside the page and keeps nothing waiting, drawing in the page's own colours.

const COLOURS = ["ink", "soft", "line", "card", "accent", "flag", "accent-fill", "flag-fill"];
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

let loading = null;
const drawn = new Map(); // chart element -> what draws it again

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.getElementById("plotly");
    if (window.Plotly) resolve(window.Plotly);
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("Plotly could not be loaded.")));
  });
  return loading;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const named = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  return { ...named, rem: parseFloat(style.fontSize) };
}

function axis(palette, options = {}) {
  return {
    gridcolor: palette.line,
    linecolor: palette.line,
    tickfont: { color: palette.soft, size: 0.74 * palette.rem },
    tickcolor: palette.line,
    fixedrange: true,
    zeroline: false,
    ...options,
  };
}

// `figure(palette, axis)` gives { data, layout, label }; the label is what a screen reader says of the chart.
export async function draw(element, figure) {
  drawn.set(element, figure);
  const Plotly = await plotly();
  const palette = colours();
  const { data, layout, label } = figure(palette, (options) => axis(palette, options));
  element.setAttribute("aria-label", label);
  if (!element.clientWidth) return; // in a view that is not shown: drawn when it is
  await Plotly.react(
    element,
    data,
    {
      margin: { l: 3.2 * palette.rem, r: 10, t: 6, b: 1.9 * palette.rem },
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { family: getComputedStyle(document.body).fontFamily, color: palette.ink },
      showlegend: false,
      hoverlabel: { bgcolor: palette.card, bordercolor: palette.line, font: { color: palette.ink, size: 0.85 * palette.rem } },
      dragmode: false,
      ...layout,
    },
    CONFIG,
  );
  const width = Math.round(element.clientWidth);
  if (Math.abs(element._fullLayout.width - width) > 1) await Plotly.Plots.resize(element);
}

export function forget(element) {
  drawn.delete(element);
  delete element.dataset.listens;
  if (element.classList.contains("js-plotly-plot")) window.Plotly.purge(element);
}

function again() {
  for (const [element, figure] of drawn) draw(element, figure);
}

new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
