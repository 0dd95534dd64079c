'use strict';
/* W3C's classes as thin as can be: WebIDL's conversions, and the bridge does the rest. */
const {ask, given, promise} = require('./rpc.js');

const DESCRIPTIONS = ['Local', 'Remote'].flatMap((side) => [
  `${side.toLowerCase()}Description`, `current${side}Description`, `pending${side}Description`]);
const TYPES = ['offer', 'pranswer', 'answer', 'rollback'];
const CONFIGURATION = ['iceServers', 'iceTransportPolicy', 'bundlePolicy', 'rtcpMuxPolicy',
  'certificates', 'iceCandidatePoolSize'];
const CANDIDATE = ['candidate', 'sdpMid', 'sdpMLineIndex', 'usernameFragment'];
const CHANNEL = ['ordered', 'maxPacketLifeTime', 'maxRetransmits', 'protocol', 'negotiated', 'id'];

const request = (target, name, values, options) =>
  ({do: 'call', target: target.number, name, arguments: values, options});
const call = (target, name, ...values) => ask(request(target, name, values.map(given), {}));

function picked(source, names) {
  const found = {};
  for (const name of names) {
    const value = source[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/** RTCSessionDescriptionInit and, with *implicit*, RTCLocalSessionDescriptionInit. */
function descriptionInit(value, implicit) {
  if (value === null || typeof value !== 'object') throw new TypeError('no description');
  const {type, sdp} = value;
  if (!TYPES.includes(type) && !(implicit && type === undefined)) throw new TypeError('type');
  return picked({type, sdp: sdp === undefined ? sdp : String(sdp)}, ['type', 'sdp']);
}

function candidateInit(value, more = []) {
  const init = picked(value, [...CANDIDATE, ...more]);
  if ('candidate' in init) init.candidate = String(init.candidate);
  for (const name of ['sdpMid', 'usernameFragment']) {
    if (init[name] !== undefined && init[name] !== null) init[name] = String(init[name]);
  }
  if (init.sdpMLineIndex !== undefined && init.sdpMLineIndex !== null) {
    init.sdpMLineIndex = Number(init.sdpMLineIndex) & 0xffff;
  }
  return init;
}

function channelInit(value) {
  const init = picked(value ?? {}, CHANNEL);
  if ('ordered' in init) init.ordered = Boolean(init.ordered);
  if ('protocol' in init) init.protocol = String(init.protocol);
  return init;
}

function configurationInit(value) {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'object') throw new TypeError('no configuration');
  return given(picked(value, CONFIGURATION));
}

class RTCSessionDescription {
  constructor(init) {
    const {type, sdp = ''} = descriptionInit(init, false);
    Object.assign(this, {type, sdp});
  }

  static made(members) {
    return new RTCSessionDescription(members);
  }

  toJSON() {
    return {type: this.type, sdp: this.sdp};
  }
}

class RTCIceCandidate {
  constructor(init) {
    const local = candidateInit(init ?? {}, ['relayProtocol', 'url']);
    return ask({do: 'candidate', init: given(local)});
  }

  static made({kind, ...members}) {
    return Object.assign(Object.create(RTCIceCandidate.prototype), members);
  }

  toJSON() {
    return picked(this, CANDIDATE);
  }
}

class RTCError extends DOMException {
  constructor(init, message) {
    super(message, 'OperationError');
    Object.assign(this, {errorDetail: init.errorDetail, sdpLineNumber: init.sdpLineNumber ?? null});
  }
}

class RTCPeerConnectionIceEvent extends Event {
  constructor(type, init = {}) {
    super(type, init);
    this.candidate = init.candidate ?? null;
  }
}

class MediaStreamTrack extends EventTarget {
  constructor(kind) {
    super();
    Object.assign(this, {kind, id: crypto.randomUUID(), readyState: 'live', muted: true});
  }

  stop() {
    this.readyState = 'ended';
  }
}

class MediaStream extends EventTarget {
  constructor(tracks = []) {
    super();
    Object.assign(this, {id: crypto.randomUUID(), tracks: [...tracks]});
  }

  getTracks() {
    return this.tracks;
  }

  getAudioTracks() {
    return this.tracks.filter(({kind}) => kind === 'audio');
  }

  getVideoTracks() {
    return this.tracks.filter(({kind}) => kind === 'video');
  }
}

class RTCRtpSender {}
class RTCRtpReceiver {}
class RTCDtlsTransport extends EventTarget {}
class RTCSctpTransport extends EventTarget {}
class RTCIceTransport extends EventTarget {}
class RTCDataChannel extends EventTarget {}
class RTCCertificate extends EventTarget {}

class RTCRtpTransceiver extends EventTarget {
  /** Media is not refreeze's: senders and receivers have a track and a transport, and no more. */
  begin() {
    const track = new MediaStreamTrack(ask({do: 'get', target: this.number, name: 'kind'}));
    this.sender = Object.assign(new RTCRtpSender(), {track: null});
    this.receiver = Object.assign(new RTCRtpReceiver(), {track});
    const get = () => ask({do: 'get', target: this.number, name: 'transport'});
    for (const end of [this.sender, this.receiver]) Object.defineProperty(end, 'transport', {get});
  }

  get direction() {
    return ask({do: 'get', target: this.number, name: 'direction'});
  }

  set direction(wished) {
    ask({do: 'set', target: this.number, name: 'direction', value: String(wished)});
  }
}

class RTCPeerConnection extends EventTarget {
  constructor() {
    // It is known under its number from the first event on.
    const made = ask({do: 'connection', configuration: configurationInit(arguments[0])});
    Object.setPrototypeOf(made, new.target.prototype);
    return made;
  }

  begin() {
    this.held = new Map();
    this.tracked = new Set();
  }

  /** The same object as long as it is the same description. */
  described(name) {
    const found = ask({do: 'get', target: this.number, name});
    const same = [...this.held.values()].find(
      (each) => each && found && each.type === found.type && each.sdp === found.sdp);
    this.held.set(name, same ?? found);
    return same ?? found;
  }

  promised(name, values = [], options = {}, convert = undefined) {
    return promise({...request(this, name, values, options), do: 'promise'}, convert);
  }

  async createOffer(options = {}) {
    const plain = ({type, sdp}) => ({type, sdp});
    return this.promised('createOffer', [], {iceRestart: Boolean(options?.iceRestart)}, plain);
  }

  async createAnswer() {
    return this.promised('createAnswer', [], {}, ({type, sdp}) => ({type, sdp}));
  }

  async setLocalDescription(value) {
    const absent = value === undefined || value === null;
    return this.promised('setLocalDescription', absent ? [] : [descriptionInit(value, true)]);
  }

  async setRemoteDescription(value) {
    const values = [descriptionInit(value, false)];
    return this.promised('setRemoteDescription', values, {}, () => this.showTracks());
  }

  /** The events that pages wait for, as if media came. */
  showTracks() {
    for (const transceiver of this.getTransceivers()) {
      const receives = /recv/.test(transceiver.direction);
      if (receives && transceiver.mid !== null && !this.tracked.has(transceiver)) {
        const {receiver} = transceiver;
        this.dispatchEvent(Object.assign(new Event('track'),
          {transceiver, receiver, track: receiver.track, streams: []}));
      }
      this.tracked.add(transceiver);
    }
  }

  async addIceCandidate(value) {
    const absent = value === undefined || value === null;
    if (!absent && typeof value !== 'object') throw new TypeError('no candidate');
    return this.promised('addIceCandidate', [absent ? null : candidateInit(value)]);
  }

  async getStats(selector = null) {
    return this.promised('getStats', [selector], {}, (found) => new Map(Object.entries(found)));
  }

  getConfiguration() {
    const found = call(this, 'getConfiguration');
    for (const server of found.iceServers) {
      for (const [name, value] of Object.entries(server)) if (value === null) delete server[name];
    }
    return found;
  }

  setConfiguration(value) {
    call(this, 'setConfiguration', configurationInit(value) ?? {});
  }

  addTransceiver(kindOrTrack, init = {}) {
    const track = kindOrTrack instanceof MediaStreamTrack ? kindOrTrack : null;
    const options = init.direction === undefined ? {} : {direction: String(init.direction)};
    const values = [track ? track.kind : String(kindOrTrack)];
    const made = ask(request(this, 'addTransceiver', values, options));
    made.sender.track = track;
    return made;
  }

  addTrack(track) {
    return this.addTransceiver(track).sender;
  }

  getSenders() {
    return this.getTransceivers().filter((t) => t.direction !== 'stopped').map((t) => t.sender);
  }

  getReceivers() {
    return this.getTransceivers().filter((t) => t.direction !== 'stopped').map((t) => t.receiver);
  }

  createDataChannel(label) {
    if (arguments.length === 0) throw new TypeError('no label');
    return ask(request(this, 'createDataChannel', [String(label)], channelInit(arguments[1])));
  }

  static generateCertificate(algorithm) {
    return promise({do: 'certificate', algorithm: given(algorithm)});
  }
}

function attributes(kind, names) {
  for (const name of names) {
    const get = function get() {
      return ask({do: 'get', target: this.number, name});
    };
    Object.defineProperty(kind.prototype, name, {get, configurable: true, enumerable: true});
  }
}

function methods(kind, names) {
  for (const name of names) {
    kind.prototype[name] = function method(...values) {
      return call(this, name, ...values);
    };
  }
}

/** Methods without a result. */
function actions(kind, names) {
  for (const name of names) {
    kind.prototype[name] = function action(...values) {
      call(this, name, ...values);
    };
  }
}

function handlers(kind, names) {
  for (const name of names) {
    const slot = Symbol(name);
    Object.defineProperty(kind.prototype, `on${name}`, {
      get() {
        return this[slot]?.listener ?? null;
      },
      set(listener) {
        if (!this[slot]) {
          this[slot] = {};
          this.addEventListener(name, (event) => this[slot].listener?.call(this, event));
        }
        this[slot].listener = typeof listener === 'function' ? listener : null;
      },
      configurable: true,
      enumerable: true,
    });
  }
}

attributes(RTCPeerConnection, ['signalingState', 'iceGatheringState', 'iceConnectionState',
  'connectionState', 'canTrickleIceCandidates', 'sctp']);
attributes(RTCRtpTransceiver, ['mid', 'currentDirection']);
attributes(RTCIceTransport, ['role', 'component', 'state', 'gatheringState']);
attributes(RTCDtlsTransport, ['state', 'iceTransport']);
attributes(RTCSctpTransport, ['state', 'transport', 'maxMessageSize', 'maxChannels']);
attributes(RTCDataChannel, ['label', ...CHANNEL, 'readyState', 'bufferedAmount',
  'bufferedAmountLowThreshold', 'binaryType']);
attributes(RTCCertificate, ['expires']);
methods(RTCPeerConnection, ['getTransceivers']);
actions(RTCPeerConnection, ['restartIce', 'close']);
actions(RTCRtpTransceiver, ['stop']);
methods(RTCIceTransport, ['getLocalCandidates', 'getRemoteCandidates', 'getSelectedCandidatePair',
  'getLocalParameters', 'getRemoteParameters']);
methods(RTCDtlsTransport, ['getRemoteCertificates']);
actions(RTCDataChannel, ['close', 'send']);
methods(RTCCertificate, ['getFingerprints']);
handlers(RTCPeerConnection, ['negotiationneeded', 'signalingstatechange',
  'iceconnectionstatechange', 'icegatheringstatechange', 'connectionstatechange', 'icecandidate',
  'icecandidateerror', 'track', 'datachannel']);
handlers(RTCIceTransport, ['statechange', 'gatheringstatechange', 'selectedcandidatepairchange']);
handlers(RTCDtlsTransport, ['statechange', 'error']);
handlers(RTCSctpTransport, ['statechange']);
handlers(RTCDataChannel, ['open', 'close', 'message', 'error']);
for (const name of DESCRIPTIONS) {
  const get = function get() {
    return this.described(name);
  };
  Object.defineProperty(RTCPeerConnection.prototype, name, {get, configurable: true, enumerable: true});
}

module.exports = {MediaStream, MediaStreamTrack, RTCCertificate, RTCDataChannel, RTCDtlsTransport,
  RTCError, RTCIceCandidate, RTCIceTransport, RTCPeerConnection, RTCPeerConnectionIceEvent,
  RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, RTCSctpTransport, RTCSessionDescription};
