// The last minutes of the overview, for small lines beside its numbers. Kept over a reload.

const KEPT = 300;
const STORE_EVERY = 10;

export class Ticks extends EventTarget {
  /** Overviews, oldest first, one a second. */
  rows = [];

  constructor(stream) {
    super();
    try {
      const rows = JSON.parse(sessionStorage.getItem("tidegauge.ticks") ?? "[]");
      const from = Date.now() * 1000 - KEPT * 1e6;
      if (Array.isArray(rows)) this.rows = rows.filter((row) => row.now_us > from);
    } catch {
      // Without them the lines begin now.
    }
    let heard = 0;
    stream.addEventListener("overview", (event) => {
      this.rows.push(event.detail);
      if (this.rows.length > KEPT) this.rows.shift();
      heard += 1;
      if (heard % STORE_EVERY === 0) this.#store();
      this.dispatchEvent(new Event("tick"));
    });
  }

  #store() {
    try {
      sessionStorage.setItem("tidegauge.ticks", JSON.stringify(this.rows));
    } catch {
      // No room: the lines begin anew after a reload.
    }
  }
}
