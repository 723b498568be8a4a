// One sensor: its features and scores over time, its model, its anomalies and events.

import { get } from "../api.js";
import { h, icon, put } from "../dom.js";
import { count, duration, keyText, NONE, number, percent, plural, sensorLink, time } from "../format.js";
import { chip, empty, facts, failure, heading, loading, reasons, severity, span, table } from "../parts.js";
import { anomalyBands, dataTable, panels, summaryOf } from "./history.js";

export const title = "Sensor";
const RANGES = [["1h", "1 h", 3600], ["6h", "6 h", 6 * 3600], ["1d", "1 d", 86_400], ["7d", "7 d", 7 * 86_400], ["all", "All", null]];
/** The charts, which the other views do without; they are fetched when there is time. */
export const charts = () => import("../chart.js");

const REFRESH_MS = 5_000;
// From all of time to what a sensor has of it, in steps of some thousandths.
const ALL_TRIES = 4;

export function view(context) {
  const { root, params, signal, info, stream } = context;
  const key = params.getAll("key");
  if (key.length !== info.key.length) {
    put(root, heading("Sensor"), empty(`A sensor of this lake is named by ${info.key.map((column) => column.name).join(", ")}. `, h("a", { href: "#/sensors" }, "Find it in the list.")));
    return;
  }
  context.setTitle(keyText(key));
  const page = new Page(context, key);
  page.load();
  let asked = Date.now();
  let newest = null;
  stream.addEventListener("overview", (event) => {
    const end = event.detail.newest_window_us;
    if (!page.range.follows || end === newest || Date.now() - asked < REFRESH_MS || document.hidden) return;
    newest = end;
    asked = Date.now();
    page.load({ quiet: true });
  }, { signal });
}

/** What is asked for: a length up to the newest window, or two times. */
function rangeOf(params) {
  const from = Number(params.get("from"));
  const to = Number(params.get("to"));
  if (params.has("from") && params.has("to") && Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to) {
    return { fixed: true, follows: false, from, to, name: null };
  }
  const name = RANGES.some(([id]) => id === params.get("range")) ? params.get("range") : "6h";
  // All of its time takes too many questions to be asked for again and again.
  return { fixed: false, follows: name !== "all", name, seconds: RANGES.find(([id]) => id === name)[2] };
}

class Page {
  #context;
  #key;
  #parts;
  #charts = null;
  #answer = null;
  #end = null;
  #Charts = null;

