/** Offers, restarts and the ends of sessions, against a daemon by script. */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {advance, Connection, Daemon, fragment, refused, settle, silence, ufragOf, unreachable}
  from './kit.mjs';
import {HttpProblem, Refreeze} from './refreeze.js';

const RESOURCE = 'http://daemon.example/sessions/web/r1';

async function connected(instead = {}) {
  const daemon = new Daemon();
  daemon.instead = instead;
  const link = new Refreeze({url: '/sessions/web', token: 'secret'});
  const told = [];
  for (const kind of ['state', 'restart', 'error', 'gone']) {
    link.addEventListener(kind, ({detail}) => told.push([kind, detail]));
  }
  await link.connect();
  await settle();
  daemon.asked.length = 0;
  return {daemon, link, pc: link.pc, told};
}

const outcomes = (link) => link.restarts.map(({by, why, outcome}) => [by, why, outcome]);

test('an offer is posted, and the stream opened with the token', async () => {
  const daemon = new Daemon();
  const link = new Refreeze({url: '/sessions/web', token: 'secret'});
  await link.connect();
  await settle();
  const [post, get] = daemon.asked;
  assert.deepEqual([post.method, post.url], ['POST', '/sessions/web']);
  assert.equal(ufragOf(post.body), 'b0x1');
  assert.deepEqual([get.method, get.url], ['GET', `${RESOURCE}/events`]);
  const tokens = daemon.asked.map(({headers}) => headers.Authorization);
  assert.deepEqual(tokens, Array(2).fill('Bearer secret'));
  assert.equal(ufragOf(link.pc.currentRemoteDescription.sdp), 'daemon1');
});

test('a refused offer is told with its detail, and all is closed', async () => {
  const daemon = new Daemon();
  daemon.instead['POST resource'] = [refused(401, 'a bearer token is wanted')];
  const link = new Refreeze({url: '/sessions/web'});
  await assert.rejects(link.connect(), (error) => {
    assert.ok(error instanceof HttpProblem);
    assert.equal(error.message, '401: a bearer token is wanted');
    return true;
  });
  assert.equal(link.state, 'closed');
  assert.equal(Connection.made[0].connectionState, 'closed');
});

test('a daemon that says nothing is not waited for', async () => {
  const daemon = new Daemon();
  daemon.instead['POST resource'] = [silence];
  const link = new Refreeze({url: '/sessions/web'});
  const refusal = assert.rejects(link.connect());
  await advance(11);
  await refusal;
});

test('closing while the offer is under way ends connect(), and the resource', async () => {
  const daemon = new Daemon();
  let answer = null;
  const held = new Promise((done) => {
    answer = () => done(daemon.usual({method: 'POST', url: ''}));
  });
  daemon.instead['POST resource'] = [() => held];
  const link = new Refreeze({url: '/sessions/web'});
  const refusal = assert.rejects(link.connect(), {name: 'AbortError'});
  await settle();
  link.close();
  await refusal;
  answer();
  await settle();
  assert.deepEqual(daemon.asked.map(({method}) => method), ['POST', 'DELETE']);
  assert.equal(daemon.asked[1].url, RESOURCE);
  assert.equal(link.state, 'closed');
});

test('candidates trickle with the entity tag, and only once each', async () => {
  const {daemon, pc} = await connected();
  pc.gather(5000);
  pc.gather(5001);
  pc.gather(5002, 'older');
  await settle();
  const patches = daemon.of('PATCH');
  assert.deepEqual(patches.map(({headers}) => headers['If-Match']), patches.map(() => '"1-1"'));
  const sent = patches.flatMap(({body}) => body.match(/192\.0\.2\.7 \d+/g));
  assert.deepEqual(sent, ['192.0.2.7 5000', '192.0.2.7 5001']);
});

test('candidates that a description has are not trickled, too', async () => {
  const {daemon, link, pc} = await connected();
  pc.gathersAtOnce = 4000;
  link.restart();
  await settle();
  const [patch, ...more] = daemon.of('PATCH');
  assert.match(patch.body, / 4000 /);
  assert.deepEqual(more, []);
  pc.onicecandidate({candidate: null});
  await settle();
  assert.match(daemon.of('PATCH')[1].body, /a=end-of-candidates/);
});

test('candidates that did not get through are sent again', async () => {
  const {daemon, pc, told} = await connected({'PATCH resource': [unreachable]});
  pc.gather(5000);
  await settle();
  assert.equal(daemon.of('PATCH').length, 1);
  await advance(1);
  assert.match(daemon.of('PATCH')[1].body, / 5000 /);
  assert.deepEqual(told, []);
});

