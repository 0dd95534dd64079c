/** Events, as they come in pieces. */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {EventParser} from './requests.js';

const TEXT =
  ': refreeze\n\nevent: offer\r\nid: 1\r\ndata: {"a":\r\ndata:1}\r\n\r\n' +
  ':\n\ndata: \u2028x\r\revent: nothing\n\nevent: gone\ndata: {}\n\nevent: never ends\ndata: 1\n';
const EVENTS = [['offer', '{"a":\n1}'], ['message', '\u2028x'], ['gone', '{}']];

function parsed(...pieces) {
  const events = [];
  const parser = new EventParser((kind, data) => events.push([kind, data]));
  for (const piece of pieces) parser.feed(piece);
  return events;
}

test('events are the same wherever the stream is cut', () => {
  assert.deepEqual(parsed(TEXT), EVENTS);
  assert.deepEqual(parsed(...TEXT), EVENTS);
  for (let at = 0; at <= TEXT.length; at += 1) {
    assert.deepEqual(parsed(TEXT.slice(0, at), TEXT.slice(at)), EVENTS, `cut at ${at}`);
  }
});

test('an event that does not end is not kept for ever', () => {
  const line = `data: ${'x'.repeat(1000)}\n`;
  assert.throws(() => parsed(...Array(300).fill(line)), RangeError);
  assert.throws(() => parsed('x'.repeat(300000)), RangeError);
});
