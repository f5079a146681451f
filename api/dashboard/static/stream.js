// @ts-check
// A live stream that reconnects. A browser retries an EventSource that lost its connection, but closes one that was
// answered with anything but 200: then a new one is made here. Before the first event there is no position to go on
// from, so the listener reads the database at each "open".

/** @typedef {"connecting" | "open" | "reconnecting" | "asleep" | "none"} State */

/**
 * @typedef {object} Listener
 * @property {(text: string) => void} row - a row arrived
 * @property {() => void} gap - Kafka no longer has what was missed
 * @property {(state: State) => void} state
 */

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30_000;
const UNSEEN_FOR = 30_000;
const LOOK = 5_000;

export class Stream {
  #path;
  #listener;
  /** @type {EventSource | null} */
  #source = null;
  #lastId = "";
  #failures = 0;
  #opened = false;
  #retry = 0;
  #watch = 0;
  #seenAt = Date.now(); // when the page was last visible
  #ended = new AbortController();

  /**
   * @param {string} path
   * @param {Listener} listener
   */
  constructor(path, listener) {
    this.#path = path;
    this.#listener = listener;
    document.addEventListener("visibilitychange", () => this.#turned(), { signal: this.#ended.signal });
    this.#watch = setInterval(() => this.#look(), LOOK);
    this.#connect();
  }

  close() {
    this.#ended.abort();
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    this.#source?.close();
  }

  #connect() {
    clearTimeout(this.#retry);
    const query = this.#lastId ? `?last_event_id=${encodeURIComponent(this.#lastId)}` : "";
    this.#listener.state(this.#opened ? "reconnecting" : "connecting");
    const source = new EventSource(this.#path + query);
    this.#source = source;
    source.onopen = () => this.#open();
    source.onmessage = (event) => {
      this.#lastId = event.lastEventId;
      this.#listener.row(event.data);
    };
    source.addEventListener("gap", (event) => {
      this.#lastId = event.lastEventId;
      this.#listener.gap();
    });
    source.onerror = () => this.#failed(source);
  }

  #open() {
    this.#opened = true;
    this.#failures = 0;
    this.#listener.state("open");
  }

  /** @param {EventSource} source */
  #failed(source) {
    if (this.#ended.signal.aborted || source !== this.#source) return;
    this.#listener.state("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  #turned() {
    this.#look();
    if (!document.hidden && this.#source?.readyState === EventSource.CLOSED) this.#connect();
  }

  // Browsers open few connections to one host (six over HTTP/1.1), so a hidden tab closes its own. Neither it nor a
  // machine that slept goes on from where it was, which may be hours ago: the listener reads the database.
  #look() {
    if (this.#source && Date.now() - this.#seenAt > UNSEEN_FOR) this.#sleep();
    if (document.hidden) return;
    this.#seenAt = Date.now();
    if (!this.#source) this.#connect();
  }

  #sleep() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
    this.#lastId = "";
    this.#listener.state("asleep");
  }
}
