// A live stream that comes back by itself. A browser retries an EventSource that lost its connection,
// and gives one up for good that was answered with anything but 200: then a new one is made here. Without an
// event seen there is no position to go on from: whoever listens looks into the database at each "open".

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30_000;
const HIDDEN_FOR = 30_000;

export class Stream {
  #path;
  #hears;
  #source = null;
  #lastId = "";
  #failures = 0;
  #opened = false;
  #retry = 0;
  #sleep = 0;
  #ended = new AbortController();

  // hears: row(text); gap(), when Kafka no longer has what was missed; state("connecting" | "open" | "reconnecting" | "asleep")
  constructor(path, hears) {
    this.#path = path;
    this.#hears = hears;
    document.addEventListener("visibilitychange", () => this.#seen(), { signal: this.#ended.signal });
    this.#connect();
  }

  close() {
    this.#ended.abort();
    clearTimeout(this.#retry);
    clearTimeout(this.#sleep);
    this.#source?.close();
  }

  #connect() {
    clearTimeout(this.#retry);
    const query = this.#lastId ? `?last_event_id=${encodeURIComponent(this.#lastId)}` : "";
    this.#hears.state(this.#opened ? "reconnecting" : "connecting");
    const source = new EventSource(this.#path + query);
    this.#source = source;
    source.onopen = () => this.#open();
    source.onmessage = (event) => {
      this.#lastId = event.lastEventId;
      this.#hears.row(event.data);
    };
    source.addEventListener("gap", (event) => {
      this.#lastId = event.lastEventId;
      this.#hears.gap();
    });
    source.onerror = () => this.#failed(source);
  }

  #open() {
    this.#opened = true;
    this.#failures = 0;
    this.#hears.state("open");
  }

  #failed(source) {
    if (this.#ended.signal.aborted || source !== this.#source) return;
    this.#hears.state("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  // Browsers open few connections to one host: a tab that nobody sees leaves its own to others. It does not
  // go on from where it was, which may be hours ago: whoever listens looks into the database.
  #seen() {
    clearTimeout(this.#sleep);
    if (!document.hidden) {
      if (!this.#source || this.#source.readyState === EventSource.CLOSED) this.#connect();
      return;
    }
    this.#sleep = setTimeout(() => {
      clearTimeout(this.#retry);
      this.#source?.close();
      this.#source = null;
      this.#lastId = "";
      this.#hears.state("asleep");
    }, HIDDEN_FOR);
  }
}
