'use strict';
/* One file of web-platform-tests in a page of Node's: `run.js PYTHON CHECKOUT FILE SECONDS`.
 * Prints one line of JSON: {tests: [{name, status, message}], harness}; status 0 is a pass. */
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const {runTask, start} = require('./rpc.js');
const webrtc = require('./webrtc.js');

const [python, checkout, file, seconds] = process.argv.slice(2);
const place = path.join(checkout, 'webrtc', file);
const tests = [];
let over = false;

function finish(harness) {
  if (over) return;
  over = true;
  fs.writeSync(1, `${JSON.stringify({tests, harness})}\n`);
  bridge.kill();
  process.exit(0);
}

/** Media that cannot be had: a track that is silent. */
function media() {
  const stream = ({audio, video} = {audio: true}) => new webrtc.MediaStream(
    [['audio', audio], ['video', video]]
      .filter(([, wanted]) => wanted).map(([kind]) => new webrtc.MediaStreamTrack(kind)));
  const one = (kind) => {
    const made = stream({[kind]: true});
    return [made.getTracks()[0], made];
  };
  const oscillator = {connect: (there) => there, start: () => {}, stop: () => {}};
  class AudioContext {
    createOscillator() {
      return oscillator;
    }

    createMediaStreamDestination() {
      return {stream: stream()};
    }

    async close() {}
  }
  Object.assign(globalThis, {
    AudioContext,
    getNoiseStream: async (wanted) => stream(wanted),
    getTrackFromUserMedia: async (kind) => one(kind),
    async getUserMediaTracksAndStreams(count) {
      const found = Array.from({length: count}, () => one('audio'));
      return [found.map(([track]) => track), found.map(([, made]) => made)];
    },
  });
  globalThis.navigator = {mediaDevices: {getUserMedia: async (wanted) => stream(wanted)}};
}

function run(filename) {
  vm.runInThisContext(fs.readFileSync(filename, 'utf8'), {filename});
}

/** The page's scripts in their order; the harness is there already. */
function runPage() {
  for (const [, tag, text] of fs.readFileSync(place, 'utf8')
    .matchAll(/<script([^>]*)>([^]*?)<\/script>/g)) {
    const source = /src=["']?([^"'\s>]+)/.exec(tag)?.[1];
    if (source === undefined) {
      media();
      vm.runInThisContext(text, {filename: file});
    } else if (!/testharness/.test(source)) {
      run(path.join(source.startsWith('/') ? checkout : path.dirname(place), source));
    }
  }
}

let before = performance.now();
const end = before + 1000 * Number(seconds);

/** Every task that is due; virtual time goes faster than the page's. */
function turn() {
  if (over) return;
  const now = performance.now();
  if (now > end) finish('no end');
  let more = runTask(Math.min(0.2, Math.max(0.01, (now - before) / 1000)));
  before = now;
  while (more) more = runTask(0);
  setImmediate(turn);
}

const bridge = start(python);
process.on('uncaughtException', (error) => {
  tests.push({name: 'uncaught', status: 1, message: String(error?.stack)});
});
process.on('unhandledRejection', () => {});
Object.assign(globalThis, webrtc, {self: globalThis, location: {search: '', hostname: 'localhost'}});
globalThis.addEventListener = () => {};
run(path.join(checkout, 'resources', 'testharness.js'));  // a shell's harness: there is no window
globalThis.window = globalThis;
globalThis.add_result_callback(({name, status, message}) => tests.push({name, status, message}));
globalThis.add_completion_callback((_, {status, message}) => {
  finish(status === 0 ? null : String(message));
});
try {
  runPage();
} catch (error) {
  finish(String(error?.stack));
}
setImmediate(turn);
