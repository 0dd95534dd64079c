/**
 * A browser's end of a session of a refreeze daemon, over HTTP (RFC 9725) and server-sent events.
 *
 *     const link = new Refreeze({url: '/sessions/web'});
 *     link.addEventListener('state', () => console.log(link.state));
 *     await link.connect();
 *
 * The path is kept from both ends: the daemon's watchdog offers restarts over the event stream, and
 * this side restarts by itself when its own state is `failed`. When both do so at once, the daemon's
 * offer stands and ours is rolled back (perfect negotiation, with this side polite).
 *
 * No dependencies, no build step; nothing here needs a secure context.
 */

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const ICE = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates|remote-candidates)(:|$)/;
const BACK_OFF = [0.2, 0.5, 1, 2, 5];
const BUSY = new Set([409, 429, 503]);

/** What the daemon answered when it did not do what it was asked for. */
export class HttpProblem extends Error {
  constructor(status, detail, retryAfter) {
    super(`${status}: ${detail}`);
    this.name = 'HttpProblem';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// Descriptions and fragments

/** Lines without their ends. */
function linesOf(text) {
  return text.split(/\r?\n/).filter((line) => line);
}

/** Session lines, and the lines of every m= section. */
export function sectionsOf(sdp) {
  const found = [[]];
  for (const line of linesOf(sdp)) {
    if (line.startsWith('m=')) found.push([]);
    found.at(-1).push(line);
  }
  return {session: found[0], media: found.slice(1)};
}

function valueOf(lines, name) {
  const line = lines.find((each) => each.startsWith(`a=${name}:`));
  return line && line.slice(name.length + 3);
}

/** The section whose transport all use: the first of the BUNDLE group, or of all, that lives. */
function taggedOf({session, media}) {
  const group = valueOf(session, 'group');
  const mids = group && group.startsWith('BUNDLE ') ? group.split(' ').slice(1) : [];
  const named = mids.map((mid) => media.find((lines) => valueOf(lines, 'mid') === mid));
  const lives = (lines) => lines && !/^m=\S+ 0 /.test(lines[0]);
  return named.find(lives) || media.find(lives) || media[0];
}

/** The credentials of a description or a fragment. */
export function credentialsOf(text) {
  const parsed = sectionsOf(text);
  const levels = [taggedOf(parsed) || [], parsed.session, ...parsed.media];
  const find = (name) => levels.map((lines) => valueOf(lines, name)).find((value) => value);
  return {ufrag: find('ice-ufrag'), pwd: find('ice-pwd')};
}

/** A fragment with the ICE of the BUNDLE-tagged section (RFC 9725 section 4.3.3). */
export function fragmentOf(sdp, candidates = null) {
  const parsed = sectionsOf(sdp);
  const tagged = taggedOf(parsed);
  const {ufrag, pwd} = credentialsOf(sdp);
  const group = parsed.session.filter((line) => line.startsWith('a=group:BUNDLE'));
  const options = [...parsed.session, ...tagged].filter((line) => line.startsWith('a=ice-options:'));
  const own = tagged.filter((line) => /^a=(candidate:|end-of-candidates$)/.test(line));
  return [
    ...group,
    ...options.slice(0, 1),
    tagged[0],
    `a=mid:${valueOf(tagged, 'mid')}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...(candidates || own),
    '',
  ].join('\r\n');
}

/**
 * The daemon's last description as the answer to a restart: with the ICE of its fragment.
 *
 * What was an offer left the role in DTLS open; *local*, our answer to it, took one.
 */
export function answerOf(remote, fragment, local) {
  const parsed = sectionsOf(remote);
  const tagged = taggedOf(parsed);
  const {ufrag, pwd} = credentialsOf(fragment);
  const candidates = linesOf(fragment).filter((line) => /^a=(candidate:|end-of)/.test(line));
  const role = /^a=setup:passive/m.test(local) ? 'active' : 'passive';
  const rewritten = (lines) => {
    const kept = lines
      .filter((line) => !ICE.test(line))
      .map((line) => (line === 'a=setup:actpass' ? `a=setup:${role}` : line));
    if (lines !== tagged) return kept;
    return [...kept, `a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, ...candidates];
  };
  const all = [parsed.session, ...parsed.media].map(rewritten).flat();
  return all.map((line) => `${line}\r\n`).join('');
}

// The event stream

/** Events of a text/event-stream, fed piece by piece (HTML section 9.2.6). */
export class EventParser {
  constructor(onevent) {
    this.onevent = onevent;
    this.rest = '';
    this.kind = '';
    this.data = [];
  }

