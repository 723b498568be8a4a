// What the charts of a sensor show, and the same in words and numbers for those who do not see them.

import { h, put } from "../dom.js";
import { fixed, number, NONE, plural, time, timeText } from "../format.js";
import { table } from "../parts.js";

const TABLE_ROWS = 200;
// A chart more is a screen more to scroll through; the table has all.
const FEATURES_SHOWN = 12;

/** Names of features in the query's order. */
function featureNames(answer, info) {
  const have = Object.keys(answer.history.features);
  return info.features.filter((name) => have.includes(name)).concat(have.filter((name) => !info.features.includes(name)));
}

const any = (values) => values.some((value) => value !== null);

/** One chart of the score, one of each further view, one of each feature. */
export function panels(answer, info) {
  const { score, threshold, severity, is_anomaly, novelty, alarm, features } = answer.history;
  const made = [];
  if (any(score)) {
    made.push({
      id: "score", name: "Score", tall: true, lines: [
        { name: "score", values: score, kind: "line" },
        { name: "threshold", values: threshold, kind: "limit" },
        { name: "anomaly", values: score.map((value, i) => (is_anomaly[i] ? value : null)), kind: "anomaly" },
      ],
    });
  }
  if (any(severity)) made.push({ id: "severity", name: "Severity", lines: [{ name: "severity", values: severity, kind: "severity" }] });
  if (novelty.length > 0 && any(novelty)) {
    made.push({
      id: "novelty", name: "Novelty", lines: [
        { name: "novelty", values: novelty, kind: "line" },
        { name: "alarm", values: novelty.map((value, i) => (alarm[i] ? value : null)), kind: "anomaly" },
      ],
    });
  }
  for (const name of featureNames(answer, info).slice(0, FEATURES_SHOWN)) {
    const values = features[name];
    made.push({
      id: `feature-${name}`, name, lines: [
        { name: "value", values, kind: "line" },
        { name: "in anomaly", values: values.map((value, i) => (is_anomaly[i] ? value : null)), kind: "anomaly" },
      ],
    });
  }
  return made;
}

/** The stretches of time, in seconds, that anomalous windows cover. */
export function anomalyBands(answer, info) {
  const { window_end_us: ends, is_anomaly } = answer.history;
  const width = answer.step_us ?? info.window_us ?? 0;
  const bands = [];
  ends.forEach((end, i) => {
    if (!is_anomaly[i]) return;
    const from = (end - width) / 1e6;
    const before = bands[bands.length - 1];
    if (before && from - before[1] < 1e-3) before[1] = end / 1e6;
    else bands.push([from, end / 1e6]);
  });
  return bands;
}

/** The charts in some sentences. */
export function summaryOf(answer, info) {
  const { window_end_us: ends, score, is_anomaly, features } = answer.history;
  const bands = anomalyBands(answer, info);
  const points = is_anomaly.filter(Boolean).length;
  const said = [`From ${timeText(answer.from_us)} to ${timeText(answer.to_us)}: ${plural(answer.windows, "window")} as ${plural(ends.length, "point")}.`];
  said.push(points === 0 ? "None is an anomaly." : `${plural(points, "point")} ${points === 1 ? "is an anomaly" : "are anomalies"}, in ${plural(bands.length, "stretch", "stretches")}.`);
  if (any(score)) said.push(`The score is ${rangeText(score)}.`);
  for (const name of featureNames(answer, info)) said.push(`${name} is ${rangeText(features[name])}.`);
  return said.join(" ");
}

function rangeText(values) {
  let low = Infinity;
  let high = -Infinity;
  let last = null;
  for (const value of values) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    last = value;
  }
  return last === null ? "never known" : `${number(low)} to ${number(high)}, last ${number(last)}`;
}

/** The points as a table that is made when it is opened: the newest of them. */
export function dataTable(answer, open) {
  const place = h("div", {});
  const fill = () => {
    const { window_end_us: ends, score, threshold, severity, is_anomaly, features } = answer.history;
    const names = Object.keys(features);
    const from = Math.max(0, ends.length - TABLE_ROWS);
    const rows = [];
    for (let i = ends.length - 1; i >= from; i -= 1) {
      rows.push([
        time(ends[i]), fixed(score[i], 3), number(threshold[i]), fixed(severity[i], 2),
        is_anomaly[i] === null ? NONE : is_anomaly[i] ? "anomaly" : "normal",
        ...names.map((name) => number(features[name][i])),
      ]);
    }
    const made = table("Points of the charts", ["Window end", ["Score", "n"], ["Threshold", "n"], ["Severity", "n"], "Verdict", ...names.map((name) => [name, "n"])], rows);
    const more = from > 0 ? h("p", { class: "note" }, `The newest ${TABLE_ROWS} of ${ends.length} points.`) : null;
    put(place, made.place, more);
  };
  if (open) fill();
  return h("details", { open, on: { toggle: (event) => { if (event.target.open && !place.hasChildNodes()) fill(); } } }, h("summary", {}, "The points as a table"), place);
}
