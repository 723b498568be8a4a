// Numbers, times, keys as people read them.

import { h } from "./dom.js";
import { settings } from "./settings.js";

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const NONE = "–";

/** A whole number with its thousands apart. */
export function count(value) {
  return value === null || value === undefined ? NONE : GROUPED.format(value);
}

/** A large number in few characters. */
export function short(value) {
  if (value === null || value === undefined) return NONE;
  return Math.abs(value) < 100_000 ? GROUPED.format(value) : COMPACT.format(value);
}

/** A measured number: enough digits to tell it from its neighbours. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return GROUPED.format(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return String(Number(value.toPrecision(5)));
}

/** A number with so many digits after the point, for columns. */
export function fixed(value, digits) {
  return value === null || value === undefined || !Number.isFinite(value) ? NONE : value.toFixed(digits);
}

/** A rate: whole above ten. */
export function rate(value) {
  if (value === null || value === undefined) return NONE;
  return value >= 10 || value === 0 ? short(Math.round(value)) : value.toFixed(1);
}

/** Bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** A share as a percentage. */
export function percent(share) {
  return share === null || share === undefined ? NONE : `${Number((share * 100).toPrecision(3))} %`;
}

/** A length of time in its largest fitting unit. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const sign = seconds < 0 ? "-" : "";
  const size = Math.abs(seconds);
  if (size < 10) return `${sign}${Number(size.toFixed(1))} s`;
  if (size < 120) return `${sign}${Math.round(size)} s`;
  if (size < 7200) return `${sign}${Math.round(size / 60)} min`;
  if (size < 172_800) return `${sign}${Number((size / 3600).toFixed(1))} h`;
  return `${sign}${Number((size / 86_400).toFixed(1))} d`;
}

/** How long ago something was. */
export function ago(us, nowUs) {
  if (us === null || us === undefined) return "never";
  const seconds = (nowUs - us) / 1e6;
  return seconds < 1 ? "now" : `${duration(seconds)} ago`;
}

const two = (value) => String(value).padStart(2, "0");

/** A time as text, in the zone that was chosen. The year stands there when it is not this one. */
export function timeText(us, nowMs = Date.now()) {
  if (us === null || us === undefined) return NONE;
  const date = new Date(us / 1000);
  if (Number.isNaN(date.getTime())) return NONE;
  const utc = settings.zone === "utc";
  const get = (part) => (utc ? date[`getUTC${part}`]() : date[`get${part}`]());
  const year = get("FullYear") === new Date(nowMs).getUTCFullYear() ? "" : ` ${get("FullYear")}`;
  // Ends of windows may have milliseconds; what a clock measured has microseconds, which nobody reads.
  const ms = us % 1000 === 0 ? Math.floor((((us % 1e6) + 1e6) % 1e6) / 1000) : 0;
  const fraction = ms === 0 ? "" : `.${String(ms).padStart(3, "0")}`;
  const clock = `${two(get("Hours"))}:${two(get("Minutes"))}:${two(get("Seconds"))}${fraction}`;
  return `${get("Date")} ${MONTHS[get("Month")]}${year} ${clock}`;
}

/** A time as an element; its title has it in UTC. */
export function time(us, text = timeText(us)) {
  if (us === null || us === undefined) return h("span", { class: "none" }, NONE);
  const date = new Date(us / 1000);
  if (Number.isNaN(date.getTime())) return h("span", { class: "none" }, NONE);
  const iso = date.toISOString();
  return h("time", { datetime: iso, title: `${iso.replace("T", " ").replace("Z", "")} UTC` }, text);
}

/** A sensor's name as people write it: the parts of its key with `/` between them. */
export function keyText(key) {
  return key.map(String).join("/");
}

/** Where a sensor's page is. */
export function sensorLink(key, more = {}) {
  const params = new URLSearchParams(key.map((part) => ["key", String(part)]));
  for (const [name, value] of Object.entries(more)) params.set(name, value);
  return `#/sensor?${params}`;
}

const STATUS = {
  ok: "normal",
  fallback: "normal, by fallback",
  no_model: "no model",
  too_few_readings: "too few readings",
  invalid_features: "invalid features",
  warming_up: "warming up",
};

/** What is to be said of a window in a word or two, and how it is coloured. */
export function verdict(row) {
  if (row.is_anomaly) return { text: row.status === "fallback" ? "anomaly, by fallback" : "anomaly", tone: "bad" };
  if (row.is_anomaly === false) return { text: STATUS[row.status] ?? row.status, tone: "good" };
  return { text: STATUS[row.status] ?? row.status, tone: "idle" };
}

/** One row of something, or several. */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
