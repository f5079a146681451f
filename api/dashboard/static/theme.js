// @ts-check
// Runs before the first paint, so that the other theme does not flash by.

(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("txnwatch-theme");
  } catch {
    // Storage is switched off: the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
