/**
 * A browser's end of a session of a refreeze daemon, over HTTP (RFC 9725) and server-sent events.
 *
 *     const link = new Refreeze({url: '/sessions/web'});
 *     link.addEventListener('state', () => console.log(link.state));
 *     await link.connect();
 *
 * The path is kept from both ends: the daemon's watchdog offers restarts over the event stream, and
 * this side restarts by itself when its own state is `failed`. When both do so at once, the offer
 * of the daemon stands and ours is rolled back (perfect negotiation, with this side polite). A
 * resource that is gone is followed by a new session.
 *
 * No dependencies, no build step; nothing here needs a secure context.
 */

import {HttpProblem, Resource} from './requests.js';
import {answerOf, credentialsOf, fragmentOf, linesOf} from './sdp.js';

export {HttpProblem};

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const JSON_TYPE = 'application/json';
const BACK_OFF = [0.2, 0.5, 1, 2, 5];
const BUSY = new Set([409, 429, 503]);
const MAX_RESTARTS = 100;
const LOOKS = [0, 0.1, 1, 3];

/** Both ends of the pair that carries the data, or null. */
function selectedPair(stats) {
  let pair = null;
  for (const each of stats.values()) {
    if (each.type === 'transport' && each.selectedCandidatePairId) {
      pair = stats.get(each.selectedCandidatePairId);
    } else if (each.type === 'candidate-pair' && each.selected && !pair) {
      pair = each; // Firefox has no transport record
    }
  }
  if (!pair) return null;
  const end = (id) => {
    const {address, port, candidateType: type} = stats.get(id) || {};
    return {address: address || '(hidden)', port, type};
  };
  return {id: pair.id, local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId)};
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const delay = (tries) => BACK_OFF[Math.min(tries, BACK_OFF.length - 1)];

/**
 * From an offer to the end of its resource. What is over changes nothing any more: whatever was
 * under way looks at that after each wait. (On a closed connection some waits never end.)
 */
class Life {
  constructor(link) {
    this.link = link;
    this.resource = new Resource(link.url, link.token);
    this.pc = new RTCPeerConnection({iceServers: link.iceServers});
    this.created = false;
    this.etag = null;
    this.over = false;
    this.exchanges = Promise.resolve();
    this.waiting = [];
    this.latest = null;
    this.answered = null;
    this.why = null;
    this.timer = null;
    this.misses = 0;
    this.ended = new Promise((_, fail) => {
      this.abandon = () => fail(new DOMException('the session was closed', 'AbortError'));
    });
    this.ended.catch(() => {});
  }

  /** Offer, and begin to listen. */
  begin() {
    return Promise.race([this.offerFirst(), this.ended]);
  }

  /** Nothing more happens; a resource that there is, or that an offer still makes, hears of it. */
  end() {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    if (this.created) this.resource.leave();
    this.pc.close();
    this.abandon();
  }

  /** What the daemon has of us is gone, or of no use: the next POST takes its place. */
  lost(reason) {
    if (this.over) return;
    this.created = false;
    this.resource.abort();
    this.end();
    this.link.lost(reason);
  }

  async offerFirst() {
    const {link, pc, resource} = this;
    const here = (work) => (event) => this.over || work(event);
    if (link.prepare) link.prepare(pc);
    else pc.createDataChannel('refreeze');
    pc.onconnectionstatechange = here(() => {
      link.stateChanged();
      this.lookAtDtls();
    });
    pc.oniceconnectionstatechange = here(() => {
      if (pc.iceConnectionState === 'failed') this.restart('failed');
      this.lookAtDtls();
    });
    pc.onicecandidate = here(({candidate}) => this.gathered(candidate));
    await pc.setLocalDescription();
    if (this.over) return;
    const {headers, text} = await resource.ask('POST', '', {'Content-Type': SDP}, this.described());
    resource.url = new URL(headers.get('Location'), new URL(link.url, location.href)).href;
    if (this.over) return resource.leave();
    this.created = true;
    await pc.setRemoteDescription({type: 'answer', sdp: text});
    if (this.over) return;
    this.agreed(headers);
    pc.onnegotiationneeded = here(() => this.timer || this.exchange(() => this.offerRestart()));
    const selected = pc.sctp && pc.sctp.transport.iceTransport;
    if (selected) selected.onselectedcandidatepairchange = here(() => link.showPair());
    this.listen();
  }

  /** No restart heals DTLS: Firefox gives it up when a restart's checks found no way in time. */
  lookAtDtls() {
    const dtls = this.pc.sctp && this.pc.sctp.transport;
    if (dtls && ['failed', 'closed'].includes(dtls.state)) this.lost('DTLS is over');
  }

  /** Exchanges come one after the other. */
  exchange(work) {
    const run = () => (this.over ? null : work());
    this.exchanges = this.exchanges.then(run).catch((error) => this.over || this.link.fail(error));
  }

