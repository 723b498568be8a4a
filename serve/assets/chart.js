// Charts of one sensor over time, one below the other, with one cursor.

import uPlot from "./vendor/uplot.js";
import { h, say } from "./dom.js";
import { number, timeText } from "./format.js";
import { settings } from "./settings.js";

const HEIGHTS = { tall: 190, low: 112 };
const AXIS_HEIGHT = 26;

/** Reads colours from the page's own style, so that they follow the theme. */
function colours() {
  const read = (name) => {
    const probe = h("span", { class: `probe-${name}`, hidden: true });
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  return Object.fromEntries(["ink", "muted", "grid", "accent", "bad", "warn", "band", "event"].map((name) => [name, read(name)]));
}

/** Where points are missing for longer than usual the line has a gap: columns with a null put in between. */
export function withGaps(xs, columns) {
  if (xs.length < 3) return { xs, columns };
  const steps = xs.slice(1).map((x, i) => x - xs[i]).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)];
  const out = [];
  const cols = columns.map(() => []);
  xs.forEach((x, i) => {
    if (i > 0 && x - xs[i - 1] > usual * 3.5) {
      out.push(xs[i - 1] + usual);
      cols.forEach((column) => column.push(null));
    }
    out.push(x);
    cols.forEach((column, c) => column.push(columns[c][i]));
  });
  return { xs: out, columns: cols };
}

export class Charts {
  #plots = [];
  #place;
  #options;
  #resize;

  /** `panels`: {id, name, lines: [{name, values, kind}], tall}; `bands` and `events`: [from, to] in seconds
   * that are marked; `range`: [from, to]; `zoom(from, to)` is called with seconds. */
  constructor(place, options) {
    this.#place = place;
    this.#options = options;
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(place);
    this.draw();
  }

  draw() {
    for (const plot of this.#plots) plot.destroy();
    this.#place.replaceChildren();
    const paint = colours();
    const panels = this.#options.panels;
    this.#plots = panels.map((panel, i) => this.#plot(panel, i === panels.length - 1, paint));
  }

  destroy() {
    this.#resize.disconnect();
    for (const plot of this.#plots) plot.destroy();
  }

  #fit() {
    const width = this.#place.clientWidth;
    for (const plot of this.#plots) if (width > 0 && plot.width !== width) plot.setSize({ width, height: plot.height });
  }

  #plot(panel, last, paint) {
    const { xs, columns } = withGaps(this.#options.xs, panel.lines.map((line) => line.values));
    const values = panel.lines.map((line) => h("span", { class: `reading ${line.kind}` }, h("span", { class: "what" }, line.name), " ", h("b", {})));
    const when = h("span", { class: "when" });
    const head = h("div", { class: "chart-head" }, h("h3", {}, panel.name), h("p", { class: "readings", "aria-hidden": "true" }, when, values));
    const canvas = h("div", { class: "chart-canvas", "aria-hidden": "true" });
    this.#place.append(h("div", { class: "chart", data: { panel: panel.id } }, head, canvas));
    const read = (plot) => {
      const at = plot.cursor.idx ?? null;
      say(when, at === null ? "" : timeText(plot.data[0][at] * 1e6));
      panel.lines.forEach((line, i) => {
        // The last point of all, while nothing is pointed at: an anomaly of hours ago is not the state now.
        const column = plot.data[i + 1];
        const newest = line.kind === "anomaly" ? column[column.length - 1] : lastOf(column);
        const shown = at === null ? newest : column[at];
        values[i].hidden = line.kind === "anomaly" && (shown ?? null) === null;
        say(values[i].querySelector("b"), number(shown));
      });
    };
    const height = HEIGHTS[panel.tall ? "tall" : "low"] + (last ? AXIS_HEIGHT : 0);
    const plot = new uPlot(
      {
        width: Math.max(this.#place.clientWidth, 200),
        height,
        padding: [6, 10, last ? 0 : 6, 0],
        legend: { show: false },
        tzDate: (seconds) => (settings.zone === "utc" ? uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC") : new Date(seconds * 1e3)),
        cursor: { sync: { key: "sensor" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: { x: { time: true, range: () => this.#options.range }, y: { range: (_, low, high) => room(low, high) } },
        axes: axes(paint, last),
        series: [{}, ...panel.lines.map((line) => series(line, paint))],
        hooks: {
          drawClear: [(made) => this.#marks(made, paint)],
          setCursor: [read],
          setSelect: [(made) => this.#select(made)],
        },
      },
      [xs, ...columns],
      canvas,
    );
    read(plot);
    return plot;
  }

  /** Anomalous windows as bands over the whole height, events as a line at the top. */
  #marks(plot, paint) {
    const { ctx, bbox } = plot;
    const draw = ([from, to], colour, y, height, least) => {
      const left = Math.max(plot.valToPos(from, "x", true), bbox.left);
      const right = Math.min(plot.valToPos(to, "x", true), bbox.left + bbox.width);
      if (right < bbox.left || left > bbox.left + bbox.width) return;
      ctx.fillStyle = colour;
      ctx.fillRect(left, y, Math.max(right - left, least), height);
    };
    const ratio = devicePixelRatio;
    ctx.save();
    for (const band of this.#options.bands) draw(band, paint.band, bbox.top, bbox.height, 2 * ratio);
    for (const event of this.#options.events) draw(event, paint.event, bbox.top, 3 * ratio, 4 * ratio);
    ctx.restore();
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const from = plot.posToVal(left, "x");
    const to = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.#options.zoom(from, to);
  }
}

function lastOf(values) {
  for (let i = values.length - 1; i >= 0; i -= 1) if (values[i] !== null && values[i] !== undefined) return values[i];
  return null;
}

function room(low, high) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const margin = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

function axes(paint, last) {
  const grid = { stroke: paint.grid, width: 1 };
  const font = "11px system-ui, sans-serif";
  return [
    { stroke: paint.muted, font, grid, ticks: { show: false }, size: last ? AXIS_HEIGHT : 0, values: last ? clock : (_, splits) => splits.map(() => "") },
    { stroke: paint.muted, font, grid, ticks: { show: false }, size: 52, space: 28, values: (_, splits) => splits.map((value) => (value === null ? "" : number(value))) },
  ];
}

/** Times below the lowest chart: the day where it changes, else the clock. */
function clock(plot, splits) {
  const step = splits.length > 1 ? splits[1] - splits[0] : 1;
  let day = "";
  return splits.map((seconds) => {
    const words = timeText(seconds * 1e6).split(" ");
    const hours = words.pop();
    const date = words.slice(0, 2).join(" ");
    const text = step < 60 ? hours : hours.slice(0, 5);
    const isNew = date !== day && day !== "";
    day = date;
    if (step >= 86_400) return date;
    return isNew ? date : text;
  });
}

function series(line, paint) {
  const kinds = {
    line: { stroke: paint.accent, width: 1.5, points: { show: false } },
    limit: { stroke: paint.muted, width: 1, dash: [5, 4], points: { show: false }, paths: uPlot.paths.stepped({ align: -1 }) },
    anomaly: { stroke: paint.bad, fill: paint.bad, paths: () => null, points: { show: true, size: 6, fill: paint.bad, stroke: paint.bad } },
    severity: { stroke: paint.warn, width: 1.5, points: { show: false } },
  };
  return kinds[line.kind];
}
