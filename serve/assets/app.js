// The frame of the page: which view is shown, the header, the connection.

import { get } from "./api.js";
import { h, icon, put, say } from "./dom.js";
import { ago } from "./format.js";
import { failure } from "./parts.js";
import { nextTheme, setTheme, setZone, settings } from "./settings.js";
import { Stream } from "./stream.js";
import { Ticks } from "./ticks.js";
import * as anomalies from "./views/anomalies.js";
import * as events from "./views/events.js";
import * as lanes from "./views/lanes.js";
import * as models from "./views/models.js";
import * as overview from "./views/overview.js";
import * as rejects from "./views/rejects.js";
import * as sensor from "./views/sensor.js";
import * as sensors from "./views/sensors.js";

const VIEWS = { overview, sensors, sensor, anomalies, events, lanes, models, rejects };
/** The views of the navigation, and which others belong to them. */
const NAV = [
  ["overview", "Overview", []],
  ["sensors", "Sensors", ["sensor"]],
  ["anomalies", "Anomalies", ["events"]],
  ["lanes", "Lanes", []],
  ["models", "Models", []],
  ["rejects", "Rejects", []],
];

const main = document.getElementById("main");
const stream = new Stream(() => get("info").then(know, () => {}));
const app = { info: null, stream, ticks: new Ticks(stream), announce, toast };
let leave = null;
let shown = null;

/** The view's name and parameters in the address: `#/sensor?key=1&key=4`. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const name = Object.hasOwn(VIEWS, path) ? path : "overview";
  return { name, params: new URLSearchParams(query) };
}

async function show({ focus }) {
  leave?.abort();
  const gone = new AbortController();
  leave = gone;
  const { name, params } = place();
  markNav(name);
  const view = VIEWS[name];
  try {
    // A pipeline that has just begun has no lake yet, whose key and columns could be told.
    if (!app.info || app.info.key.length === 0) {
      const asked = get("info").then(know);
      if (view.needsInfo !== false) await asked;
      else asked.catch(() => {});
    }
  } catch (error) {
    if (gone.signal.aborted) return;
    put(main, failure("what this lake is", error, () => show({ focus })));
    return;
  }
  if (gone.signal.aborted) return;
  const root = h("div", { class: `view view-${name}` });
  const context = { ...app, root, params, signal: gone.signal, setParams, setTitle: (text) => title(text) };
  const same = shown === name;
  shown = name;
  put(main, root);
  title(view.title);
  view.view(context);
  if (!same) window.scrollTo(0, 0);
  if (focus) (root.querySelector("h1") ?? main).focus({ preventScroll: true });
}

/** Writes parameters into the address without drawing the view anew. */
function setParams(params) {
  const query = String(params);
  history.replaceState(null, "", `#/${place().name}${query ? `?${query}` : ""}`);
}

function title(text) {
  document.title = `${text} · tidegauge`;
}

function know(info) {
  app.info = info;
  const lake = document.getElementById("lake");
  say(lake, info.lake);
  lake.title = `${info.lake}\ntidegauge ${info.version}`;
  const role = document.getElementById("role");
  say(role, info.role);
  role.title = info.role === "operate" ? "You may move the aliases of models" : "You may look at everything and change nothing";
  live();
  return info;
}

/** Connected, reconnecting or at rest. */
function live() {
  const words = { connecting: "connecting", lost: "reconnecting", live: app.info?.runs === false ? "at rest" : "live" };
  const line = document.getElementById("live");
  line.dataset.state = stream.state === "live" && app.info?.runs === false ? "rest" : stream.state;
  say(document.getElementById("live-text"), words[stream.state]);
  const last = stream.overview?.last_commit_us;
  line.title = last ? `Last commit ${ago(last, stream.overview.now_us)}` : "";
}

function markNav(name) {
  for (const link of document.querySelectorAll("#nav a")) {
    const [id, , parts] = NAV.find(([id]) => id === link.dataset.view);
    if (id === name || parts.includes(name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function navigation() {
  put(
    document.getElementById("nav"),
    NAV.map(([id, label]) =>
      h("li", {}, h("a", { href: `#/${id}`, data: { view: id } }, icon(id), h("span", { class: "label" }, label), h("span", { class: "badge", id: `badge-${id}` }))),
    ),
  );
}

/** How many open events and sensors without a model there are, beside the views that show them. */
function badges(overview) {
  say(document.getElementById("badge-anomalies"), overview.open_events > 0 ? String(overview.open_events) : "");
  document.getElementById("badge-anomalies").title = `${overview.open_events} open events`;
}

function switches() {
  const zone = document.getElementById("zone");
  const theme = document.getElementById("theme");
  const draw = () => {
    const utc = settings.zone === "utc";
    say(zone, utc ? "UTC" : "Local");
    zone.setAttribute("aria-label", utc ? "Times in UTC; show local time" : "Times are local; show UTC");
    zone.title = utc ? "Times are in UTC" : `Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
    const drawings = { system: "system", light: "sun", dark: "moon" };
    put(theme, icon(drawings[settings.theme]));
    theme.setAttribute("aria-label", `Theme: ${settings.theme}; change to ${nextTheme()}`);
    theme.title = `Theme: ${settings.theme}`;
  };
  zone.addEventListener("click", () => {
    setZone(settings.zone === "utc" ? "local" : "utc");
    draw();
    show({ focus: false });
  });
  theme.addEventListener("click", () => {
    setTheme(nextTheme());
    draw();
    document.dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
  draw();
}

/** Where there are no keys the login leads back here, and nobody is logged in. */
async function showLogout() {
  try {
    const answer = await fetch("login", { redirect: "manual" });
    document.getElementById("logout").hidden = !answer.ok;
  } catch {
    // Without an answer there is nothing to log out of.
  }
}

/** Says something to screen readers only. */
function announce(text) {
  const log = document.getElementById("announce");
  put(log, h("span", {}, text));
}

/** Says something to everybody, for some seconds. */
function toast(text) {
  const note = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 6_000);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => show({ focus: true }));
stream.addEventListener("state", live);
stream.addEventListener("overview", (event) => {
  live();
  badges(event.detail);
});
navigation();
switches();
show({ focus: false });
// What can wait until there is something to be seen.
const idle = globalThis.requestIdleCallback ?? ((act) => setTimeout(act, 200));
idle(() => {
  stream.open();
  showLogout();
}, { timeout: 1_000 });
idle(() => sensor.charts().catch(() => {}), { timeout: 10_000 });
