// Pieces that several views are made of.

import { h, put } from "./dom.js";
import { fixed, keyText, number, sensorLink, time, verdict } from "./format.js";

/** The head of a view. */
export function heading(text, ...more) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, text), ...more);
}

/** What went wrong, and a way to try again. */
export function failure(what, error, retry) {
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, `Could not load ${what}. `), error.message),
    retry && h("button", { type: "button", on: { click: retry } }, "Try again"),
  );
}

/** There is nothing, and why. */
export function empty(text, ...more) {
  return h("p", { class: "empty" }, text, ...more);
}

/** Something is on its way. */
export function loading(text = "Loading…") {
  return h("p", { class: "loading", role: "status" }, text);
}

/** Loads into a place: shows that it does, what came, or why nothing did. Answers whether it worked. */
export async function load(place, what, signal, ask, draw) {
  const wait = setTimeout(() => put(place, loading()), 150);
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await ask();
    if (signal.aborted) return false;
    clearTimeout(wait);
    put(place, draw(answer));
    return true;
  } catch (error) {
    clearTimeout(wait);
    if (signal.aborted) return false;
    put(place, failure(what, error, () => load(place, what, signal, ask, draw)));
    return false;
  } finally {
    clearTimeout(wait);
    place.removeAttribute("aria-busy");
  }
}

/** A table. `columns` are [head, class] or head; cells are nodes or texts. */
export function table(caption, columns, rows, { wide = true, id = null } = {}) {
  const heads = columns.map((column) => (Array.isArray(column) ? column : [column, ""]));
  const body = h("tbody", {}, rows.map((cells) => row(heads, cells)));
  const made = h(
    "table",
    { id },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads.map(([head, tone]) => h("th", { scope: "col", class: tone }, head)))),
    body,
  );
  // What is wider than a phone scrolls by itself, by keyboard too.
  const place = h("div", { class: wide ? "scrolls" : "", tabindex: wide ? "0" : null, role: wide ? "region" : null, "aria-label": wide ? caption : null }, made);
  return { place, body, add: (cells, where = "append") => body[where](row(heads, cells)) };
}

function row(heads, cells) {
  return h("tr", {}, cells.map((cell, i) => h("td", { class: heads[i][1] }, cell)));
}

/** A word with a colour and a shape: never the colour alone. */
export function chip(text, tone) {
  return h("span", { class: `chip ${tone}` }, text);
}

/** A window's verdict. */
export function verdictChip(row) {
  const { text, tone } = verdict(row);
  return chip(text, tone);
}

// Severities beyond this fill the meter: one in a hundred thousand.
const SEVERITY_FULL = 5;

/** How severe, as a number and a bar. */
export function severity(value, isAnomaly = null) {
  if (value === null || value === undefined) return h("span", { class: "none" }, "–");
  const meter = h("span", { class: `meter ${level(value, isAnomaly)}`, "aria-hidden": "true" }, h("span", {}));
  meter.firstChild.style.setProperty("width", `${Math.min(Math.max(value / SEVERITY_FULL, 0), 1) * 100}%`);
  return h("span", { class: "severity", title: odds(value) }, meter, h("span", { class: "value" }, fixed(value, 2)));
}

/** The class of a severity. */
export function level(value, isAnomaly) {
  if (isAnomaly || value >= 3) return "high";
  return value >= 2 ? "middle" : "low";
}

function odds(value) {
  const one = 10 ** value;
  return `about one of ${one < 100 ? Number(one.toPrecision(2)) : Math.round(one).toLocaleString("en")} normal windows scores so high`;
}

/** The features that are to blame, with their values. */
export function reasons(list) {
  if (list.length === 0) return h("span", { class: "none" }, "–");
  return h(
    "span",
    { class: "reasons" },
    list.map((one) =>
      typeof one === "string"
        ? h("span", { class: "reason" }, one)
        : h("span", { class: "reason" }, one.feature, one.value === null ? null : h("b", {}, ` ${number(one.value)}`)),
    ),
  );
}

/** A sensor's name as a link to its page. */
export function sensorName(key, more = {}) {
  return h("a", { class: "key", href: sensorLink(key, more) }, keyText(key));
}

/** A sensor's page around a window: wide enough to see what was before. */
export function sensorAt(key, startUs, endUs) {
  const around = Math.max(1800e6, (endUs - startUs) * 2);
  return sensorName(key, { from: Math.round(startUs - around), to: Math.round(endUs + around) });
}

/** Terms and what they are. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([term, ...what]) => h("div", {}, h("dt", {}, term), h("dd", {}, what))));
}

/** A stretch of time. */
export function span(fromUs, toUs) {
  return h("span", {}, time(fromUs), " – ", time(toUs));
}

/** A switch between kinds of the same: links, one of them current. */
export function tabs(label, current, entries) {
  return h(
    "nav",
    { class: "tabs", "aria-label": label },
    entries.map(([id, text, href]) => h("a", { href, "aria-current": id === current ? "page" : null }, text)),
  );
}