test('a restart is a PATCH with the wildcard, and its response the answer', async () => {
  const {daemon, link, pc} = await connected();
  link.restart();
  await settle();
  const [patch] = daemon.of('PATCH');
  assert.equal(patch.headers['If-Match'], '*');
  assert.equal(ufragOf(patch.body), 'b0x2');
  const {type, sdp} = pc.currentRemoteDescription;
  assert.deepEqual([type, ufragOf(sdp)], ['answer', 'daemonr1']);
  assert.match(sdp, /a=setup:passive/);
  assert.deepEqual(outcomes(link), [['us', 'asked', 'answered']]);
});

test('rule 73: candidates of a restart wait for its entity tag', async () => {
  let answer = null;
  const held = new Promise((done) => {
    answer = done;
  });
  const {daemon, link, pc} = await connected({'PATCH resource': [() => held]});
  link.restart();
  await settle();
  pc.gather(6000);
  await settle();
  assert.equal(daemon.of('PATCH').length, 1);
  answer(new Response(fragment('later'), {headers: {ETag: '"1-2"'}}));
  await settle();
  const [, trickle] = daemon.of('PATCH');
  assert.equal(trickle.headers['If-Match'], '"1-2"');
  assert.deepEqual([ufragOf(trickle.body), / 6000 /.test(trickle.body)], ['b0x2', true]);
});

test('rule 73: two restarts are never outstanding', async () => {
  let answer = null;
  const held = new Promise((done) => {
    answer = done;
  });
  const {daemon, link} = await connected({'PATCH resource': [() => held]});
  link.restart();
  await settle();
  link.restart();
  await settle();
  assert.equal(daemon.of('PATCH').length, 1);
  answer(new Response(fragment('later'), {headers: {ETag: '"1-2"'}}));
  await settle();
  assert.equal(link.pc.signalingState, 'stable');
  link.restart();
  await settle();
  assert.equal(ufragOf(daemon.of('PATCH').at(-1).body), 'b0x3');
});

test('rule 73: an entity tag that is refused means that a restart is due', async () => {
  const {daemon, link, pc} = await connected({'PATCH resource': [refused(412, 'another one')]});
  pc.gather(5000);
  await settle();
  assert.deepEqual(outcomes(link), [['us', 'out of step', 'answered']]);
  assert.equal(daemon.of('PATCH')[1].headers['If-Match'], '*');
});

test('failed leads to a restart', async () => {
  const {link, pc} = await connected();
  pc.fail();
  await settle();
  assert.deepEqual(outcomes(link), [['us', 'failed', 'answered']]);
});

test('rule 72: a restart that is refused is rolled back, and tried again when it may', async () => {
  const busy = refused(503, 'busy', {'Retry-After': '3'});
  const {daemon, link, pc} = await connected({'PATCH resource': [busy, unreachable]});
  link.restart();
  await advance(2.9);
  assert.equal(daemon.of('PATCH').length, 1);
  assert.equal(pc.signalingState, 'stable');
  await advance(0.2);
  assert.equal(daemon.of('PATCH').length, 2);
  await advance(2);
  assert.equal(daemon.of('PATCH').length, 3);
  assert.deepEqual(outcomes(link).map(([, why, outcome]) => [why, outcome]), [
    ['asked', '503: busy'], ['asked', 'unreachable'], ['asked', 'answered'],
  ]);
  await advance(60);
  assert.equal(daemon.of('PATCH').length, 3);
});

test('a daemon that refuses for ever is not stormed, and the list has an end', async () => {
  const refusals = Array(1000).fill(refused(409, 'mine'));
  const {daemon, link} = await connected({'PATCH resource': refusals});
  link.restart();
  await advance(600);
  assert.ok(daemon.of('PATCH').length <= 125, `${daemon.of('PATCH').length} in 600 s`);
  assert.equal(link.restarts.length, 100);
});

test('whatever fails there is one more try at a time', async () => {
  const {daemon, link, pc} = await connected({'PATCH resource': Array(2000).fill(unreachable)});
  pc.gather(5000);
  link.restart();
  for (let rounds = 0; rounds < 60; rounds += 1) {
    pc.gather(5001 + rounds);
    await advance(10);
  }
  assert.ok(daemon.of('PATCH').length <= 310, `${daemon.of('PATCH').length} in 600 s`);
});