  feed(text) {
    this.rest += text;
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === '') {
      if (this.data.length) this.onevent(this.kind || 'message', this.data.join('\n'));
      this.kind = '';
      this.data = [];
      return;
    }
    const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
    if (name === 'event') this.kind = value;
    else if (name === 'data') this.data.push(value);
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * One session's connection.
 *
 * Events: `state` (see {@link Refreeze#state}), `pair` (detail: local and remote candidate),
 * `restart` (detail: `by` is `us`, `daemon` or `new` for a session anew; `why`; `outcome`),
 * `error` (detail: an Error), `gone` (detail: reason).
 */
export class Refreeze extends EventTarget {
  /**
   * @param {object} options
   * @param {string} options.url of the session, `/sessions/NAME`
   * @param {string} [options.token] bearer token
   * @param {RTCIceServer[]} [options.iceServers]
   * @param {string} [options.wildcard] If-Match of a restart: `*`, or `"*"` for servers that want it
   * @param {(pc: RTCPeerConnection) => void} [options.prepare] adds what is to be offered; without
   *   it a data channel, which only makes an m= section: the daemon has no SCTP
   */
  constructor({url, token = null, iceServers = [], wildcard = '*', prepare = null}) {
    super();
    Object.assign(this, {url, token, iceServers, wildcard, prepare});
    this.pc = null;
    this.pair = null;
    this.restarts = [];
    this.resource = null;
    this.etag = null;
    this.closed = false;
    this.life = 0;
    this.exchanges = Promise.resolve();
    this.waiting = [];
    this.requests = 0;
  }

  /** `new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`. */
  get state() {
    if (this.closed) return 'closed';
    return this.pc ? this.pc.connectionState : 'new';
  }

  /** Offer, and begin to listen; fails with an HttpProblem. */
  async connect() {
    this.closed = false;
    await this.begin();
  }

  /** Restart ICE: the path goes on meanwhile. */
  restart(why = 'asked') {
    if (!this.pc || this.closed) return;
    this.why = why;
    this.pc.restartIce();
  }

  /** End the session. */
  close() {
    if (this.closed) return;
    this.closed = true;
    this.life += 1;
    const {resource} = this;
    this.drop();
    if (resource) this.request('DELETE', resource, {keepalive: true}).catch(() => {});
    this.tell('state');
  }

  // One life: from an offer to the end of its resource

  async begin() {
    this.drop();
    const life = (this.life += 1);
    const pc = (this.pc = new RTCPeerConnection({iceServers: this.iceServers}));
    this.waiting = [];
    if (this.prepare) this.prepare(pc);
    else pc.createDataChannel('refreeze');
    const here = () => life === this.life && !this.closed;
    pc.onconnectionstatechange = () => here() && this.stateChanged();
    pc.oniceconnectionstatechange = () => {
      if (!here()) return;
      if (pc.iceConnectionState === 'failed') this.restart('failed');
      this.lookAtDtls();
    };
    pc.onicecandidate = ({candidate}) => here() && this.gathered(candidate);
    await pc.setLocalDescription();
    const response = await this.request('POST', this.url, {
      headers: {'Content-Type': SDP},
      body: pc.localDescription.sdp,
    });
    this.resource = new URL(response.headers.get('Location'), new URL(this.url, location.href)).href;
    if (!here()) {
      this.request('DELETE', this.resource).catch(() => {});
      return;
    }
    await pc.setRemoteDescription({type: 'answer', sdp: await response.text()});
    this.tagged(response);
    pc.onnegotiationneeded = () => here() && this.exchange(() => this.offerRestart());
    const selected = pc.sctp && pc.sctp.transport.iceTransport;
    if (selected) selected.onselectedcandidatepairchange = () => here() && this.showPair();
    this.listen(life);
  }

  drop() {
    if (this.stream) this.stream.abort();
    if (this.pc) this.pc.close();
    this.pc = this.stream = this.resource = this.etag = this.pair = null;
  }

  /** Another resource in the place of one that is gone. */
  async again(reason) {
    if (this.closed || !this.resource) return;
    this.resource = null;
    const entry = this.began('new', reason);
    for (let tries = 0; !this.closed; tries += 1) {
      try {
        await this.begin();
        this.ended(entry, 'connected');
        return;
      } catch (error) {
        this.fail(error);
        await pause(error.retryAfter || BACK_OFF[Math.min(tries, BACK_OFF.length - 1)]);
      }
    }
  }

  stateChanged() {
    this.tell('state');
    this.showPair();
    this.lookAtDtls();
  }

  /** No restart heals DTLS: Firefox gives it up when a restart's checks found no way in time. */
  lookAtDtls() {
    const dtls = this.pc.sctp && this.pc.sctp.transport;
    if (dtls && ['failed', 'closed'].includes(dtls.state)) this.again('DTLS is over');
  }

  async showPair() {
    const {pc} = this;
    if (!pc) return;
    const stats = await pc.getStats();
    let pair = null;
    for (const each of stats.values()) {
      if (each.type === 'transport' && each.selectedCandidatePairId) {
        pair = stats.get(each.selectedCandidatePairId);
      } else if (each.type === 'candidate-pair' && each.selected && !pair) {
        pair = each; // Firefox has no transport record
      }
    }
    if (!pair || pc !== this.pc || (this.pair && this.pair.id === pair.id)) return;
    const end = (id) => {
      const {address, port, candidateType: type} = stats.get(id) || {};
      return {address: address || '(hidden)', port, type};
    };
    this.pair = {id: pair.id, local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId)};
    this.tell('pair', this.pair);
  }

  // Candidates

  gathered(candidate) {
    const {pc} = this;
    if (candidate && candidate.candidate) {
      this.waiting.push({ufrag: candidate.usernameFragment, line: `a=${candidate.candidate}`});
    } else if (!candidate) {
      const {ufrag} = credentialsOf(pc.localDescription.sdp);
      this.waiting.push({ufrag, line: 'a=end-of-candidates'});
    }
    this.exchange(() => this.trickle());
  }

  /** What is new of the generation in force; the rest waits for its entity tag (rule of RFC 9725). */
  async trickle() {
    const {pc, waiting} = this;
    if (!waiting.length || !this.etag || pc.signalingState !== 'stable') return;
    const {ufrag} = credentialsOf(pc.localDescription.sdp);
    const due = waiting.filter((each) => each.ufrag === ufrag).map((each) => each.line);
    this.waiting = [];
    const body = due.length ? fragmentOf(pc.localDescription.sdp, due) : null;
    if (!body) return;
    const headers = {'Content-Type': FRAGMENT, 'If-Match': this.etag};
    try {
      await this.request('PATCH', this.resource, {headers, body});
    } catch (error) {
      if (error.status !== 412) this.fail(error); // 412: a restart made them old
    }
  }

  // Restarts

  /** Exchanges come one after the other. */
  exchange(work) {
    const {life} = this;
    const run = () => (life === this.life && !this.closed ? work() : null);
    this.exchanges = this.exchanges.then(run).catch((error) => this.fail(error));
    return this.exchanges;
  }

  /** Ours: a PATCH with the wildcard, whose response is the answer. */
  async offerRestart() {
    const {pc} = this;
    if (pc.signalingState !== 'stable') return;
    const entry = this.began('us', this.why || 'negotiation needed');
    this.why = null;
    await pc.setLocalDescription();
    try {
      const response = await this.request('PATCH', this.resource, {
        headers: {'Content-Type': FRAGMENT, 'If-Match': this.wildcard},
        body: fragmentOf(pc.localDescription.sdp),
      });
      const fragment = await response.text();
      const {currentLocalDescription: ours, currentRemoteDescription: theirs} = pc;
      const sdp = answerOf(theirs.sdp, fragment, ours.sdp);
      await pc.setRemoteDescription({type: 'answer', sdp});
      this.tagged(response);
      this.ended(entry, 'answered');
    } catch (error) {
      this.ended(entry, error.status === 409 ? 'the daemon offers itself' : String(error.message));
      if (pc.signalingState === 'have-local-offer') {
        await pc.setLocalDescription({type: 'rollback'});
      }
      // A rolled back restart is needed still: the browser asks for it again at once.
      if (error.status === 404) this.again('the resource is gone');
      else if (error.status !== 409) await pause(error.retryAfter || 1);
      if (!(error instanceof HttpProblem)) this.fail(error);
    }
  }

  /** The daemon's, on the stream: it stands, whatever we were about to do. */
  async takeOffer({id, sdp}) {
    const {pc} = this;
    const entry = this.began('daemon', pc.iceConnectionState);
    await pc.setRemoteDescription({type: 'offer', sdp});
    await pc.setLocalDescription();
    const answer = {type: 'answer', offer: id, sdp: pc.localDescription.sdp};
    try {
      const response = await this.request('POST', `${this.resource}/events`, {
        headers: {'Content-Type': 'application/json'},
        body: JSON.stringify(answer),
      });
      this.tagged(response);
      this.ended(entry, 'answered');
    } catch (error) {
      this.ended(entry, String(error.message));
      // We applied what the daemon gave up meanwhile: only new credentials bring us together.
      if (error.status === 404) this.again('the resource is gone');
      else this.restart('out of step');
    }
  }

  async takeCandidate(init) {
    try {
      await this.pc.addIceCandidate(init);
    } catch {
      // Of a generation that is over.
    }
  }

  // The stream

  async listen(life) {
    for (let tries = 0; life === this.life && !this.closed; tries += 1) {
      const stream = (this.stream = new AbortController());
      try {
        const response = await this.request('GET', `${this.resource}/events`, {
          headers: {Accept: 'text/event-stream'},
          signal: stream.signal,
          cache: 'no-store',
        });
        tries = 0;
        await this.read(response, life);
      } catch (error) {
        if (life !== this.life || this.closed) return;
        if (error.status === 404) {
          this.again('the resource is gone');
          return;
        }
        if (error instanceof HttpProblem && !BUSY.has(error.status)) this.fail(error);
      }
      await pause(BACK_OFF[Math.min(tries, BACK_OFF.length - 1)]);
    }
  }

  async read(response, life) {
    const parser = new EventParser((kind, data) => {
      if (life === this.life) this.heard(kind, JSON.parse(data));
    });
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, {stream: true}));
    }
  }

