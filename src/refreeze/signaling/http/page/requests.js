/** Requests to a session's resource, and its event stream. */

/** Seconds for an answer: the daemon gives its session 5. */
const PATIENCE = 10;
/** Seconds without a word on the stream: the daemon says something every 15. */
const SILENCE = 40;
const LONGEST_RETRY = 60;
const MAX_EVENT = 256 * 1024;

/** What the daemon answered when it did not do what it was asked for. */
export class HttpProblem extends Error {
  constructor(status, detail, retryAfter) {
    super(`${status}: ${detail}`);
    this.name = 'HttpProblem';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Events of a text/event-stream, fed piece by piece (HTML section 9.2.6). */
export class EventParser {
  /** @param {(kind: string, data: string) => void} onevent */
  constructor(onevent) {
    this.onevent = onevent;
    this.rest = '';
    this.kind = '';
    this.data = [];
  }

  /** Throws a RangeError for an event that is too long. */
  feed(text) {
    this.rest += text;
    // A CR at the end may be half of a line's end.
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
    const waiting = this.data.reduce((sum, each) => sum + each.length, this.rest.length);
    if (waiting > MAX_EVENT) throw new RangeError('an event is too long');
  }

  line(line) {
    if (line === '') {
      if (this.data.length) this.onevent(this.kind || 'message', this.data.join('\n'));
      this.kind = '';
      this.data = [];
      return;
    }
    const [, name, value] = line.match(/^([^:]*):? ?(.*)$/s);
    if (name === 'event') this.kind = value;
    else if (name === 'data') this.data.push(value);
  }
}

async function problemOf(response) {
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail || detail;
  } catch {
    // No problem body: somebody between us and the daemon.
  }
  const after = Number(response.headers.get('Retry-After')) || 0;
  return new HttpProblem(response.status, detail, Math.min(after, LONGEST_RETRY));
}

/** The daemon's resource of one session, from the POST on; all of its requests end with it. */
export class Resource {
  constructor(url, token) {
    this.url = url;
    this.token = token;
    this.flights = new Set();
  }

  /** A whole response; an HttpProblem, or what `fetch` says when there is none. */
  async ask(method, path, headers, body) {
    const flight = this.begin(PATIENCE);
    try {
      const response = await this.fetch(method, path, headers, {body, signal: flight.signal});
      return {headers: response.headers, text: await response.text()};
    } finally {
      flight.end();
    }
  }

  /** The event stream, until it ends; *opened* is called when it is there. */
  async listen(opened, onevent) {
    const flight = this.begin(PATIENCE);
    try {
      const options = {signal: flight.signal, cache: 'no-store'};
      const response = await this.fetch('GET', '/events', {Accept: 'text/event-stream'}, options);
      opened();
      const parser = new EventParser((kind, data) => onevent(kind, JSON.parse(data)));
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        flight.wait(SILENCE);
        const {done, value} = await reader.read();
        if (done) return;
        parser.feed(decoder.decode(value, {stream: true}));
      }
    } finally {
      flight.end();
    }
  }

  /** A client that goes: nobody waits for the response, and the page may be gone by then. */
  leave() {
    this.abort();
    this.fetch('DELETE', '', {}, {keepalive: true}).catch(() => {});
  }

  abort() {
    for (const flight of this.flights) flight.abort();
  }

  begin(seconds) {
    const controller = new AbortController();
    let timer = null;
    const flight = {
      signal: controller.signal,
      abort: () => controller.abort(),
      wait: (more) => {
        clearTimeout(timer);
        timer = setTimeout(() => controller.abort(), more * 1000);
      },
      end: () => {
        clearTimeout(timer);
        this.flights.delete(flight);
        controller.abort();
      },
    };
    this.flights.add(flight);
    flight.wait(seconds);
    return flight;
  }

  async fetch(method, path, headers, options) {
    const all = this.token ? {...headers, Authorization: `Bearer ${this.token}`} : headers;
    const response = await fetch(this.url + path, {...options, method, headers: all});
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}
