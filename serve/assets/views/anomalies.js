// Anomalous windows as they come, and those before.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { count, keyText, number, NONE, plural, sensorLink, time } from "../format.js";
import { chip, empty, failure, heading, load, reasons, sensorAt, severity, table, tabs } from "../parts.js";

export const title = "Anomalies";
const PAGE = 100;
/** More rows than this are dropped at the end, where one no longer looks. */
const ROWS_MAX = 1_000;
/** Screen readers hear of new ones at most this often. */
const ANNOUNCE_MS = 10_000;

export const TABS = [["anomalies", "Anomalous windows", "#/anomalies"], ["events", "Events", "#/events"]];

export function view({ root, params, signal, stream, info, announce, setParams }) {
  const list = h("div", { class: "card flush" });
  const fresh = h("div", { class: "fresh" });
  let key = params.getAll("key");
  put(
    root,
    heading("Anomalies", tabs("Kinds of anomalies", "anomalies", TABS)),
    keyFilter(info, key, (next) => {
      setParams(new URLSearchParams(next.map((part) => ["key", part])));
      key = next;
      feed.restart();
    }),
    fresh,
    list,
  );
  const feed = new Feed(list, fresh, { signal, announce, key: () => key });
  feed.restart();
  stream.addEventListener("anomalies", (event) => feed.add(event.detail), { signal });
  stream.addEventListener("resumed", () => feed.restart(), { signal });
}

class Feed {
  #list;
  #fresh;
  #options;
  #made = null;
  #waiting = [];
  #unsaid = 0;
  #saidAt = 0;
  #seen = new Set();

  constructor(list, fresh, options) {
    this.#list = list;
    this.#fresh = fresh;
    this.#options = options;
  }

  restart() {
    this.#waiting = [];
    this.#seen.clear();
    this.#made = null;
    put(this.#fresh);
    const key = this.#options.key();
    return load(this.#list, "anomalies", this.#options.signal, () => get("anomalies", { key, limit: PAGE }, this.#options.signal), (answer) => this.#draw(answer));
  }

  /** Those that were committed now. At the top of the page they are put in at once; else they wait for a
   * click, so that nothing moves under a reader's eyes. */
  add(rows) {
    const key = this.#options.key();
    const mine = rows.filter((row) => (key.length === 0 || keyText(row.key) === key.join("/")) && !this.#seen.has(id(row)));
    if (mine.length === 0 || this.#list.hasAttribute("aria-busy")) return;
    mine.forEach((row) => this.#seen.add(id(row)));
    this.#waiting.push(...mine);
    this.#say(mine.length);
    if (scrollY < 80 && !this.#list.contains(document.activeElement)) this.#release();
    else put(this.#fresh, h("button", { type: "button", class: "pill", on: { click: () => { this.#release(); window.scrollTo(0, 0); } } }, `Show ${plural(this.#waiting.length, "new anomaly", "new anomalies")}`));
  }

  #say(n) {
    this.#unsaid += n;
    const now = Date.now();
    if (now - this.#saidAt < ANNOUNCE_MS) return;
    this.#options.announce(plural(this.#unsaid, "new anomaly", "new anomalies"));
    this.#saidAt = now;
    this.#unsaid = 0;
  }

  #release() {
    if (this.#made === null) {
      this.restart();
      return;
    }
    for (const row of this.#waiting) this.#made.add(cells(row), "prepend");
    const body = this.#made.body;
    for (const row of [...body.children].slice(0, this.#waiting.length)) row.classList.add("new");
    while (body.children.length > ROWS_MAX) body.lastElementChild.remove();
    this.#waiting = [];
    put(this.#fresh);
  }

  #draw(answer) {
    answer.rows.forEach((row) => this.#seen.add(id(row)));
    if (answer.rows.length === 0) return empty("No anomalies. When one is committed it shows up here by itself.");
    this.#made = table("Anomalous windows, newest first", ["Window end", "Sensor", "Severity", ["Score", "n lesser"], ["Threshold", "n lesser"], "Reason and value", ["Set", "n lesser"], "Notes"], answer.rows.map(cells));
    const more = h("div", { class: "more" });
    this.#older(more, answer.next_before_us);
    return [this.#made.place, more];
  }

  #older(place, before) {
    if (before === null) return put(place);
    const ask = async (button) => {
      button.disabled = true;
      try {
        const answer = await get("anomalies", { key: this.#options.key(), before_us: before, limit: PAGE }, this.#options.signal);
        answer.rows.forEach((row) => this.#made.add(cells(row)));
        this.#older(place, answer.next_before_us);
        place.querySelector("button")?.focus();
      } catch (error) {
        if (!this.#options.signal.aborted) put(place, failure("older anomalies", error, () => this.#older(place, before)));
      }
    };
    return put(place, h("button", { type: "button", on: { click: (event) => ask(event.target) } }, "Show older"));
  }
}

/** A window and its revision: what comes twice, from the list and from the stream, is shown once. */
function id(row) {
  return `${JSON.stringify(row.key)} ${row.window_end_us} ${row.revision}`;
}

function cells(row) {
  return [
    time(row.window_end_us),
    sensorAt(row.key, row.window_start_us, row.window_end_us),
    severity(row.severity, true),
    number(row.score),
    number(row.threshold),
    reasons(row.reason),
    row.model_set === null ? NONE : String(row.model_set),
    [row.status === "fallback" && chip("fallback", "idle"), row.alarm && chip("alarm", "warn"), row.revision > 0 && chip(`revision ${count(row.revision)}`, "idle")],
  ];
}

/** A form for the key of one sensor: a field for each column. */
export function keyFilter(info, key, choose) {
  const inputs = info.key.map((column, i) => h("input", { type: "text", value: key[i] ?? "", autocomplete: "off", spellcheck: "false", inputmode: column.kind === "int64" ? "numeric" : null, name: column.name }));
  const submit = (event) => {
    event.preventDefault();
    const values = inputs.map((input) => input.value.trim());
    const missing = inputs.find((input) => input.value.trim() === "");
    if (missing && values.some(Boolean)) {
      missing.focus();
      return;
    }
    clear.hidden = !values.every(Boolean);
    choose(values.every(Boolean) ? values : []);
  };
  const clear = h("button", { type: "button", class: "quiet", hidden: key.length === 0, on: { click: () => {
    for (const input of inputs) input.value = "";
    clear.hidden = true;
    inputs[0].focus();
    choose([]);
  } } }, "Show all sensors");
  return h("form", { class: "tools", "aria-label": "One sensor only", on: { submit } },
    info.key.map((column, i) => h("label", { class: "field" }, h("span", {}, column.name), inputs[i])),
    h("button", { type: "submit" }, "Filter"), clear,
    key.length > 0 && h("a", { class: "aside", href: sensorLink(key) }, "Page of this sensor"));
}