  /** After a failure: once, a while later, whatever is still to be done. */
  later(error) {
    if (this.timer) return;
    const seconds = error.retryAfter || delay(this.misses++);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.exchange(() => this.trickle());
      this.exchange(() => this.offerRestart());
    }, seconds * 1000);
  }

  /** The ICE session has this entity tag from now on, and what was gathered for it can go. */
  agreed(headers) {
    this.etag = headers.get('ETag') || this.etag;
    this.misses = 0;
    this.exchange(() => this.trickle());
  }

  // Candidates

  /** Our description; the candidates that it has need not be trickled. */
  described() {
    const {sdp} = this.pc.localDescription;
    const known = new Set(linesOf(sdp));
    const {ufrag} = credentialsOf(sdp);
    this.waiting = this.waiting.filter((each) => each.ufrag === ufrag && !known.has(each.line));
    return sdp;
  }

  gathered(candidate) {
    if (candidate && !candidate.candidate) return; // The end of one generation; null is of all.
    const {ufrag} = credentialsOf(this.pc.localDescription.sdp);
    const line = candidate ? `a=${candidate.candidate}` : 'a=end-of-candidates';
    this.waiting.push({ufrag: (candidate && candidate.usernameFragment) || ufrag, line});
    this.exchange(() => this.trickle());
  }

  /** What is new of the generation in force; a restart's waits for its entity tag (rule 73). */
  async trickle() {
    if (!this.waiting.length || !this.etag) return;
    const {sdp} = this.pc.localDescription;
    const {ufrag} = credentialsOf(sdp);
    const due = this.waiting.filter((each) => each.ufrag === ufrag);
    this.waiting = [];
    if (!due.length) return;
    const headers = {'Content-Type': FRAGMENT, 'If-Match': this.etag};
    try {
      await this.resource.ask('PATCH', '', headers, fragmentOf(sdp, due.map(({line}) => line)));
    } catch (error) {
      if (this.over) return;
      if (error.status === 404) this.lost('the resource is gone');
      else if (error.status === 412) this.restart('out of step');
      else if (error.status && !BUSY.has(error.status)) this.link.fail(error);
      else {
        this.waiting = [...due, ...this.waiting];
        this.later(error);
      }
    }
  }

  async takeCandidate(init) {
    try {
      await this.pc.addIceCandidate(init);
    } catch {
      // Of a generation that is over.
    }
  }

  // Restarts

  restart(why) {
    this.why = why;
    this.pc.restartIce();
  }

  /** Ours: a PATCH with the wildcard, whose response is the answer. */
  async offerRestart() {
    const {link, pc} = this;
    if (pc.signalingState !== 'stable') return;
    const offer = await pc.createOffer();
    // The daemon's offer may have brought new credentials meanwhile; nothing but ICE can change.
    const {ufrag} = credentialsOf(pc.currentLocalDescription.sdp);
    if (this.over || credentialsOf(offer.sdp).ufrag === ufrag) return;
    const entry = link.began('us', this.why || 'negotiation needed');
    try {
      await pc.setLocalDescription(offer);
      if (this.over) return;
      const wanted = {'Content-Type': FRAGMENT, 'If-Match': link.wildcard};
      const {headers, text} = await this.resource.ask(
        'PATCH', '', wanted, fragmentOf(this.described()));
      if (this.over) return;
      const {currentLocalDescription: ours, currentRemoteDescription: theirs} = pc;
      await pc.setRemoteDescription({type: 'answer', sdp: answerOf(theirs.sdp, text, ours.sdp)});
      if (this.over) return;
      this.why = null;
      this.agreed(headers);
      link.ended(entry, 'answered');
    } catch (error) {
      if (this.over) return;
      link.ended(entry, error.status === 409 ? 'the daemon offers itself' : String(error.message));
      if (error.status === 404) return this.lost('the resource is gone');
      if (!error.status) link.fail(error);
      this.later(error);
      if (pc.signalingState === 'have-local-offer') {
        await pc.setLocalDescription({type: 'rollback'});
      }
    }
  }

  /** The daemon's, on the stream: it stands, whatever we were about to do. */
  async takeOffer({id, sdp}) {
    const {link, pc} = this;
    // Newer ones replace it, and a new stream tells it again.
    if (id !== this.latest || id === this.answered) return;
    const entry = link.began('daemon', pc.iceConnectionState);
    let applied = false;
    try {
      await pc.setRemoteDescription({type: 'offer', sdp});
      await pc.setLocalDescription();
      if (this.over) return;
      applied = true;
      const headers = await this.answer(id);
      if (this.over) return;
      this.answered = id;
      this.why = null;
      this.agreed(headers);
      link.ended(entry, 'answered');
    } catch (error) {
      if (this.over) return;
      link.ended(entry, String(error.message));
      if (error.status === 404) this.lost('the resource is gone');
      // We have what the daemon gave up meanwhile: only new credentials bring us together.
      else if (applied) this.restart('out of step');
      else {
        link.fail(error);
        if (pc.signalingState !== 'stable') await pc.setRemoteDescription({type: 'rollback'});
      }
    }
  }

  /** Said again when nobody heard it; the headers of the response. */
  async answer(id) {
    const said = JSON.stringify({type: 'answer', offer: id, sdp: this.described()});
    for (let tries = 0; ; tries += 1) {
      try {
        const kind = {'Content-Type': JSON_TYPE};
        return (await this.resource.ask('POST', '/events', kind, said)).headers;
      } catch (error) {
        if (this.over || error.status || tries === BACK_OFF.length) throw error;
      }
      await pause(delay(tries));
    }
  }

  // The stream

  async listen() {
    for (let tries = 0; !this.over; tries += 1) {
      try {
        const opened = () => {
          tries = 0;
        };
        await this.resource.listen(opened, (kind, data) => this.over || this.heard(kind, data));
      } catch (error) {
        if (this.over) return;
        if (error.status === 404) this.lost('the resource is gone');
        else if (error.status && !BUSY.has(error.status)) this.link.fail(error);
      }
      if (!this.over) await pause(delay(tries));
    }
  }

  heard(kind, data) {
    if (kind === 'offer') {
      this.latest = data.id;
      this.exchange(() => this.takeOffer(data));
    } else if (kind === 'candidate') this.exchange(() => this.takeCandidate(data));
    else if (kind === 'restart-please') this.restart('the daemon asks for it');
    else if (kind === 'gone' && data.reason !== 'another-stream') this.lost(data.reason);
  }
}

