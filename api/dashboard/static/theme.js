// @ts-check
// Runs before the first paint, so that the other theme does not flash by: what was chosen of theme and times.

(() => {
  let [theme, times] = ["", ""];
  try {
    [theme, times] = ["theme", "times"].map((name) => localStorage.getItem(`txnwatch-${name}`) ?? "");
  } catch {
    // Storage is switched off: the system's theme, and UTC.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  if (times === "local") document.documentElement.dataset.times = times;
})();
