// Debounced events: when a sensor's trouble began, whether it goes on, how bad it was.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { count, duration, time } from "../format.js";
import { chip, empty, failure, heading, load, reasons, sensorAt, severity, table, tabs } from "../parts.js";
import { keyFilter, TABS } from "./anomalies.js";

export const title = "Events";
const PAGE = 100;
const REFRESH_MS = 5_000;
const STATES = [["", "All"], ["open", "Open"], ["closed", "Closed"]];

export function view({ root, params, signal, info, stream, setParams }) {
  const list = h("div", { class: "card flush" });
  let key = params.getAll("key");
  let state = STATES.some(([id]) => id === params.get("state")) ? params.get("state") : "";
  const choice = h("select", { id: "event-state" }, STATES.map(([id, name]) => h("option", { value: id, selected: id === state }, name)));
  const ask = () => load(list, "events", signal, () => get("events", { key, state, limit: PAGE }, signal), draw);
  const restart = () => {
    const next = new URLSearchParams(key.map((part) => ["key", part]));
    if (state) next.set("state", state);
    setParams(next);
    return ask();
  };
  choice.addEventListener("change", () => {
    state = choice.value;
    restart();
  });
  const filter = keyFilter(info, key, (next) => {
    key = next;
    restart();
  });
  filter.prepend(h("label", { class: "field" }, h("span", {}, "State"), choice));
  put(root, heading("Events", tabs("Kinds of anomalies", "events", TABS)), info.events ? filter : null, list);
  if (!info.events) {
    put(list, empty("This lake has no events: its configuration has none."));
    return;
  }
  ask();
  follow(list, stream, signal, ask);

  function draw(answer) {
    if (answer.rows.length === 0) return empty(state || key.length ? "No event is like that." : "No events. One opens when a sensor has several anomalous windows.");
    const made = table("Events, newest first", ["State", "Sensor", "Peak severity", "Began", ["Lasts", "n"], ["Windows", "n"], "Reason", "Peak"], answer.rows.map(cells));
    const more = h("div", { class: "more" });
    older(more, made, answer.next_before_us);
    return [made.place, more];
  }

  function older(place, made, before) {
    if (before === null) return put(place);
    const next = async (button) => {
      button.disabled = true;
      try {
        const answer = await get("events", { key, state, before_us: before, limit: PAGE }, signal);
        answer.rows.forEach((row) => made.add(cells(row)));
        older(place, made, answer.next_before_us);
        place.querySelector("button")?.focus();
      } catch (error) {
        if (!signal.aborted) put(place, failure("older events", error, () => older(place, made, before)));
      }
    };
    return put(place, h("button", { type: "button", on: { click: (event) => next(event.target) } }, "Show older"));
  }
}

/** Asks again when commits have come, while one looks at the top and holds nothing. */
function follow(list, stream, signal, ask) {
  let asked = Date.now();
  let commits = null;
  stream.addEventListener("overview", (event) => {
    const busy = list.contains(document.activeElement) || scrollY > 80 || document.hidden;
    if (event.detail.commits === commits || busy || Date.now() - asked < REFRESH_MS) return;
    commits = event.detail.commits;
    asked = Date.now();
    ask();
  }, { signal });
}

function cells(event) {
  return [
    chip(event.state, event.state === "open" ? "bad" : "idle"),
    sensorAt(event.key, event.start_us, event.end_us),
    severity(event.peak_severity, true),
    time(event.start_us),
    duration((event.end_us - event.start_us) / 1e6),
    count(event.windows),
    reasons(event.reason),
    time(event.peak_us),
  ];
}
