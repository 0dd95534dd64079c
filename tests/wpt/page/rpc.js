'use strict';
/* Calls of the page to the bridge, and what the bridge tells meanwhile (tests/wpt/bridge.py). */
const {execFileSync, spawn} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {internalBinding} = require('internal/test/binding');
const {runMicrotasks} = internalBinding('task_queue');

const objects = new Map();
const promises = new Map();
let depth = 0;
let inTask = false;
let lastPromise = 0;
let buffer = '';
let toBridge;
let fromBridge;

/** Start it. Node cannot wait for a pipe of spawn's, so there are two named ones. */
function start(python) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'bridge-'));
  const ends = ['in', 'out'].map((name) => path.join(home, name));
  execFileSync('mkfifo', ends);
  const shell = 'exec 8<"$1" 9>"$2"; shift 2; exec "$@"';
  const words = ['-c', shell, 'bash', ...ends, python, '-m', 'tests.wpt.bridge'];
  const child = spawn('bash', words, {stdio: ['ignore', 'inherit', 'inherit']});
  toBridge = fs.openSync(ends[0], 'w');
  fromBridge = fs.openSync(ends[1], 'r');
  fs.rmSync(home, {recursive: true});
  return child;
}

function send(message) {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length;) at += fs.writeSync(toBridge, bytes, at);
}

function receive() {
  const chunk = Buffer.alloc(1 << 16);
  for (;;) {
    const end = buffer.indexOf('\n');
    if (end >= 0) {
      const line = buffer.slice(0, end);
      buffer = buffer.slice(end + 1);
      return JSON.parse(line);
    }
    const length = fs.readSync(fromBridge, chunk);
    if (length === 0) throw new Error('the bridge has ended');
    buffer += chunk.toString('utf8', 0, length);
  }
}

/** One request. Listeners and continuations that it causes have run when it returns. */
function ask(request) {
  send(request);
  depth += 1;
  try {
    for (;;) {
      const message = receive();
      if ('event' in message) fire(message);
      else if ('promise' in message) settle(message);
      else if (message.error) throw asError(message.error);
      else return shown(message.result);
      // A browser runs microtasks whenever no script is on its stack; Node only between callbacks.
      if (inTask && depth === 1) runMicrotasks();
      send({do: 'done'});
    }
  } finally {
    depth -= 1;
  }
}

/** A task of the bridge's, or *seconds* of its time; whether there may be more. */
function runTask(seconds) {
  inTask = true;
  try {
    return ask({do: 'task', seconds});
  } finally {
    inTask = false;
  }
}

function promise(request, convert = (value) => value) {
  return new Promise((resolve, reject) => {
    lastPromise += 1;
    promises.set(lastPromise, {resolve: (value) => resolve(convert(value)), reject});
    ask({...request, promise: lastPromise});
  });
}

function fire({event, object, members}) {
  const made = new Event(event);
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(made, name, {value: shown(value)});
  }
  objects.get(object)?.dispatchEvent(made);
}

function settle(message) {
  const {resolve, reject} = promises.get(message.promise);
  promises.delete(message.promise);
  if (message.error) reject(asError(message.error));
  else resolve(shown(message.result));
}

function asError({name, message, detail, line}) {
  const plain = {TypeError, RangeError}[name];
  if (plain) return new plain(message);
  if (detail) return new globalThis.RTCError({errorDetail: detail, sdpLineNumber: line}, message);
  return new DOMException(message, name);
}

/** What the bridge showed, as the page has it. */
function shown(value) {
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== 'object') return value;
  if (value.kind === 'bytes') return new ArrayBuffer(value.length);
  if (value.kind && 'object' in value) return known(value);
  const members = Object.entries(value).map(([name, each]) => [name, shown(each)]);
  if (value.kind) return globalThis[value.kind].made(Object.fromEntries(members));
  return Object.fromEntries(members);
}

function known({kind, object}) {
  if (!objects.has(object)) {
    const made = Reflect.construct(EventTarget, [], globalThis[kind]);
    objects.set(object, made);
    made.number = object;
    made.begin?.();
  }
  return objects.get(object);
}

/** What the page gives, as the bridge reads it. */
function given(value) {
  if (value === undefined || value === null) return null;
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(given);
  if (typeof value !== 'object') return value;
  if (value.number !== undefined) return {object: value.number};
  const kept = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(kept.map(([name, each]) => [name, given(each)]));
}

module.exports = {ask, given, objects, promise, runTask, start};
