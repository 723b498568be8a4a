// Messages that could not be read, with their bytes, and readings that came too late.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { bytes, count, NONE, plural, time } from "../format.js";
import { decode, hexView, textView } from "../hex.js";
import { chip, empty, heading, load, table, tabs } from "../parts.js";

export const title = "Rejects and late readings";
const FIRST = 100;
const MOST = 1_000;
const PREVIEW = 120;
const TABS = [["rejects", "Rejects", "#/rejects"], ["late", "Late readings", "#/rejects?show=late"]];

export function view({ root, params, signal, setTitle }) {
  const late = params.get("show") === "late";
  const list = h("div", { class: "card flush" });
  const reasons = h("div", { class: "reasons-bar" });
  setTitle(late ? "Late readings" : "Rejects");
  put(root, heading(late ? "Late readings" : "Rejects", tabs("Kinds of readings that are not in windows", late ? "late" : "rejects", TABS)), reasons, list);
  const show = (limit) => late
    ? load(list, "late readings", signal, () => get("late", { limit }, signal), (answer) => lateTable(answer, limit, show))
    : load(list, "rejects", signal, () => get("rejects", { limit }, signal), (answer) => {
      put(reasons, Object.entries(answer.reasons).sort((a, b) => b[1] - a[1]).map(([reason, n]) => chip(`${words(reason)} ${count(n)}`, "warn")));
      return rejectTable(answer, limit, show);
    });
  show(FIRST);
}

const words = (reason) => reason.replaceAll("_", " ");

function more(shown, limit, show) {
  if (shown < limit) return null;
  if (limit >= MOST) return h("p", { class: "note" }, `The newest ${count(MOST)}. tidegauge query has all of them.`);
  return h("div", { class: "more" }, h("button", { type: "button", on: { click: () => show(MOST) } }, "Show more"));
}

function rejectTable(answer, limit, show) {
  if (answer.rows.length === 0) return empty("Each message could be read.");
  const rows = answer.rows.map((row) => {
    const payload = row.payload_base64 === null ? null : decode(row.payload_base64);
    return [
      time(row.timestamp_us),
      h("code", {}, `${row.input}[${row.partition}]@${row.offset}`),
      chip(words(row.reason), "warn"),
      bytes(row.payload_base64 === null ? null : row.payload_bytes),
      payload === null ? h("span", { class: "none" }, "no payload") : content(row, payload),
    ];
  });
  return [table("Messages that could not be read, newest first", ["Arrived", "Place", "Reason", ["Size", "n"], ["Bytes", "wide"]], rows).place, more(answer.rows.length, limit, show)];
}

/** The beginning as text; opened, all that came of it as text and as bytes. */
function content(row, payload) {
  if (payload.length === 0) return h("span", { class: "none" }, "empty");
  const place = h("div", { class: "payload" });
  const fill = () => {
    if (place.hasChildNodes()) return;
    const cut = payload.length < row.payload_bytes ? h("p", { class: "note" }, `The first ${bytes(payload.length)} of ${bytes(row.payload_bytes)}.`) : null;
    put(place, cut,
      h("h3", {}, "As text"), h("pre", { class: "text", tabindex: "0", role: "region", "aria-label": "Bytes as text" }, textView(payload)),
      h("h3", {}, "As bytes"), h("pre", { class: "hex", tabindex: "0", role: "region", "aria-label": "Bytes in hexadecimal" }, hexView(payload)));
  };
  return h("details", { class: "bytes", on: { toggle: (event) => { if (event.target.open) fill(); } } },
    h("summary", {}, h("code", {}, textView(payload.subarray(0, PREVIEW)), payload.length > PREVIEW ? "…" : null)), place);
}

function lateTable(answer, limit, show) {
  if (answer.rows.length === 0) return empty("No late readings are kept: none came, or the configuration drops them.");
  const rows = answer.rows.map((row) => row.map((cell) => (cell === null ? h("span", { class: "none" }, NONE) : cell)));
  return [h("p", { class: "note inset" }, plural(answer.rows.length, "reading")), table("Late readings, newest commit first", answer.columns, rows).place, more(answer.rows.length, limit, show)];
}
