// Puts the chosen theme in force before the first paint. A script of its own and not a module, because
// modules wait for the document.
(function () {
  "use strict";
  let theme = null;
  try {
    theme = localStorage.getItem("tidegauge.theme");
  } catch {
    // A browser that keeps nothing shows the system's theme.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