  constructor(context, key) {
    this.#context = context;
    this.#key = key;
    this.range = rangeOf(context.params);
    this.#parts = Object.fromEntries(["state", "bar", "trouble", "note", "charts", "words", "model", "events", "anomalies"].map((name) => [name, h("div", { class: `part-${name}` })]));
    this.#frame();
    document.addEventListener("theme", () => this.#charts?.draw(), { signal: context.signal });
    context.signal.addEventListener("abort", () => this.#charts?.destroy());
  }

  #frame() {
    const { root } = this.#context;
    const part = this.#parts;
    put(
      root,
      h("p", { class: "crumbs" }, h("a", { href: "#/sensors" }, icon("left"), "Sensors")),
      heading(keyText(this.#key), part.state),
      part.bar,
      part.trouble,
      h("div", { class: "columns sensor-columns" },
        h("section", { class: "card charts-card", "aria-labelledby": "history-head" },
          h("div", { class: "card-head" }, h("h2", { id: "history-head" }, "History"), part.note),
          part.charts, part.words),
        h("div", { class: "stack" },
          h("section", { class: "card", "aria-labelledby": "model-head" }, h("h2", { id: "model-head" }, "Model"), part.model),
          h("section", { class: "card", "aria-labelledby": "events-head" }, h("h2", { id: "events-head" }, "Events"), part.events))),
      h("section", { class: "card", "aria-labelledby": "anomalies-head" }, h("h2", { id: "anomalies-head" }, "Anomalies in this range"), part.anomalies),
    );
    put(part.charts, loading());
    this.#bar();
  }

  /** Asks for the range. `quiet`: what stands there stays until the new is there. */
  async load({ quiet = false } = {}) {
    const { signal } = this.#context;
    try {
      const [answer, { Charts }] = await Promise.all([this.#ask(), charts()]);
      if (signal.aborted) return;
      this.#Charts = Charts;
      put(this.#parts.trouble);
      this.#answer = answer;
      this.#draw(answer);
    } catch (error) {
      if (signal.aborted || (quiet && error.status === 0)) return;
      put(this.#parts.charts);
      put(this.#parts.trouble, failure(`the sensor ${keyText(this.#key)}`, error, () => this.load()));
    }
  }

  async #ask() {
    const { signal } = this.#context;
    const ask = (range) => get("sensor", { key: this.#key, ...range }, signal);
    const { fixed, from, to, seconds, name } = this.range;
    if (fixed) return ask({ from_us: from, to_us: to });
    if (name === "6h") return ask({});
    if (name === "all") return this.#askAll(ask);
    // The range ends with the sensor's newest window, which only an answer tells.
    this.#end ??= (await ask({ points: 1 })).to_us;
    const newest = Math.max(this.#end, this.#context.stream.overview?.newest_window_us ?? 0);
    const answer = await ask({ from_us: newest - seconds * 1e6 });
    if (answer.windows > 0) return answer;
    return ask({ from_us: this.#end - seconds * 1e6, to_us: this.#end });
  }

  /** All of a sensor's time. Only answers tell when it began, the first ones by points that are too long: each
   * question begins where the answer before it had its first point. */
  async #askAll(ask) {
    let answer = await ask({ from_us: 0, points: 10_000 });
    for (let tries = 0; tries < ALL_TRIES; tries += 1) {
      const first = answer.history.window_end_us[0];
      const width = answer.to_us - answer.from_us;
      if (first === undefined || first - answer.from_us < width * 0.02) break;
      const least = this.#context.info.window_us ?? 1;
      answer = await ask({ from_us: Math.max(0, first - (answer.step_us ?? least) - least), to_us: answer.to_us });
    }
    return answer;
  }

  #draw(answer) {
    const part = this.#parts;
    const { info } = this.#context;
    this.#bar();
    put(part.state, this.#state(answer));
    put(part.note, this.#note(answer));
    this.#chart(answer, info);
    put(part.model, model(answer.model));
    put(part.events, events(answer.events, info));
    put(part.anomalies, anomalies(answer.anomalies, this.#key));
  }

  #state(answer) {
    const at = answer.history.window_end_us.length - 1;
    if (at < 0) return chip("no windows here", "idle");
    const is = answer.history.is_anomaly[at];
    const words = is ? chip("anomaly", "bad") : is === false ? chip("normal", "good") : chip(answer.model ? "not scored" : "no model", "idle");
    return h("p", { class: "status" }, words, h("span", { class: "why" }, "newest window shown ", time(answer.history.window_end_us[at])));
  }

  #note(answer) {
    const step = answer.step_us ? ` Each point stands for ${duration(answer.step_us / 1e6)}: features are means, scores the highest.` : "";
    return h("p", { class: "note" }, `${plural(answer.windows, "window")}.${step}`);
  }

  #chart(answer, info) {
    const part = this.#parts;
    this.#charts?.destroy();
    this.#charts = null;
    if (answer.history.window_end_us.length === 0) {
      put(part.charts, empty("No windows of this sensor end in this range. ", h("a", { href: sensorLink(this.#key, { range: "all" }) }, "Show all of its time.")));
      put(part.words);
      return;
    }
    put(part.charts);
    this.#charts = new this.#Charts(part.charts, {
      xs: answer.history.window_end_us.map((us) => us / 1e6),
      panels: panels(answer, info),
      bands: anomalyBands(answer, info),
      events: answer.events.map((event) => [event.start_us / 1e6, event.end_us / 1e6]),
      range: [answer.from_us / 1e6, answer.to_us / 1e6],
      zoom: (from, to) => this.#go(Math.round(from * 1e6), Math.round(to * 1e6)),
    });
    // What is open stays open when fresh windows come.
    const open = part.words.querySelector("details")?.open ?? false;
    put(part.words, h("p", { class: "summary-text" }, summaryOf(answer, info)), dataTable(answer, open));
  }

  #go(from, to) {
    location.hash = sensorLink(this.#key, { from, to });
  }

  #bar() {
    const answer = this.#answer;
    const width = answer ? answer.to_us - answer.from_us : 0;
    const move = (share) => answer && this.#go(answer.from_us + Math.round(width * share), answer.to_us + Math.round(width * share));
    const zoom = (share) => {
      if (!answer) return;
      const middle = (answer.from_us + answer.to_us) / 2;
      const half = Math.max((width * share) / 2, (this.#context.info.window_us ?? 1e6) * 2);
      this.#go(Math.round(middle - half), Math.round(middle + half));
    };
    const button = (label, text, act) => h("button", { type: "button", class: "quiet", "aria-label": label, title: label, on: { click: act } }, text);
    const focused = document.activeElement?.dataset?.bar;
    put(
      this.#parts.bar,
      h("div", { class: "tools" },
        h("div", { class: "segments", role: "group", "aria-label": "Range" },
          RANGES.map(([id, label]) => h("a", { href: sensorLink(this.#key, { range: id }), data: { bar: id }, "aria-current": this.range.name === id ? "true" : null }, label))),
        h("div", { class: "buttons", role: "group", "aria-label": "Move and zoom" },
          mark(button("Earlier", icon("left"), () => move(-0.5)), "earlier"),
          mark(button("Later", icon("right"), () => move(0.5)), "later"),
          mark(button("Zoom in", "+", () => zoom(0.5)), "in"),
          mark(button("Zoom out", "−", () => zoom(2)), "out")),
        answer && h("p", { class: "range" }, span(answer.from_us, answer.to_us)),
        this.range.follows ? h("p", { class: "following" }, "follows new windows") : null),
    );
    if (focused) this.#parts.bar.querySelector(`[data-bar="${focused}"]`)?.focus();
  }
}

function mark(button, name) {
  button.dataset.bar = name;
  return button;
}

function model(model) {
  if (!model) return empty("There is no model for this sensor: its windows are not judged.");
  return facts([
    ["Set", h("a", { href: "#/models" }, String(model.set)), model.fallback ? " (of its group)" : ""],
    ["Kind", model.kind.replaceAll("_", " ")],
    ["Looks at", model.features.join(", ")],
    ["Threshold", number(model.threshold)],
    ["Trained on", model.trained_rows === null ? "not told" : plural(model.trained_rows, "window")],
    model.trained_from_us !== null && ["From", time(model.trained_from_us)],
    model.trained_to_us !== null && ["To", time(model.trained_to_us)],
    ["False alarms", model.false_alarm_rate === null ? "not told" : `${percent(model.false_alarm_rate)} of held-out windows`],
  ]);
}

function events(rows, info) {
  if (!info.events) return empty("This lake has no events.");
  if (rows.length === 0) return empty("No event touches this range.");
  return h("ul", { class: "event-list" }, rows.map((event) =>
    h("li", {}, h("p", {}, chip(event.state, event.state === "open" ? "bad" : "idle"), " ", time(event.start_us)),
      h("p", { class: "why" }, `${event.state === "open" ? "so far" : "lasted"} ${duration((event.end_us - event.start_us) / 1e6)}, ${plural(event.windows, "anomalous window")}`),
      h("p", {}, severity(event.peak_severity, true), reasons(event.reason)))));
}

function anomalies(rows, key) {
  if (rows.length === 0) return empty("None.");
  const cells = rows.map((row) => [
    h("a", { href: sensorLink(key, around(row)) }, time(row.window_end_us)),
    severity(row.severity, true),
    number(row.score),
    number(row.threshold),
    reasons(row.reason),
    row.model_set === null ? NONE : String(row.model_set),
    [row.status === "fallback" && chip("fallback", "idle"), row.alarm && chip("alarm", "warn"), row.revision > 0 && chip(`revision ${count(row.revision)}`, "idle")],
  ]);
  const made = table("Anomalies of this sensor, newest first", ["Window end", "Severity", ["Score", "n lesser"], ["Threshold", "n lesser"], "Reason and value", ["Set", "n lesser"], "Notes"], cells);
  return [made.place, rows.length === 200 && h("p", { class: "note" }, "The newest 200 are shown; a shorter range shows those before.")];
}

function around(row) {
  return { from: row.window_start_us - 600e6, to: row.window_end_us + 600e6 };
}