/**
 * One session's connection, and the next one when it is gone.
 *
 * Events, each with a `detail`: `state` (none; see {@link Refreeze#state}), `pair` (local and
 * remote candidate), `restart` (`at`; `by`: `us`, `daemon` or `new` for a session anew; `why`;
 * `outcome`; told when it begins and when it ends), `error` (an Error), `gone` (`reason`).
 */
export class Refreeze extends EventTarget {
  /**
   * @param {object} options
   * @param {string} options.url of the session, `/sessions/NAME`
   * @param {string} [options.token] bearer token
   * @param {RTCIceServer[]} [options.iceServers]
   * @param {string} [options.wildcard] If-Match of a restart: `*`, or `"*"` where that is wanted
   * @param {(pc: RTCPeerConnection) => void} [options.prepare] adds what is to be offered; without
   *   it a data channel, which only makes an m= section: the daemon has no SCTP
   */
  constructor({url, token = null, iceServers = [], wildcard = '*', prepare = null}) {
    super();
    Object.assign(this, {url, token, iceServers, wildcard, prepare});
    this.pair = null;
    this.restarts = [];
    this.closed = false;
    this.life = null;
  }

  /** The RTCPeerConnection; another one after each `restart` by `new`. */
  get pc() {
    return this.life && this.life.pc;
  }

  /** `new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`. */
  get state() {
    if (this.closed) return 'closed';
    if (!this.life) return 'new';
    return this.life.over ? 'connecting' : this.pc.connectionState;
  }

  /** Offer, and begin to listen; fails with an HttpProblem, an AbortError when closed meanwhile. */
  async connect() {
    this.closed = false;
    const life = this.renew();
    try {
      await life.begin();
    } catch (error) {
      if (life === this.life) this.close();
      throw error;
    }
  }

  /** Restart ICE: the path goes on meanwhile. */
  restart(why = 'asked') {
    if (this.life && !this.life.over) this.life.restart(why);
  }

  /** End the session. */
  close() {
    if (this.closed) return;
    this.closed = true;
    if (this.life) this.life.end();
    this.tell('state');
  }

  // What a life tells

  renew() {
    if (this.life) this.life.end();
    this.pair = null;
    this.life = new Life(this);
    return this.life;
  }

  /** Somebody else has the session, and it would be rude to take it back; or: another one. */
  async lost(reason) {
    let {life} = this;
    const left = () => this.closed || life !== this.life;
    this.tell('gone', {reason});
    if (left()) return; // Whoever heard of it closed, or connected.
    if (reason === 'replaced') return this.close();
    this.tell('state');
    const entry = this.began('new', reason);
    for (let tries = 0; !left(); tries += 1) {
      life = this.renew();
      try {
        await life.begin();
        return this.ended(entry, 'connected');
      } catch (error) {
        life.end();
        if (left()) break;
        this.fail(error);
        await pause(error.retryAfter || delay(tries));
      }
    }
    this.ended(entry, 'closed');
  }

  stateChanged() {
    this.tell('state');
    this.showPair();
  }

  /** Browsers answer from a cache for a while: what they say at once may be the pair of before. */
  async showPair() {
    const {life} = this;
    for (const seconds of LOOKS) {
      if (seconds) await pause(seconds);
      if (!life || life.over) return;
      const pair = selectedPair(await life.pc.getStats());
      if (!pair || life.over || (this.pair && this.pair.id === pair.id)) continue;
      this.pair = pair;
      this.tell('pair', pair);
    }
  }

  began(by, why) {
    const entry = {at: new Date(), by, why, outcome: 'under way'};
    this.restarts.push(entry);
    if (this.restarts.length > MAX_RESTARTS) this.restarts.shift();
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
