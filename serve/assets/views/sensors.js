// All sensors with their newest window.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { count, fixed, keyText, number, sensorLink, time } from "../format.js";
import { Grid } from "../grid.js";
import { failure, heading, severity, verdictChip } from "../parts.js";

export const title = "Sensors";
/** It is shown before it is known what lake this is. */
export const needsInfo = false;
const SEARCH_AFTER_MS = 150;
const REFRESH_MS = 5_000;

/** `sort` is the API's word; `first` the order that one wants to see first. */
const COLUMNS = [
  { id: "key", name: "Sensor", class: "c-key", sort: "key", first: "asc", cell: (row) => h("a", { class: "key", href: sensorLink(row.key), tabindex: "-1" }, keyText(row.key)) },
  { id: "state", name: "State", class: "c-state", cell: (row) => verdictChip(row) },
  { id: "severity", name: "Severity", class: "c-severity", sort: "severity", first: "desc", cell: (row) => severity(row.severity, row.is_anomaly) },
  { id: "score", name: "Score", class: "c-score n", sort: "score", first: "desc", cell: (row) => fixed(row.score, 3) },
  { id: "threshold", name: "Threshold", class: "c-threshold n", cell: (row) => number(row.threshold) },
  { id: "anomalies", name: "Anomalies in 1 h", class: "c-anomalies n", sort: "anomalies", first: "desc", cell: (row) => (row.anomalies === 0 ? "0" : h("b", {}, count(row.anomalies))) },
  { id: "window_end", name: "Newest window", class: "c-end", sort: "window_end", first: "desc", cell: (row) => time(row.window_end_us) },
];

export function view({ root, params, signal, stream, setParams, announce }) {
  const state = {
    search: params.get("search") ?? "",
    only: params.get("only") === "anomalous",
    sort: COLUMNS.some((column) => column.sort && column.id === params.get("sort")) ? params.get("sort") : "severity",
    order: params.get("order") === "asc" ? "asc" : "desc",
  };
  const summary = h("p", { class: "summary", role: "status" });
  const trouble = h("div");
  const search = h("input", { type: "search", id: "search", placeholder: "Search by key", value: state.search, autocomplete: "off", spellcheck: "false" });
  const only = h("input", { type: "checkbox", id: "only" });
  only.checked = state.only;

  const grid = new Grid("List of sensors", COLUMNS, {
    signal,
    ask: (offset, limit) => get("sensors", { search: state.search, only: state.only ? "anomalous" : null, sort: state.sort, order: state.order, offset, limit }, signal),
    open: (row) => { location.hash = sensorLink(row.key); },
    onSort: (id) => sortBy(id),
    onFailure: (error) => put(trouble, failure("sensors", error, () => { put(trouble); grid.refresh(); })),
    onAnswer: (answer) => {
      put(trouble);
      const of = answer.matching === answer.total ? "" : ` of ${count(answer.total)}`;
      put(summary, h("b", {}, count(answer.matching)), `${of} sensors`, answer.as_of_us === null ? null : [h("span", { class: "as-of" }, ", newest window ", time(answer.as_of_us))]);
    },
  });

  const restart = () => {
    const next = new URLSearchParams();
    if (state.search) next.set("search", state.search);
    if (state.only) next.set("only", "anomalous");
    if (state.sort !== "severity" || state.order !== "desc") {
      next.set("sort", state.sort);
      next.set("order", state.order);
    }
    setParams(next);
    grid.sorted(state.sort, state.order);
    return grid.restart();
  };
  const sortBy = (id) => {
    const column = COLUMNS.find((one) => one.id === id);
    state.order = state.sort === id ? (state.order === "asc" ? "desc" : "asc") : column.first;
    state.sort = id;
    restart().then(() => announce(`Sorted by ${column.name}, ${state.order === "asc" ? "ascending" : "descending"}`));
  };

  let typing = null;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      state.search = search.value.trim();
      restart();
    }, SEARCH_AFTER_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    grid.focus();
  });
  only.addEventListener("change", () => {
    state.only = only.checked;
    restart();
  });

  put(
    root,
    heading("Sensors", summary),
    h("div", { class: "tools", role: "search" },
      h("label", { class: "field grow" }, h("span", { class: "unseen" }, "Search sensors"), search),
      h("label", { class: "check" }, only, "Only anomalous now"),
      h("label", { class: "field phone-only" }, h("span", { class: "unseen" }, "Sort by"), sortChoice(state, (id) => sortBy(id)))),
    trouble,
    grid.element,
  );
  restart();
  keepFresh(grid, stream, signal);
}

/** On a phone there is no room for all heads. */
function sortChoice(state, choose) {
  return h("select", { on: { change: (event) => choose(event.target.value) } },
    COLUMNS.filter((column) => column.sort).map((column) => h("option", { value: column.id, selected: column.id === state.sort }, column.name)));
}

/** Asks again when there are new windows, but not more often than a person can follow. */
function keepFresh(grid, stream, signal) {
  let asked = Date.now();
  let newest = stream.overview?.newest_window_us ?? null;
  stream.addEventListener("overview", (event) => {
    if (event.detail.newest_window_us === newest || Date.now() - asked < REFRESH_MS || document.hidden) return;
    newest = event.detail.newest_window_us;
    asked = Date.now();
    grid.refresh();
  }, { signal });
}