  heard(kind, data) {
    if (kind === 'offer') this.exchange(() => this.takeOffer(data));
    else if (kind === 'candidate') this.exchange(() => this.takeCandidate(data));
    else if (kind === 'restart-please') this.restart('the daemon asks for it');
    else if (kind === 'gone') this.tell('gone', data);
  }

  // Small change

  async request(method, url, options = {}) {
    const headers = {...options.headers};
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const response = await fetch(url, {...options, method, headers});
    if (response.ok) return response;
    let detail = response.statusText;
    try {
      ({detail} = await response.json());
    } catch {
      // No problem body: somebody between us and the daemon.
    }
    const after = Number(response.headers.get('Retry-After')) || 0;
    throw new HttpProblem(response.status, detail, after);
  }

  /** The ICE session has this entity tag from now on, and what was gathered for it can go. */
  tagged(response) {
    this.etag = response.headers.get('ETag') || this.etag;
    this.exchange(() => this.trickle());
  }

  began(by, why) {
    const entry = {at: new Date(), by, why, outcome: 'under way'};
    this.restarts.push(entry);
    this.tell('restart', entry);
    return entry;
  }

  ended(entry, outcome) {
    entry.outcome = outcome;
    this.tell('restart', entry);
  }

  fail(error) {
    this.tell('error', error);
  }

  tell(kind, detail = null) {
    this.dispatchEvent(new CustomEvent(kind, {detail}));
  }
}
