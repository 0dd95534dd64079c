"""The page of :mod:`tests.wpt` with a file and a harness of our own."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.peers import missing
from tests.wpt.__main__ import Outcome, run, table

HARNESS = """
const told = [], ended = [];
let chain = Promise.resolve();
globalThis.add_result_callback = (callback) => told.push(callback);
globalThis.add_completion_callback = (callback) => ended.push(callback);
globalThis.promise_test = (body, name) => {
  chain = chain.then(() => body()).then(
    () => told.forEach((callback) => callback({name, status: 0, message: null})),
    (error) => told.forEach((callback) => callback({name, status: 1, message: String(error)})));
};
globalThis.assert_equals = (one, other) => {
  if (one !== other) throw new Error(`${one} is not ${other}`);
};
globalThis.done = () => chain.then(() => ended.forEach((callback) => callback([], {status: 0})));
"""
HELPER = """
async function both(one, other) {
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
}
const reached = (pc, wanted) => new Promise((resolve) => {
  const look = () => pc.connectionState === wanted && resolve();
  pc.addEventListener('connectionstatechange', look);
  look();
});
"""
TESTS = """
promise_test(async () => {
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  one.onicecandidate = ({candidate}) => other.addIceCandidate(candidate);
  other.onicecandidate = ({candidate}) => one.addIceCandidate(candidate);
  one.createDataChannel('data');
  await both(one, other);
  await Promise.all([reached(one, 'connected'), reached(other, 'connected')]);
  const before = one.localDescription.sdp;
  let needed = 0;
  one.onnegotiationneeded = () => { needed += 1; };
  one.restartIce();
  assert_equals(needed, 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert_equals(needed, 1);
  await both(one, other);
  assert_equals(before === one.localDescription.sdp, false);
  assert_equals(one.connectionState, 'connected');
}, 'two of them connect, and restart');

promise_test(async () => {
  const pc = new RTCPeerConnection();
  const order = [];
  pc.onsignalingstatechange = () => {
    order.push(pc.signalingState);
    Promise.resolve().then(() => order.push('microtask'));
  };
  await pc.setLocalDescription().then(() => order.push('settled'));
  assert_equals(order.join(), 'have-local-offer,microtask,settled');
}, 'listeners, their microtasks and continuations run in the order of a browser');

promise_test(async () => {
  await new RTCPeerConnection().createAnswer().catch((error) => {
    throw new Error(error.name);
  });
}, 'errors have their names');
done();
"""
PAGE = (
    '<script src="/resources/testharness.js"></script>'
    f'<script src="helper.js"></script><script>{TESTS}</script>'
)


class PageTests(SynchronousTestCase):
    """Node is the browser."""

    def test_a_page_has_connections_and_tells_what_passed(self) -> None:
        if shutil.which("node") is None:
            missing("Node (apt-get install nodejs)")
        checkout = Path(self.mktemp())
        for place, text in (
            ("resources/testharness.js", HARNESS),
            ("webrtc/helper.js", HELPER),
            ("webrtc/own.html", PAGE),
        ):
            file = checkout / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        outcome = run(checkout, "own.html")
        self.assertEqual((outcome.harness, outcome.count), (None, 3))
        self.assertEqual(outcome.failed, [("errors have their names", "Error: InvalidStateError")])

    def test_the_table_keeps_reasons_as_long_as_they_are_needed(self) -> None:
        outcomes = [Outcome("a.html", [], 3, None), Outcome("b.html", [("x", "")], 3, "no end")]
        _, _, a, b = table(outcomes, {"a.html": "old", "b.html": "media"}).splitlines()
        self.assertEqual(a, "| `a.html` | 3 of 3 |  |")
        self.assertEqual(b, "| `b.html` | 2 of 3, then stops | media |")
