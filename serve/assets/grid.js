// A grid of very many rows, of which only those that are seen exist as elements.
//
// Rows come in pages from the server. Elements are recycled while one scrolls; a row that is not there yet
// is an empty one, and is asked for when scrolling slows down. For screen readers each row says which of how
// many it is, and the focus stays on the grid, which names its active row.

import { h, put } from "./dom.js";

const PAGE = 200;
const PAGES_KEPT = 60;
const SPARE = 6;
// Browsers draw nothing beyond some 17 to 33 million pixels; more rows than fit are scrolled through faster.
const HEIGHT_MAX = 12_000_000;
const SETTLE_MS = 60;

/** `columns`: {id, name, class, sort, cell(row)}; `ask(offset, limit)` answers {rows, matching};
 * `open(row)` on Enter and click; `onSort(id)`; `onFailure(error)`. */
export class Grid {
  #columns;
  #options;
  #scroller;
  #canvas;
  #pool = [];
  #pages = new Map();
  #asked = new Set();
  #total = 0;
  #active = 0;
  #version = 0;
  #frame = 0;
  #settle = null;
  #rowHeight = 36;

  constructor(label, columns, options) {
    this.#columns = columns;
    this.#options = options;
    this.#canvas = h("div", { class: "grid-canvas", role: "presentation" });
    this.#scroller = h("div", { class: "grid-body", role: "rowgroup" }, this.#canvas);
    this.heads = h("div", { class: "grid-row grid-head", role: "row", "aria-rowindex": "1" }, columns.map((column) => this.#head(column)));
    this.element = h(
      "div",
      { class: "grid", role: "grid", "aria-label": label, tabindex: "0", "aria-rowcount": "-1", "aria-colcount": String(columns.length) },
      h("div", { role: "rowgroup" }, this.heads),
      this.#scroller,
    );
    this.#scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("click", (event) => this.#click(event));
    this.#sizes = new ResizeObserver(() => this.#measure());
    this.#sizes.observe(this.#scroller);
    options.signal.addEventListener("abort", () => this.#sizes.disconnect());
  }

  #sizes;

  /** Forgets all rows and begins at the top. */
  async restart() {
    this.#active = 0;
    this.#scroller.scrollTop = 0;
    await this.refresh();
  }

  /** Asks anew for what is seen; rows stay until the new ones are there. */
  async refresh() {
    const version = ++this.#version;
    this.#asked.clear();
    const { first, last } = this.#seen();
    const from = Math.floor(first / PAGE);
    const to = Math.max(from, Math.floor(Math.max(last - 1, 0) / PAGE));
    const numbers = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    numbers.forEach((page) => this.#asked.add(page));
    try {
      const answers = await Promise.all(numbers.map((page) => this.#options.ask(page * PAGE, PAGE)));
      if (version !== this.#version) return;
      this.#pages.clear();
      numbers.forEach((page, i) => this.#keep(page, answers[i]));
      this.#draw();
    } catch (error) {
      if (version === this.#version && !this.#options.signal.aborted) this.#options.onFailure(error);
    }
  }

  /** Shows by which column rows are sorted. */
  sorted(id, order) {
    this.#columns.forEach((column, i) => {
      if (!column.sort) return;
      const is = column.id === id;
      this.heads.children[i].setAttribute("aria-sort", is ? (order === "asc" ? "ascending" : "descending") : "none");
    });
  }

  focus() {
    this.element.focus();
  }

  #head(column) {
    const name = column.sort
      ? h("button", { type: "button", class: "sort", on: { click: () => this.#options.onSort(column.id) } }, column.name)
      : column.name;
    return h("div", { class: `cell ${column.class ?? ""}`, role: "columnheader", "aria-sort": column.sort ? "none" : null }, name);
  }

  #keep(page, answer) {
    this.#pages.set(page, answer.rows);
    while (this.#pages.size > PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value);
    if (answer.matching !== this.#total || this.element.getAttribute("aria-rowcount") === "-1") {
      this.#total = answer.matching;
      this.element.setAttribute("aria-rowcount", String(this.#total + 1));
      this.#canvas.style.setProperty("height", `${this.#height()}px`);
    }
    this.#options.onAnswer?.(answer);
  }

  #height() {
    return Math.min(this.#total * this.#rowHeight, HEIGHT_MAX);
  }

  /** How many rows' pixels one pixel of scrolling stands for; 1 unless there are too many rows. */
  #scale() {
    const view = this.#scroller.clientHeight;
    const drawn = this.#height() - view;
    const real = this.#total * this.#rowHeight - view;
    return drawn > 0 && real > drawn ? real / drawn : 1;
  }

  #seen() {
    const top = this.#scroller.scrollTop * this.#scale();
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - SPARE);
    const last = Math.ceil((top + this.#scroller.clientHeight) / this.#rowHeight) + SPARE;
    return { top, first, last: this.#total ? Math.min(this.#total, last) : last };
  }

  #measure() {
    const height = parseFloat(getComputedStyle(this.#scroller).getPropertyValue("--row-height"));
    if (height > 0 && height !== this.#rowHeight) {
      this.#rowHeight = height;
      this.#canvas.style.setProperty("height", `${this.#height()}px`);
    }
    this.#draw();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.#fetchSeen(), SETTLE_MS);
  }

  #fetchSeen() {
    const { first, last } = this.#seen();
    const version = this.#version;
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (this.#pages.has(page) || this.#asked.has(page)) continue;
      this.#asked.add(page);
      this.#options.ask(page * PAGE, PAGE).then(
        (answer) => {
          if (version !== this.#version) return;
          this.#asked.delete(page);
          this.#keep(page, answer);
          this.#draw();
        },
        (error) => {
          if (version !== this.#version || this.#options.signal.aborted) return;
          this.#asked.delete(page);
          this.#options.onFailure(error);
        },
      );
    }
  }

  #row(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  #draw() {
    const { top, first, last } = this.#seen();
    const wanted = Math.max(0, Math.min(last, this.#total) - first);
    while (this.#pool.length < wanted) this.#pool.push(this.#slot());
    // A row keeps its element while it is seen: index modulo the size of the pool.
    const size = this.#pool.length;
    const shift = this.#scroller.scrollTop - top;
    for (let i = 0; i < size; i += 1) {
      const index = first + ((((i - first) % size) + size) % size);
      this.#fill(this.#pool[i], index < first + wanted ? index : -1, shift);
    }
    this.#point();
  }

  #slot() {
    const cells = this.#columns.map((column) => h("div", { class: `cell ${column.class ?? ""}`, role: "gridcell" }));
    const element = h("div", { class: "grid-row", role: "row", hidden: true }, cells);
    this.#canvas.append(element);
    return { element, cells, index: -1, row: undefined, y: null };
  }

  #fill(slot, index, shift) {
    const { element, cells } = slot;
    if (index < 0) {
      element.hidden = true;
      element.removeAttribute("id");
      slot.index = -1;
      return;
    }
    const y = index * this.#rowHeight + shift;
    if (slot.y !== y) {
      element.style.setProperty("transform", `translateY(${y}px)`);
      slot.y = y;
    }
    const row = this.#row(index);
    if (slot.index !== index) {
      element.hidden = false;
      element.id = `row-${index}`;
      element.setAttribute("aria-rowindex", String(index + 2));
    }
    element.classList.toggle("active", index === this.#active);
    element.setAttribute("aria-selected", String(index === this.#active));
    if (slot.index === index && slot.row === row) return;
    slot.index = index;
    slot.row = row;
    element.classList.toggle("waiting", row === undefined);
    this.#columns.forEach((column, i) => (row === undefined ? cells[i].replaceChildren() : put(cells[i], column.cell(row))));
  }

  #point() {
    const there = this.#pool.some((slot) => slot.index === this.#active);
    if (there) this.element.setAttribute("aria-activedescendant", `row-${this.#active}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (event.target !== this.element || event.altKey || event.ctrlKey || event.metaKey) return;
    const screen = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: screen, PageUp: -screen, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      this.#go(Math.max(0, Math.min(this.#total - 1, this.#active + steps[event.key])));
    } else if (event.key === "Enter") {
      const row = this.#row(this.#active);
      if (row) this.#options.open(row);
    }
  }

  #go(index) {
    this.#active = index;
    const view = this.#scroller.clientHeight;
    const scale = this.#scale();
    const top = this.#scroller.scrollTop * scale;
    const y = index * this.#rowHeight;
    let wanted = top;
    if (y < top) wanted = y;
    else if (y + this.#rowHeight > top + view) wanted = y + this.#rowHeight - view;
    if (wanted !== top) this.#scroller.scrollTop = wanted / scale;
    this.#draw();
    this.#soon();
  }

  #click(event) {
    const slot = this.#pool.find((one) => one.element.contains(event.target));
    // A link knows by itself where it leads, and in which tab.
    if (!slot?.row || event.target.closest("a")) return;
    this.#active = slot.index;
    this.#options.open(slot.row);
  }
}
