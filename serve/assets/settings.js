// What this browser remembers of its user: theme and time zone.

function read(name, allowed) {
  try {
    const value = localStorage.getItem(`tidegauge.${name}`);
    return allowed.includes(value) ? value : allowed[0];
  } catch {
    return allowed[0];
  }
}

function write(name, value) {
  try {
    localStorage.setItem(`tidegauge.${name}`, value);
  } catch {
    // It holds until the page is closed then.
  }
}

const THEMES = ["system", "light", "dark"];
const ZONES = ["local", "utc"];

export const settings = { theme: read("theme", THEMES), zone: read("zone", ZONES) };

/** The theme after this one. */
export function nextTheme() {
  return THEMES[(THEMES.indexOf(settings.theme) + 1) % THEMES.length];
}

export function setTheme(theme) {
  settings.theme = theme;
  write("theme", theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setZone(zone) {
  settings.zone = zone;
  write("zone", zone);
}
