// @ts-check
// Live streams for all tabs of a browser, each of them once: browsers open six connections to one host over HTTP/1.1,
// and six tabs with a stream each would leave none for anything else. It runs in a worker that the tabs share (shared.js).

/**
 * What a tab is told: that the stream is `open` (so that it reads the database), is connecting or waits for its turn,
 * that a row came, or that Kafka no longer has what was missed.
 * @typedef {{ state: "connecting" | "open" | "reconnecting" | "crowded" } | { row: string } | { gap: true }} Told
 */

/** @typedef {{ url: string, told: Told }} Message - of which stream */

/**
 * What a tab says: which stream it listens to, by its whole address; empty for none. Said again now and then.
 * @typedef {{ listen: string }} Said
 */

const MOST = 4; // streams at a time; beyond these, tabs are told now and then to read the database
const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30_000;
const LOOK = 5_000;
const SILENT = 30_000; // a tab that says nothing for so long was killed, or the machine slept

export class Hub {
  /** @type {Map<MessagePort, { url: string, at: number }>} */
  #tabs = new Map();
  /** @type {Map<string, Source>} */
  #sources = new Map();
  #looked = Date.now();

  constructor() {
    setInterval(() => this.#look(), LOOK);
  }

  /** @param {MessagePort} port - a tab's */
  add(port) {
    port.onmessage = ({ data }) => this.#listen(port, /** @type {Said} */ (data).listen);
  }

  /**
   * @param {MessagePort} port
   * @param {string} url
   */
  #listen(port, url) {
    const before = this.#tabs.get(port)?.url;
    if (url) this.#tabs.set(port, { url, at: Date.now() });
    else this.#tabs.delete(port);
    if (url === before) return;
    this.#settle();
    if (url) send(port, url, this.#sources.get(url)?.now ?? { state: "crowded" });
  }

  // Closes the streams that no tab shows any more, and opens those that tabs wait for, up to the limit.
  #settle() {
    const wanted = new Set([...this.#tabs.values()].map(({ url }) => url));
    for (const [url, source] of this.#sources) {
      if (wanted.has(url)) continue;
      source.close();
      this.#sources.delete(url);
    }
    for (const url of wanted) {
      if (this.#sources.size < MOST && !this.#sources.has(url))
        this.#sources.set(url, new Source(url, (told) => this.#tell(url, told)));
    }
  }

  /**
   * @param {string} url
   * @param {Told} told
   */
  #tell(url, told) {
    for (const [port, tab] of this.#tabs) if (tab.url === url) send(port, url, told);
  }

  #look() {
    const now = Date.now();
    const slept = now - this.#looked > SILENT;
    this.#looked = now;
    if (slept) {
      // The computer has slept. Catching up may mean hours of rows: the streams start at the end, and the tabs
      // read what they missed from the database.
      for (const source of this.#sources.values()) source.close();
      this.#sources.clear();
      for (const tab of this.#tabs.values()) tab.at = now;
    }
    for (const [port, { at }] of this.#tabs) if (now - at > SILENT) this.#tabs.delete(port);
    this.#settle();
    for (const [port, { url }] of this.#tabs) if (!this.#sources.has(url)) send(port, url, { state: "crowded" });
  }
}

/**
 * @param {MessagePort} port
 * @param {string} url
 * @param {Told} told
 */
const send = (port, url, told) => port.postMessage(/** @type {Message} */ ({ url, told }));

/** One stream. A browser tries an EventSource again that lost its connection; one that was refused is made again here. */
class Source {
  #url;
  #tell;
  /** @type {EventSource | null} */
  #source = null;
  #lastId = "";
  #failures = 0;
  #retry = 0;
  /** @type {Told} */
  now = { state: "connecting" };

  /**
   * @param {string} url
   * @param {(told: Told) => void} tell
   */
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
    this.#connect();
  }

  close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    const query = this.#lastId ? `?last_event_id=${encodeURIComponent(this.#lastId)}` : "";
    const source = new EventSource(this.#url + query);
    this.#source = source;
    source.onmessage = ({ data, lastEventId }) => {
      this.#lastId = lastEventId;
      this.#tell({ row: data });
    };
    // An event that only says how far the stream is: its data is of no use here. The first one says that the stream
    // is open: while Kafka is away, the answer is 200 and ends without one.
    source.addEventListener("position", ({ lastEventId }) => {
      this.#lastId = lastEventId;
      this.#failures = 0;
      if (!("state" in this.now && this.now.state === "open")) this.#is({ state: "open" });
    });
    source.addEventListener("gap", ({ lastEventId }) => {
      this.#lastId = lastEventId;
      this.#tell({ gap: true });
    });
    source.onerror = () => this.#failed(source);
  }

  /** @param {EventSource} source */
  #failed(source) {
    if (source !== this.#source) return;
    this.#is({ state: "reconnecting" });
    if (source.readyState !== EventSource.CLOSED) return;
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  /** @param {Told} told */
  #is(told) {
    this.now = told;
    this.#tell(told);
  }
}
