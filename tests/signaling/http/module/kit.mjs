/** Virtual time, a peer connection by the specification's letter, and a daemon by script. */

// Node 18 has none.
globalThis.CustomEvent ??= class extends Event {
  constructor(kind, {detail}) {
    super(kind);
    this.detail = detail;
  }
};

// Time

const timers = new Map();
let now = 0;
let number = 0;

globalThis.setTimeout = (work, ms) => {
  timers.set((number += 1), {work, due: now + ms});
  return number;
};
globalThis.clearTimeout = (id) => timers.delete(id);

/** Whatever is due without waiting; promises and tasks take some turns. */
export async function settle() {
  for (let turns = 0; turns < 30; turns += 1) await new Promise((done) => setImmediate(done));
}

export async function advance(seconds) {
  const until = now + seconds * 1000;
  await settle();
  for (;;) {
    const due = [...timers].filter(([, each]) => each.due <= until);
    const [next] = due.sort(([, one], [, other]) => one.due - other.due);
    if (!next) break;
    const [id, timer] = next;
    timers.delete(id);
    now = timer.due;
    timer.work();
    await settle();
  }
  now = until;
}

// A browser

const NEVER = new Promise(() => {});
export const description = (ufrag, setup, candidates = []) =>
  [
    'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=mid:0', `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${ufrag.padEnd(22, 'p')}`, 'a=ice-options:trickle', `a=setup:${setup}`,
    ...candidates, '',
  ].join('\r\n');
export const fragment = (ufrag) =>
  `a=group:BUNDLE 0\r\nm=application 9 x y\r\na=mid:0\r\na=ice-ufrag:${ufrag}\r\n` +
  `a=ice-pwd:${ufrag.padEnd(22, 'p')}\r\na=candidate:1 1 udp 99 192.0.2.1 9 typ host\r\n`;
export const ufragOf = (text) => /a=ice-ufrag:(\S+)/.exec(text)?.[1];

/** What webrtc-pc says of offers, answers, rollback and the need of negotiation; no ICE. */
export class Connection {
  static made = [];

  constructor() {
    Connection.made.push(this);
    this.signalingState = 'stable';
    this.connectionState = this.iceConnectionState = 'new';
    this.count = 0;
    this.replaced = null;
    this.currentLocalDescription = this.currentRemoteDescription = this.pending = null;
    this.candidates = [];
    this.gathersAtOnce = null;
    this.sctp = null;
  }

  get localDescription() {
    return this.pending?.local || this.currentLocalDescription;
  }

  get remoteDescription() {
    return this.pending?.remote || this.currentRemoteDescription;
  }

  createDataChannel() {}

  restartIce() {
    const current = this.currentLocalDescription;
    this.replaced = current && ufragOf(current.sdp);
    this.needed();
  }

  needed() {
    setImmediate(() => {
      if (this.signalingState === 'stable' && this.replaced && this.onnegotiationneeded) {
        this.onnegotiationneeded();
      }
    });
  }

  fresh() {
    this.count += 1;
    return `b${Connection.made.indexOf(this)}x${this.count}`;
  }

  async createOffer() {
    if (this.signalingState === 'closed') return NEVER;
    const old = this.currentLocalDescription;
    const keep = old && !(this.replaced && this.replaced === ufragOf(old.sdp));
    return {type: 'offer', sdp: description(keep ? ufragOf(old.sdp) : this.fresh(), 'actpass')};
  }

  async setLocalDescription(given) {
    await settleOnce();
    if (this.signalingState === 'closed') return NEVER;
    if (given && given.type === 'rollback') return this.rollback('have-local-offer');
    if (this.signalingState === 'stable') {
      const local = given || (await this.createOffer());
      this.pending = {local};
      this.signalingState = 'have-local-offer';
      if (this.gathersAtOnce) local.sdp += `${this.gather(this.gathersAtOnce)}\r\n`;
      return undefined;
    }
    if (this.signalingState !== 'have-remote-offer') throw new Error('InvalidStateError');
    const theirs = ufragOf(this.pending.remote.sdp);
    const old = this.currentRemoteDescription;
    const same = old && ufragOf(old.sdp) === theirs;
    const ufrag = same ? ufragOf(this.currentLocalDescription.sdp) : this.fresh();
    this.agreed({type: 'answer', sdp: description(ufrag, 'active')}, this.pending.remote);
    return undefined;
  }