test('glare: the offer of the daemon stands, and ours is not wanted any more', async () => {
  const {daemon, link, pc} = await connected({'PATCH resource': [refused(409, 'mine')]});
  link.restart();
  await settle();
  daemon.offer('o1', 'theirs');
  await advance(30);
  assert.deepEqual(outcomes(link), [
    ['us', 'asked', 'the daemon offers itself'], ['daemon', 'new', 'answered'],
  ]);
  assert.equal(daemon.of('PATCH').length, 1);
  const [said] = daemon.of('POST');
  const {type, offer, sdp} = JSON.parse(said.body);
  assert.deepEqual([type, offer, ufragOf(sdp)], ['answer', 'o1', ufragOf(pc.localDescription.sdp)]);
  assert.equal(pc.signalingState, 'stable');
});

test('an offer that a new stream tells again is answered once', async () => {
  const {daemon, link} = await connected();
  daemon.offer('o1', 'theirs');
  await settle();
  daemon.stream.close();
  await advance(1);
  daemon.offer('o1', 'theirs');
  await settle();
  assert.equal(daemon.of('POST').length, 1);
  assert.equal(link.restarts.length, 1);
});

test('of offers that wait the last one is answered', async () => {
  let free = null;
  const held = new Promise((done) => {
    free = () => done(new Response(null, {status: 204}));
  });
  const {daemon, link, pc} = await connected({'PATCH resource': [() => held]});
  pc.gather(5000);
  await settle();
  daemon.offer('o1', 'first');
  daemon.offer('o2', 'second');
  await settle();
  free();
  await settle();
  assert.deepEqual(daemon.of('POST').map(({body}) => JSON.parse(body).offer), ['o2']);
  assert.equal(ufragOf(pc.remoteDescription.sdp), 'second');
  assert.equal(link.restarts.length, 1);
});

test('an answer that nobody heard is said again; one too late asks for a restart', async () => {
  const late = refused(409, 'not outstanding');
  const {daemon, link} = await connected({'POST events': [unreachable, late]});
  daemon.offer('o1', 'theirs');
  await advance(1);
  assert.equal(daemon.of('POST').length, 2);
  assert.deepEqual(outcomes(link), [
    ['daemon', 'new', '409: not outstanding'], ['us', 'out of step', 'answered'],
  ]);
});

test('an offer that cannot be used leaves everything as it was', async () => {
  const {daemon, link, pc, told} = await connected();
  daemon.say('offer', {id: 'o1', sdp: 'v=0\r\n'});
  await settle();
  assert.deepEqual(outcomes(link), [['daemon', 'new', 'no credentials']]);
  assert.deepEqual(told.filter(([kind]) => kind === 'error').length, 1);
  assert.equal(pc.signalingState, 'stable');
  link.restart();
  await settle();
  assert.equal(outcomes(link)[1][2], 'answered');
});

test('an offer that cannot be answered is rolled back', async () => {
  const {daemon, link, pc} = await connected();
  pc.setLocalDescription = async () => {
    delete pc.setLocalDescription;
    throw new Error('not now');
  };
  daemon.offer('o1', 'theirs');
  await settle();
  assert.deepEqual(outcomes(link), [['daemon', 'new', 'not now']]);
  assert.equal(pc.signalingState, 'stable');
  assert.equal(ufragOf(pc.remoteDescription.sdp), 'daemon1');
});

test('the daemon may ask for a restart', async () => {
  const {daemon, link} = await connected();
  daemon.say('restart-please', {reason: 'liveness'});
  await settle();
  assert.deepEqual(outcomes(link), [['us', 'the daemon asks for it', 'answered']]);
});

test('candidates of the daemon are added in their turn', async () => {
  const {daemon, pc} = await connected();
  const init = {candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: 'x'};
  daemon.say('candidate', init);
  await settle();
  assert.deepEqual(pc.candidates, [init]);
});

test('a stream that says nothing is opened anew', async () => {
  const {daemon} = await connected();
  await advance(39);
  daemon.stream.enqueue(new TextEncoder().encode(':\n\n'));
  await advance(39);
  assert.equal(daemon.of('GET').length, 0);
  await advance(2);
  assert.equal(daemon.of('GET').length, 1);
});

