// What the server tells by itself: an overview each second, anomalies as they are committed. A lost
// connection is made anew, after longer and longer pauses.

const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;
// The server ends each stream from time to time, and is there again at once: nothing to speak of.
const UNSAID_MS = 2_500;
// The server speaks each second; a silence of this length is a dead connection that nobody closed.
const SILENCE_MS = 15_000;

/** Events: `overview` and `anomalies` with their data in `detail`, `state` when `state` changed, `resumed`
 * when something may have been missed. */
export class Stream extends EventTarget {
  state = "connecting";
  /** The newest overview. */
  overview = null;
  #source = null;
  #pause = PAUSE_MIN_MS;
  #timer = null;
  #watch = null;
  #doubt = null;
  #onLost;
  #wasLost = false;

  /** `onLost` is called at each failed attempt: it may find out that a key is needed. */
  constructor(onLost) {
    super();
    this.#onLost = onLost;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state === "lost") this.open();
    });
  }

  open() {
    this.#close();
    const source = new EventSource("api/v1/stream");
    this.#source = source;
    source.addEventListener("open", () => this.#heard());
    source.addEventListener("waiting", () => this.#heard());
    source.addEventListener("overview", (event) => {
      this.#heard();
      this.#tell("overview", event.data);
    });
    source.addEventListener("anomalies", (event) => {
      this.#heard();
      this.#tell("anomalies", event.data);
    });
    source.addEventListener("error", () => this.#lost());
    this.#listen();
  }

  #tell(name, text) {
    const detail = JSON.parse(text);
    if (name === "overview") this.overview = detail;
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #heard() {
    this.#pause = PAUSE_MIN_MS;
    this.#listen();
    clearTimeout(this.#doubt);
    this.#doubt = null;
    this.#be("live");
    if (this.#wasLost) {
      this.#wasLost = false;
      this.dispatchEvent(new Event("resumed"));
    }
  }

  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #lost() {
    this.#close();
    this.#wasLost = true;
    this.#doubt ??= setTimeout(() => this.#be("lost"), UNSAID_MS);
    this.#onLost();
    // Pages that lost the same server do not all come back at the same moment.
    const pause = this.#pause * (0.75 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, PAUSE_MAX_MS);
    this.#timer = setTimeout(() => this.open(), pause);
  }

  #close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#source?.close();
    this.#source = null;
  }

  #be(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
