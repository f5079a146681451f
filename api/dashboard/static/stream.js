// A live stream that comes back by itself. A browser retries an EventSource that lost its connection,
// and gives one up for good that was answered with anything but 200: then a new one is made here. Without an
// event seen there is no position to go on from: whoever listens looks into the database at each "open".

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30_000;
const UNSEEN_FOR = 30_000;
const LOOK = 5_000;

export class Stream {
  #path;
  #hears;
  #source = null;
  #lastId = "";
  #failures = 0;
  #opened = false;
  #retry = 0;
  #watch = 0;
  #seenAt = Date.now(); // when somebody could last see the page
  #ended = new AbortController();

  // hears: row(text); gap(), when Kafka no longer has what was missed; state("connecting" | "open" | "reconnecting" | "asleep")
  constructor(path, hears) {
    this.#path = path;
    this.#hears = hears;
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

  #turned() {
    this.#look();
    if (!document.hidden && this.#source.readyState === EventSource.CLOSED) this.#connect();
  }

  // Browsers open few connections to one host: a tab that nobody sees leaves its own to others. Neither it nor
  // a machine that slept goes on from where it was, which may be hours ago: whoever listens looks into the database.
  #look() {
    if (this.#source && Date.now() - this.#seenAt > UNSEEN_FOR) this.#sleep();
    if (document.hidden) return;
    this.#seenAt = Date.now();
    if (!this.#source) this.#connect();
  }

  #sleep() {
    clearTimeout(this.#retry);
    this.#source.close();
    this.#source = null;
    this.#lastId = "";
    this.#hears.state("asleep");
  }
}
