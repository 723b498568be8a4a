// How everything stands, moving while the stream runs.

import { get } from "../api.js";
import { h, put, say } from "../dom.js";
import { ago, bytes, count, duration, NONE, plural, rate, short, time } from "../format.js";
import { chip, facts, failure, heading, loading, reasons, sensorAt, severity } from "../parts.js";
import { spark } from "../spark.js";

export const title = "Overview";
const NEWEST = 12;

/** Numbers with a line: id, name, its value in an overview, how it is written, what it means. */
const RATES = [
  ["events", "Events per second", (o) => o.events_per_s, rate, "Messages by the commits of the last minute"],
  ["rows", "Windows per second", (o) => o.rows_per_s, rate, "Window rows by the same commits"],
  ["lag", "Lag", (o) => o.process?.lag ?? null, short, "Messages that are not read yet"],
  ["delay", "Watermark delay", (o) => o.watermark_delay_s, duration, "How far the slowest lane's watermark is behind the clock"],
];

/** Numbers without one, and where they lead. */
const COUNTS = [
  ["sensors", "Sensors", (o) => count(o.sensors), "#/sensors"],
  ["anomalous", "Anomalous now", (o) => count(o.anomalous), "#/sensors?only=anomalous", (o) => o.anomalous > 0 && "bad"],
  ["open_events", "Open events", (o) => count(o.open_events), "#/events?state=open", (o) => o.open_events > 0 && "bad"],
  ["last_hour", "Anomalies in 1 h", (o) => count(o.anomalies_last_hour), "#/anomalies"],
  ["no_model", "Models missing", (o) => count(o.no_model), "#/sensors?sort=severity&order=asc", (o) => o.no_model > 0 && "warn"],
  ["rejected", "Rejects", (o) => count(o.rejected), "#/rejects", (o) => o.rejected > 0 && "warn"],
  ["late", "Late readings", (o) => count(o.late), "#/rejects?show=late"],
  ["commits", "Commits", (o) => count(o.commits), "#/lanes"],
];

export function view({ root, info, stream, ticks, signal }) {
  const status = h("div", { class: "status" });
  const rates = RATES.map(rateTile);
  const counts = COUNTS.map(countTile);
  const newest = h("div", { class: "newest" }, loading());
  const about = h("div", {});
  let told = "";
  put(
    root,
    heading("Overview", status),
    h("section", { class: "rates", "aria-label": "Rates" }, rates.map((tile) => tile.element)),
    h("section", { class: "counts", "aria-label": "Counts" }, counts.map((tile) => tile.element)),
    h("div", { class: "columns" },
      h("section", { class: "card", "aria-labelledby": "newest-head" },
        h("div", { class: "card-head" }, h("h2", { id: "newest-head" }, "Newest anomalies"), h("a", { href: "#/anomalies" }, "All anomalies")),
        newest),
      h("section", { class: "card", "aria-labelledby": "about-head" },
        h("div", { class: "card-head" }, h("h2", { id: "about-head" }, "This lake")),
        about,
        h("details", {}, h("summary", {}, "Query"), h("pre", { tabindex: "0", role: "region", "aria-label": "Query" }, info.query)))),
  );
  const draw = (overview) => {
    put(status, verdict(overview, info));
    for (const tile of rates) tile.draw(overview, ticks.rows);
    for (const tile of counts) tile.draw(overview);
    const known = lakeFacts(overview, info);
    if (known.textContent === told) return;
    told = known.textContent;
    put(about, known);
  };
  const first = () => get("overview", {}, signal).then(draw, (error) => {
    if (!signal.aborted) put(status, failure("the overview", error, first));
  });
  if (stream.overview) draw(stream.overview);
  else first();
  ticks.addEventListener("tick", () => draw(stream.overview), { signal });
  anomalyList(newest, { stream, signal });
}

function rateTile([id, name, value, write, hint]) {
  const line = spark();
  const shown = h("p", { class: "big", data: { stat: id } }, NONE);
  const element = h("div", { class: "tile", title: hint }, h("h2", {}, name), shown, line.svg);
  return {
    element,
    draw(overview, rows) {
      const now = value(overview);
      say(shown, write(now));
      line.draw(rows.map(value));
    },
  };
}

function countTile([id, name, value, href, tone]) {
  const shown = h("span", { class: "value", data: { stat: id } }, NONE);
  const element = h("a", { class: "count", href }, h("span", { class: "name" }, name), shown);
  return {
    element,
    draw(overview) {
      say(shown, value(overview));
      element.dataset.tone = (tone && tone(overview)) || "";
    },
  };
}

/** One line: does it work, and what is wrong. */
function verdict(overview, info) {
  const process = overview.process;
  if (!info.runs) {
    return [chip("at rest", "idle"), h("span", { class: "why" }, overview.newest_window_us ? ["the newest window ended ", time(overview.newest_window_us)] : "nothing is in it yet")];
  }
  if (process && process.ready !== "ok") return [chip("not ready", "bad"), h("span", { class: "why" }, process.ready)];
  if (overview.lanes === 0) return [chip("waiting", "idle"), h("span", { class: "why" }, "no lane has committed yet")];
  return [chip("running", "good"), h("span", { class: "why" }, `${plural(overview.lanes, "lane")}, last commit ${ago(overview.last_commit_us, overview.now_us)}`)];
}

function lakeFacts(overview, info) {
  return facts([
    ["Messages", count(overview.messages)],
    ["Window rows", count(overview.rows)],
    ["Newest window", time(overview.newest_window_us)],
    ["Last commit", time(overview.last_commit_us)],
    ["Window", info.window_us ? duration(info.window_us / 1e6) : "of varying length"],
    ["Sensor key", info.key.map((column) => column.name).join(", ")],
    overview.process && ["Lanes here", `${overview.process.lanes} of ${overview.lanes}`],
    overview.process && ["Memory", bytes(overview.process.memory_bytes)],
    ["Version", info.version],
  ]);
}

/** The newest anomalies, and those that come while one looks. */
function anomalyList(place, { stream, signal }) {
  let rows = [];
  const draw = () => {
    if (rows.length === 0) return put(place, h("p", { class: "empty" }, "No anomalies. When one is committed it shows up here."));
    return put(place, h("ul", { class: "feed" }, rows.map((row) =>
      h("li", {},
        h("span", { class: "when" }, time(row.window_end_us)),
        sensorAt(row.key, row.window_start_us, row.window_end_us),
        severity(row.severity, true),
        reasons(row.reason)))));
  };
  const ask = async () => {
    try {
      rows = (await get("anomalies", { limit: NEWEST }, signal)).rows;
      draw();
    } catch (error) {
      if (!signal.aborted) put(place, failure("the newest anomalies", error, ask));
    }
  };
  stream.addEventListener("anomalies", (event) => {
    // Their focus would be lost in a list that is drawn anew.
    const busy = place.contains(document.activeElement);
    rows = [...event.detail].reverse().concat(rows).slice(0, NEWEST);
    if (!busy) draw();
  }, { signal });
  stream.addEventListener("resumed", ask, { signal });
  ask();
}