  async setRemoteDescription(given) {
    await settleOnce();
    if (this.signalingState === 'closed') return NEVER;
    if (given.type === 'rollback') return this.rollback('have-remote-offer');
    if (!ufragOf(given.sdp)) throw new Error('no credentials');
    if (given.type === 'answer') {
      if (this.signalingState !== 'have-local-offer') throw new Error('InvalidStateError');
      this.agreed(this.pending.local, given);
    } else {
      this.pending = {remote: given};
      this.signalingState = 'have-remote-offer';
    }
    return undefined;
  }

  rollback(from) {
    if (this.signalingState !== from) throw new Error('InvalidStateError');
    this.pending = null;
    this.signalingState = 'stable';
    this.needed();
  }

  agreed(local, remote) {
    this.currentLocalDescription = local;
    this.currentRemoteDescription = remote;
    this.pending = null;
    this.signalingState = 'stable';
    if (ufragOf(local.sdp) !== this.replaced) this.replaced = null;
    this.needed();
  }

  async addIceCandidate(init) {
    this.candidates.push(init);
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.signalingState = this.connectionState = 'closed';
  }

  // What its surroundings do

  gather(port, ufrag = ufragOf(this.localDescription.sdp)) {
    const candidate = `candidate:1 1 udp 99 192.0.2.7 ${port} typ host`;
    this.onicecandidate({candidate: {candidate, usernameFragment: ufrag}});
    return `a=${candidate}`;
  }

  fail() {
    this.iceConnectionState = 'failed';
    this.oniceconnectionstatechange();
  }
}

const settleOnce = () => new Promise((done) => setImmediate(done));

// A daemon

/** Requests as they came, each answered by the script; *streams* are those that are open. */
export class Daemon {
  constructor() {
    this.asked = [];
    this.streams = [];
    this.posts = 0;
    this.restarts = 0;
    /** By method and the last part of the path: what is said instead, once each. */
    this.instead = {};
    Connection.made = [];
    timers.clear();
    globalThis.RTCPeerConnection = Connection;
    globalThis.location = {href: 'http://daemon.example/'};
    globalThis.fetch = (url, options = {}) => this.fetch(String(url), options);
  }

  /** Requests of that method, without streams. */
  of(method) {
    return this.asked.filter((each) => each.method === method);
  }

  get stream() {
    return this.streams.at(-1);
  }

  say(kind, data) {
    const text = `event: ${kind}\nid: 1\ndata: ${JSON.stringify(data)}\n\n`;
    this.stream.enqueue(new TextEncoder().encode(text));
  }

  offer(id, ufrag) {
    this.say('offer', {id, sdp: description(ufrag, 'actpass')});
  }

  async fetch(url, {method = 'GET', headers = {}, body, signal, keepalive}) {
    const request = {method, url, headers, body, keepalive, signal};
    this.asked.push(request);
    const aborted = new Promise((_, fail) => {
      signal?.addEventListener('abort', () => fail(signal.reason));
    });
    aborted.catch(() => {});
    const key = `${method} ${url.endsWith('/events') ? 'events' : 'resource'}`;
    const answer = (this.instead[key] || []).shift() || (() => this.usual(request, signal));
    await Promise.race([settleOnce(), aborted]);
    return Promise.race([answer(request), aborted]);
  }

  usual({method, url}, signal) {
    if (method === 'POST' && !url.endsWith('/events')) {
      this.posts += 1;
      const headers = {Location: `/sessions/web/r${this.posts}`, ETag: `"${this.posts}-1"`};
      const sdp = description(`daemon${this.posts}`, 'passive');
      return new Response(sdp, {status: 201, headers});
    }
    if (method === 'GET') return this.open(signal);
    if (method === 'DELETE') return new Response('');
    this.restarts += 1;
    const headers = {ETag: `"${this.posts}-${this.restarts + 1}"`};
    if (method === 'POST') return new Response('{}', {headers});
    return this.patched(headers);
  }

  patched(headers) {
    const {headers: asked} = this.asked.at(-1);
    if (asked['If-Match'] !== '*') return new Response(null, {status: 204});
    return new Response(fragment(`daemonr${this.restarts}`), {headers});
  }

  open(signal) {
    const body = new ReadableStream({
      start: (controller) => {
        this.streams.push(controller);
        signal.addEventListener('abort', () => {
          this.streams = this.streams.filter((each) => each !== controller);
          controller.error(signal.reason);
        });
      },
    });
    return new Response(body, {headers: {'Content-Type': 'text/event-stream'}});
  }
}

export const refused = (status, detail, headers = {}) => () =>
  new Response(JSON.stringify({status, detail}), {status, headers});
export const unreachable = () => Promise.reject(new TypeError('unreachable'));
export const silence = () => NEVER;