test('a session that ended is followed by a new one, as soon as there is one', async () => {
  const {daemon, link, pc} = await connected();
  const away = refused(404, 'there is no such session');
  daemon.instead['POST resource'] = [unreachable, away, away];
  daemon.say('gone', {reason: 'session-closed'});
  await advance(0.1);
  assert.equal(link.state, 'connecting');
  await advance(10);
  assert.equal(daemon.of('POST').length, 4);
  assert.deepEqual(outcomes(link), [['new', 'session-closed', 'connected']]);
  assert.equal(daemon.of('DELETE').length, 0);
  assert.equal(pc.connectionState, 'closed');
  assert.notEqual(link.pc, pc);
  link.restart();
  await settle();
  assert.deepEqual(outcomes(link)[1], ['us', 'asked', 'answered']);
});

test('closing ends the attempts at a new session', async () => {
  const {daemon, link} = await connected();
  daemon.instead['POST resource'] = Array(100).fill(unreachable);
  daemon.say('gone', {reason: 'session-closed'});
  await advance(4);
  const before = daemon.of('POST').length;
  assert.ok(before > 2);
  link.close();
  await advance(60);
  assert.equal(daemon.of('POST').length, before);
  assert.deepEqual(outcomes(link), [['new', 'session-closed', 'closed']]);
});

test('closing in the middle of an attempt is no error', async () => {
  const {daemon, link, told} = await connected();
  daemon.instead['POST resource'] = [silence];
  daemon.say('gone', {reason: 'session-closed'});
  await settle();
  link.close();
  await advance(60);
  assert.deepEqual(told.map(([kind]) => kind), ['gone', 'state', 'restart', 'state', 'restart']);
  assert.deepEqual(outcomes(link), [['new', 'session-closed', 'closed']]);
});

test('who connects on hearing that the session is gone is not hindered', async () => {
  const {daemon, link} = await connected();
  link.addEventListener('gone', () => link.connect());
  daemon.say('gone', {reason: 'session-closed'});
  await advance(60);
  assert.equal(daemon.of('POST').length, 1);
  assert.deepEqual(outcomes(link), []);
});

test('a session that another page took is left to it', async () => {
  const {daemon, link, told} = await connected();
  daemon.say('gone', {reason: 'replaced'});
  await advance(60);
  assert.equal(link.state, 'closed');
  assert.deepEqual(told.map(([kind]) => kind), ['gone', 'state']);
  assert.deepEqual(daemon.asked, []);
});

test('what is under way when a session ends touches the next one no more', async () => {
  let answer = null;
  const held = new Promise((done) => {
    answer = done;
  });
  const {daemon, link} = await connected({'PATCH resource': [() => held]});
  link.restart();
  await settle();
  const [patch] = daemon.of('PATCH');
  daemon.say('gone', {reason: 'bye'});
  await advance(1);
  assert.ok(patch.signal.aborted);
  answer(new Response(fragment('stale'), {headers: {ETag: '"stale"'}}));
  await settle();
  link.pc.gather(7000);
  await settle();
  const trickle = daemon.of('PATCH').at(-1);
  assert.equal(trickle.headers['If-Match'], '"2-1"');
  assert.equal(ufragOf(link.pc.remoteDescription.sdp), 'daemon2');
});

test('DTLS that is over cannot be restarted: a new session begins', async () => {
  const {daemon, link, pc} = await connected();
  pc.sctp = {transport: {state: 'failed'}};
  pc.onconnectionstatechange();
  await advance(1);
  assert.deepEqual(outcomes(link), [['new', 'DTLS is over', 'connected']]);
  assert.equal(daemon.of('POST').length, 1);
});

test('a pair that the browser shows late, or after that of before, is told once', async () => {
  const {link} = await connected();
  const told = [];
  link.addEventListener('pair', ({detail}) => told.push(detail.id));
  const stats = (id) => new Map(id ? [[id, {id, type: 'candidate-pair', selected: true}]] : []);
  let shown = null;
  link.pc.getStats = async () => stats(shown);
  link.stateChanged();
  await settle();
  assert.deepEqual(told, []);
  shown = 'first';
  await advance(5);
  assert.deepEqual(told, ['first']);
  link.stateChanged();
  await settle();
  shown = 'second';
  await advance(5);
  assert.deepEqual(told, ['first', 'second']);
});

test('closing tells the daemon, and stays closed', async () => {
  const {daemon, link, told} = await connected();
  link.close();
  link.close();
  link.restart();
  await advance(60);
  assert.deepEqual(daemon.asked.map(({method, url, keepalive}) => [method, url, keepalive]), [
    ['DELETE', RESOURCE, true],
  ]);
  assert.equal(daemon.asked[0].headers.Authorization, 'Bearer secret');
  assert.deepEqual(told, [['state', null]]);
  await link.connect();
  assert.equal(link.state, 'new');
});
