"""The link to the hub: sessions on it, back-off, presence; and the control port's carrier."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling import Carrier, ControlSignaling, HubLink, LinkSettings, Signaling
from refreeze.signaling.access import CookieAccess
from refreeze.signaling.cookie import Cookie
from refreeze.signaling.envelope import (
    MAX_LINE,
    Envelope,
    EnvelopeError,
    EnvelopeKind,
    format_envelope,
)
from refreeze.signaling.wire import Keepalive
from tests.signaling.wires import Door, Network, Receiver, Way, start_hub, start_link


def offer(session: str = "demo", **changes: Any) -> Envelope:
    """Alice to bob."""
    envelope = Envelope(
        id="o1",
        from_="alice",
        to="bob",
        session=session,
        epoch=5,
        generation=1,
        kind=EnvelopeKind.OFFER,
        sdp="v=0",
    )
    return evolve(envelope, **changes)


class LinkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.hub, self.door = start_hub(self.network)

    def link(self, name: str, **more: Any) -> HubLink:
        link = start_link(self.network, self.door, name, **more)
        self.network.pump()
        return link

    def attach(self, link: HubLink, peer: str, session: str = "demo") -> tuple[Carrier, Receiver]:
        receiver = Receiver()
        carrier = link.attach(session, peer, receiver)
        self.settle()
        return carrier, receiver

    def settle(self) -> None:
        """One turn of the reactor."""
        self.network.clock.advance(0)
        self.network.pump()

    def restart_hub(self) -> None:
        self.hub.stopService()
        self.network.pump()
        self.hub.startService()


class SessionTests(LinkCase):
    def test_envelopes_of_many_sessions_find_their_receivers(self) -> None:
        alice, bob = self.link("alice"), self.link("bob")
        first, _ = self.attach(alice, "bob", "first")
        second, _ = self.attach(alice, "bob", "second")
        _, at_first = self.attach(bob, "alice", "first")
        _, at_second = self.attach(bob, "alice", "second")
        at_first.take(), at_second.take()
        self.assertTrue(first.send(offer("first")))
        self.assertTrue(second.send(offer("second")))
        self.network.pump()
        self.assertEqual(at_first.take(), [offer("first")])
        self.assertEqual(at_second.take(), [offer("second")])

    def test_a_receiver_hears_nothing_before_attach_returns_and_then_how_things_are(self) -> None:
        alice = self.link("alice")
        self.link("bob")
        receiver = Receiver()
        alice.attach("demo", "bob", receiver)
        self.assertEqual(receiver.heard, [])
        self.settle()
        self.assertEqual(receiver.take(), [True, ("bob", True)])

    def test_a_second_session_with_the_same_peer_is_told_what_is_known(self) -> None:
        alice = self.link("alice")
        self.attach(alice, "bob", "first")
        _, second = self.attach(alice, "bob", "second")
        self.assertEqual(second.take(), [True, ("bob", False)])

    def test_presence_is_told_at_every_change_and_only_then(self) -> None:
        alice = self.link("alice")
        carrier, receiver = self.attach(alice, "bob")
        carrier.send(offer())
        self.network.pump()
        bob = self.link("bob")
        bob.stopService()
        self.network.pump()
        said = [heard for heard in receiver.take() if not isinstance(heard, Envelope)]
        self.assertEqual(said, [True, ("bob", False), ("bob", True), ("bob", False)])

    def test_undeliverable_comes_back_to_the_session(self) -> None:
        alice = self.link("alice")
        carrier, receiver = self.attach(alice, "bob")
        receiver.take()
        carrier.send(offer())
        self.network.pump()
        (back,) = receiver.take()
        self.assertIs(back.kind, EnvelopeKind.UNDELIVERABLE)
        self.assertEqual((back.offer, back.reason), ("o1", "unknown-peer"))

    def test_an_unknown_session_goes_to_its_callback(self) -> None:
        unknown: list[Envelope] = []
        alice, bob = self.link("alice"), self.link("bob", unknown_session=unknown.append)
        carrier, _ = self.attach(alice, "bob")
        carrier.send(offer())
        self.network.pump()
        self.assertEqual(unknown, [offer()])
        self.assertEqual(bob.counters["unknown_session"], 1)

    def test_another_peers_envelope_for_our_session_is_unknown(self) -> None:
        unknown: list[Envelope] = []
        bob = self.link("bob", unknown_session=unknown.append)
        _, receiver = self.attach(bob, "alice")
        mallory = self.link("mallory")
        mallory.send(offer(from_="mallory"))
        self.network.pump()
        self.assertEqual([envelope.from_ for envelope in unknown], ["mallory"])
        self.assertFalse([e for e in receiver.heard if isinstance(e, Envelope)])

    def test_a_session_is_attached_once_and_free_again_when_detached(self) -> None:
        alice = self.link("alice")
        carrier, receiver = self.attach(alice, "bob")
        with self.assertRaises(ValueError):
            alice.attach("demo", "bob", Receiver())
        receiver.take()
        carrier.detach()
        carrier.detach()
        self.link("bob")
        self.assertEqual(receiver.take(), [])
        _, again = self.attach(alice, "bob")
        self.assertEqual(again.take(), [True, ("bob", True)])

    def test_a_session_detached_before_its_first_news_hears_none(self) -> None:
        alice = self.link("alice")
        receiver = Receiver()
        alice.attach("demo", "bob", receiver).detach()
        self.settle()
        self.assertEqual(receiver.heard, [])

    def test_what_a_receiver_raises_is_logged_and_harms_no_other(self) -> None:
        alice, bob = self.link("alice"), self.link("bob")
        carrier, _ = self.attach(alice, "bob")
        _, broken = self.attach(bob, "alice")
        _, sound = self.attach(bob, "alice", "sound")
        broken.error = RuntimeError("no")
        sound.take()
        carrier.send(offer())
        alice.send(offer("sound"))
        self.network.pump()
        self.assertEqual(sound.take(), [offer("sound")])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(bob.up)

    def test_what_the_unknown_session_callback_raises_is_logged(self) -> None:
        def refuse(_envelope: Envelope) -> None:
            raise RuntimeError("no")

        alice, bob = self.link("alice"), self.link("bob", unknown_session=refuse)
        alice.send(offer())
        self.network.pump()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(bob.up)

    def test_an_envelope_that_is_too_long_is_not_sent(self) -> None:
        alice = self.link("alice")
        carrier, _ = self.attach(alice, "bob")
        self.assertFalse(carrier.send(offer(sdp="x" * MAX_LINE)))
        self.assertTrue(alice.up)

    def test_while_the_hub_does_not_read_nothing_is_taken(self) -> None:
        alice = self.link("alice")
        carrier, _ = self.attach(alice, "bob")
        wire: Any = self.network.wires[-2]
        wire.stalled = True
        taken = 0
        while carrier.send(offer(sdp="x" * 30000)):
            taken += 1
        self.assertLess(taken, 5)
        self.assertFalse(carrier.up)
        wire.stalled = False
        self.network.pump()
        self.assertTrue(carrier.up)


class ConnectionTests(LinkCase):
    def test_the_link_comes_back_and_every_session_is_told(self) -> None:
        states: list[tuple[bool, str]] = []
        alice = self.link("alice", state_changed=lambda up, why: states.append((up, why)))
        carrier, receiver = self.attach(alice, "bob")
        receiver.take()
        self.restart_hub()
        self.assertFalse(alice.up)
        self.assertFalse(carrier.up)
        self.assertFalse(carrier.send(offer()))
        self.assertEqual(receiver.take(), [False])
        self.network.pass_time(1)
        self.assertEqual(receiver.take(), [True, ("bob", False)])
        self.assertEqual([up for up, _ in states], [True, False, True])
        self.assertIn("shutdown", states[1][1])

    def test_back_off_grows_from_one_second_to_thirty_with_jitter(self) -> None:
        self.hub.stopService()
        link = start_link(self.network, self.door, "alice")
        waits = []
        for _ in range(14):
            (call,) = self.network.clock.getDelayedCalls()
            waits.append(call.getTime() - self.network.clock.seconds())
            self.network.clock.advance(waits[-1])
        for number, wait in enumerate(waits):
            longest = min(1.5**number, 30.0)
            self.assertTrue(longest / 2 <= wait <= longest, (number, wait))
        self.assertGreater(max(waits), 15)
        self.assertIn("refused", link.last_error)

    def test_a_hub_that_accepts_and_turns_away_is_not_asked_every_second(self) -> None:
        link = start_link(self.network, self.door, "alice", cookie=Cookie(bytes(32)))
        way: Any = link.endpoint
        self.network.pass_time(100)
        self.assertFalse(link.up)
        self.assertLess(way.attempts, 15)
        self.assertGreater(way.attempts, 4)

    def test_back_off_starts_anew_after_a_welcome(self) -> None:
        self.hub.stopService()
        link = start_link(self.network, self.door, "alice")
        self.network.pass_time(100)
        self.hub.startService()
        self.network.pass_time(31)
        self.assertTrue(link.up)
        self.restart_hub()
        self.network.pass_time(1)
        self.assertTrue(link.up)

    def test_two_daemons_of_one_name_do_not_chase_each_other(self) -> None:
        first, second = self.link("alice"), self.link("alice")
        self.network.pass_time(14)
        self.assertFalse(first.up)
        self.assertTrue(second.up)

    def test_a_hub_that_does_not_answer_is_given_up_in_time(self) -> None:
        self.door.factory = Factory.forProtocol(Protocol)
        link = start_link(self.network, self.door, "alice")
        self.network.pass_time(9)
        self.assertEqual(link.last_error, "")
        self.network.pass_time(2)
        self.assertEqual(link.last_error, "no welcome in time")

    def test_a_dead_hub_is_noticed_by_silence(self) -> None:
        alice = self.link("alice")
        _, receiver = self.attach(alice, "bob")
        receiver.take()
        for wire in self.network.wires:
            wire.stalled = True
        self.door.factory = None
        self.network.pass_time(31)
        self.assertFalse(alice.up)
        self.assertEqual(receiver.take(), [False])
        self.assertGreaterEqual(alice.counters["keepalive_lost"], 1)

    def test_the_cookie_opens_a_hub_on_tcp(self) -> None:
        cookie = Cookie(bytes(range(32)))
        _, door = start_hub(self.network, access=CookieAccess(cookie, Random(3)))
        link = start_link(self.network, door, "alice", cookie=cookie)
        self.network.pump()
        self.assertTrue(link.up)

    def test_a_hub_that_does_not_know_the_cookie_is_told_nothing(self) -> None:
        _, door = start_hub(self.network, access=CookieAccess(Cookie(bytes(32)), Random(3)))
        link = start_link(self.network, door, "alice", cookie=Cookie(bytes(range(32))))
        self.network.pump()
        self.assertFalse(link.up)
        self.assertIn("does not know the cookie", link.last_error)

    def test_garbage_from_the_hub_is_counted_and_harmless(self) -> None:
        alice = self.link("alice")
        _, receiver = self.attach(alice, "bob")
        receiver.take()
        hub_end: Any = self.network.wires[-1]
        for line in (
            b"?\n",
            b'{"v":1,"presence":{"peer":7,"online":true}}\n',
            b'{"v":1,"presence":[]}\n',
            b'{"v":1,"auth":{}}\n',
            b'{"v":1,"welcome":{}}\n',
            b'{"v":1,"kind":"offer"}\n',
            format_envelope(offer(to="carol")),
            b"x" * (MAX_LINE + 1) + b"\n",
        ):
            hub_end.write(line)
        self.network.pump()
        self.assertTrue(alice.up)
        self.assertEqual(receiver.take(), [])
        self.assertEqual(alice.counters["malformed"], 4)

    def test_stopping_sends_what_is_on_its_way_and_leaves_nothing_behind(self) -> None:
        alice, bob = self.link("alice"), self.link("bob")
        carrier, _ = self.attach(alice, "bob")
        _, receiver = self.attach(bob, "alice")
        receiver.take()
        carrier.send(offer())
        stopped: Deferred[None] = alice.stopService()
        self.network.pump()
        self.successResultOf(stopped)
        self.assertEqual(receiver.take(), [offer(), ("alice", False)])
        self.assertFalse(alice.up)
        bob.stopService()
        self.hub.stopService()
        self.network.pump()
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_stopping_a_link_that_waits_for_its_next_attempt(self) -> None:
        self.hub.stopService()
        link = start_link(self.network, self.door, "alice")
        self.successResultOf(link.stopService())
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_stopping_waits_no_longer_than_two_seconds_for_a_hung_hub(self) -> None:
        alice = self.link("alice")
        for wire in self.network.wires:
            wire.stalled = True
        alice.send(offer())
        stopped = alice.stopService()
        self.network.pass_time(2.5)
        self.successResultOf(stopped)

    def test_a_link_can_be_started_again(self) -> None:
        alice = self.link("alice")
        alice.stopService()
        self.network.pump()
        alice.startService()
        self.network.pump()
        self.assertTrue(alice.up)

    def test_T16_a_back_off_without_sense_is_no_setting(self) -> None:
        for wrong in (
            {"initial_delay": 0.0},
            {"initial_delay": -1.0},
            {"factor": 0.5},
            {"max_delay": 0.5},
        ):
            with self.assertRaises(ValueError):
                LinkSettings(**wrong)

    def test_many_peers_are_watched_in_lines_of_allowed_length(self) -> None:
        link = start_link(self.network, self.door, "alice")
        for number in range(1500):
            link.attach("demo", f"{'p' * 55}{number}", Receiver())
        self.network.pump()
        self.settle()
        self.assertTrue(link.up)
        self.assertEqual(len(self.hub._watchers), 1500)


class ControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.emitted: list[tuple[str, str]] = []
        self.signaling = ControlSignaling(
            name="alice",
            clock=self.clock,
            emit=lambda session, line: self.emitted.append((session, line)),
        )
        self.receiver = Receiver()
        self.carrier = self.signaling.attach("demo", "bob", self.receiver)
        self.clock.advance(0)

    def answer(self, **changes: Any) -> str:
        envelope = offer(from_="bob", to="alice", kind=EnvelopeKind.ANSWER, offer="o1")
        return format_envelope(evolve(envelope, **changes)).decode()

    def test_it_is_up_and_takes_the_peer_to_be_there(self) -> None:
        self.assertTrue(self.carrier.up)
        self.assertEqual(self.receiver.take(), [True, ("bob", True)])

    def test_the_application_may_say_that_the_peer_is_gone(self) -> None:
        self.receiver.take()
        self.signaling.presence("bob", False)
        self.assertEqual(self.receiver.take(), [("bob", False)])

    def test_envelopes_go_out_as_one_line_of_json(self) -> None:
        self.assertTrue(self.carrier.send(offer()))
        ((session, line),) = self.emitted
        self.assertEqual(session, "demo")
        self.assertEqual(json.loads(line)["kind"], "offer")
        self.assertNotIn("\n", line)

    def test_envelopes_come_in_by_session_and_peer(self) -> None:
        self.receiver.take()
        got = self.signaling.deliver(self.answer())
        self.assertEqual(self.receiver.take(), [got])
        self.carrier.deliver(self.answer())
        self.assertEqual(self.receiver.take(), [got])

    def test_what_is_no_envelope_of_ours_is_an_error_for_the_caller(self) -> None:
        self.receiver.take()
        for text in (
            "?",
            self.answer(to="carol"),
            self.answer(from_="carol"),
            self.answer(session="x"),
        ):
            with self.assertRaises(EnvelopeError):
                self.signaling.deliver(text)
            with self.assertRaises(EnvelopeError):
                self.carrier.deliver(text)
        self.assertEqual(self.receiver.take(), [])

    def test_a_control_port_that_fails_takes_nothing(self) -> None:
        def refuse(_session: str, _line: str) -> None:
            raise RuntimeError("closed")

        self.signaling.emit = refuse
        self.assertFalse(self.carrier.send(offer()))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(self.carrier.send(offer(sdp="x" * MAX_LINE)))

    def test_detached_is_gone(self) -> None:
        self.carrier.detach()
        with self.assertRaises(EnvelopeError):
            self.signaling.deliver(self.answer())

    def test_link_and_control_are_the_same_to_a_session(self) -> None:
        network = Network()
        either: list[Signaling] = [
            self.signaling,
            HubLink(
                endpoint=Way(network, Door()),
                name="alice",
                clock=network.clock,
                random=Random(1),
                settings=LinkSettings(keepalive=Keepalive(5, 1)),
            ),
        ]
        for signaling in either:
            self.assertTrue(callable(signaling.attach("other", "bob", Receiver()).send))
