// A small line without axes: how a number went in the last minutes.

import { s } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;

/** An SVG and `draw(values)`; values that are null leave a gap. The line fills from the right. */
export function spark(kept = 300) {
  const line = s("path", { class: "line" });
  const area = s("path", { class: "area" });
  const svg = s("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
  return { svg, draw: (values) => draw(values, kept, line, area) };
}

function draw(values, kept, line, area) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length < 2) {
    for (const path of [line, area]) path.setAttribute("d", "");
    return;
  }
  let low = Math.min(...known);
  let high = Math.max(...known);
  // A number that stands still is a line in the middle, and noise of a thousandth is not drawn as a storm.
  const least = Math.max(Math.abs(high) * 0.02, 1e-9);
  if (high - low < least) {
    const middle = (high + low) / 2;
    low = middle - least / 2;
    high = middle + least / 2;
  }
  const shown = Math.max(values.length, Math.min(kept, 40));
  const step = WIDTH / (shown - 1);
  const x = (i) => WIDTH - (values.length - 1 - i) * step;
  const y = (value) => 3 + (HEIGHT - 6) * (1 - (value - low) / (high - low));
  let path = "";
  let pen = "M";
  let first = null;
  let last = null;
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    path += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    first ??= i;
    last = i;
  });
  line.setAttribute("d", path);
  area.setAttribute("d", `${path.replaceAll("M", "L").replace("L", "M")}L${x(last).toFixed(1)} ${HEIGHT}L${x(first).toFixed(1)} ${HEIGHT}Z`);
}
