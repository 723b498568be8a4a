// Lanes at their newest record, and the ledger of one of them.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { ago, count, duration, NONE, plural, short, time } from "../format.js";
import { chip, empty, failure, heading, load, table } from "../parts.js";

export const title = "Lanes and ledger";
const PAGE = 50;
const REFRESH_MS = 5_000;

export function view({ root, params, signal, stream, setParams }) {
  const lanes = h("div", { class: "card flush" });
  const head = h("h2", { id: "commits-head" }, "Commits");
  const commits = h("div", {});
  put(root, heading("Lanes and ledger"), lanes, h("section", { class: "card flush", "aria-labelledby": "commits-head" }, h("div", { class: "card-head" }, head), commits));
  let lane = params.get("lane");

  const choose = (name) => {
    lane = name;
    setParams(new URLSearchParams({ lane: name }));
    for (const button of lanes.querySelectorAll("button.lane")) button.setAttribute("aria-pressed", String(button.value === name));
    showCommits();
  };
  const showCommits = () => {
    put(head, `Commits of ${lane}`);
    return load(commits, `the commits of ${lane}`, signal, () => get("commits", { lane, limit: PAGE }, signal), (answer) => ledger(answer, lane, signal));
  };
  const ask = () => load(lanes, "lanes", signal, () => get("lanes", {}, signal), (answer) => {
    if (answer.lanes.length === 0) return empty("No lane has committed yet.");
    if (lane === null) {
      lane = answer.lanes[0].lane;
      showCommits();
    }
    return laneTable(answer.lanes, lane, choose, stream.overview?.now_us ?? Date.now() * 1000);
  });
  ask();
  if (lane !== null) showCommits();
  follow(lanes, stream, signal, ask);
}

function follow(place, stream, signal, ask) {
  let asked = Date.now();
  stream.addEventListener("overview", () => {
    if (Date.now() - asked < REFRESH_MS || document.hidden || place.contains(document.activeElement)) return;
    asked = Date.now();
    ask();
  }, { signal });
}

function laneTable(rows, lane, choose, nowUs) {
  const cells = rows.map((row) => [
    h("button", { type: "button", class: "lane key", value: row.lane, "aria-pressed": String(row.lane === lane), title: "Show its commits", on: { click: () => choose(row.lane) } }, row.lane),
    count(row.epoch),
    time(row.committed_at_us, ago(row.committed_at_us, nowUs)),
    row.watermark_us === null ? NONE : time(row.watermark_us),
    row.watermark_us === null ? NONE : duration((nowUs - row.watermark_us) / 1e6),
    positions(row.positions),
    count(row.open),
    short(row.messages),
    short(row.rows),
    attention(row.rejected),
    count(row.late),
    row.model_sets.join(", ") || NONE,
    h("code", { title: row.writer }, row.writer.slice(0, 8)),
  ]);
  return table("Lanes at their newest record",
    ["Lane", ["Epoch", "n"], "Committed", "Watermark", ["Behind", "n"], "Next offsets", ["Open", "n"], ["Messages", "n"], ["Windows", "n"], ["Rejects", "n"], ["Late", "n"], "Sets", "Writer"], cells).place;
}

function attention(n) {
  return n > 0 ? h("b", { class: "warn-text" }, count(n)) : "0";
}

function positions(map) {
  const entries = Object.entries(map);
  const text = ([name, offset]) => h("span", { class: "position" }, `${name} `, h("b", {}, count(offset)));
  if (entries.length <= 2) return entries.map(text);
  return h("details", {}, h("summary", {}, plural(entries.length, "partition")), entries.map(text));
}

function ledger(answer, lane, signal) {
  if (answer.rows.length === 0) return empty("The ledger has no records of this lane any more.");
  const made = table(`Commits of ${lane}, newest first`,
    [["Epoch", "n"], "Kind", "Committed", "Consumed", ["Messages", "n"], ["Windows", "n"], ["Rejects", "n"], ["Late", "n"], "Watermark", "Files"], answer.rows.map(commitCells));
  const more = h("div", { class: "more" });
  older(more, made, answer.next_before_epoch);
  return [made.place, more];

  function older(place, made, before) {
    if (before === null) return put(place);
    const ask = async (button) => {
      button.disabled = true;
      try {
        const next = await get("commits", { lane, before_epoch: before, limit: PAGE }, signal);
        next.rows.forEach((row) => made.add(commitCells(row)));
        older(place, made, next.next_before_epoch);
        place.querySelector("button")?.focus();
      } catch (error) {
        if (!signal.aborted) put(place, failure("older commits", error, () => older(place, made, before)));
      }
    };
    return put(place, h("button", { type: "button", on: { click: (event) => ask(event.target) } }, "Show older"));
  }
}

function commitCells(row) {
  return [
    count(row.epoch),
    row.kind === "open" ? chip("opening", "idle") : row.kind,
    time(row.committed_at_us),
    h("code", {}, row.consumed || NONE),
    count(row.messages),
    count(row.rows),
    attention(row.rejected),
    count(row.late),
    time(row.watermark_us),
    files(row.files),
  ];
}

function files(list) {
  if (list.length === 0) return NONE;
  return h("details", {}, h("summary", {}, plural(list.length, "file")),
    h("ul", { class: "files" }, list.map(([path, rows]) => h("li", {}, h("code", {}, path), ` ${plural(rows, "row")}`))));
}
