"""The hub, from its wire."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.access import CookieAccess, SocketAccess
from refreeze.signaling.cookie import Cookie, CookieClient
from refreeze.signaling.envelope import MAX_LINE
from refreeze.signaling.hub import MAX_KNOWN, Hub, HubListener, HubSettings, hub_listener
from refreeze.signaling.places import LoopbackPlace
from refreeze.signaling.wire import Keepalive
from tests.signaling.wires import OWN_UID, Door, Network, start_hub


@define(eq=False, slots=False)
class Daemon(Protocol):
    """Writes and reads the hub's wire by hand."""

    data: bytes = b""
    lost: bool = False
    answers_pings: bool = field(default=True)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.answers_pings:
            for line in data.splitlines():
                if b'"ping"' in line:
                    self.say(pong=json.loads(line)["ping"])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def say(self, **members: Any) -> None:
        self.raw(json.dumps({"v": 1, **members}).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def take(self) -> list[dict[str, Any]]:
        """What the hub said since the last time, without pings."""
        lines, self.data = self.data.splitlines(), b""
        return [m for m in map(json.loads, lines) if "ping" not in m and "pong" not in m]


OFFER: dict[str, Any] = {
    "id": "o1",
    "to": "bob",
    "session": "demo",
    "epoch": 7,
    "generation": 3,
    "kind": "offer",
    "sdp": "v=0\r\na=ice-pwd:hushhushhushhushhushhush\r\n",
}


class HubCase(SynchronousTestCase):
    access: Any = None
    settings = HubSettings(max_connections=8, homecoming=0)

    def setUp(self) -> None:
        self.network = Network()
        self.hub, self.door = start_hub(self.network, access=self.access, settings=self.settings)

    def connect(self, **more: Any) -> Daemon:
        daemon = Daemon()
        self.network.join(daemon, self.door, **more)
        self.network.pump()
        return daemon

    def join(self, name: str, **hello: Any) -> Daemon:
        daemon = self.connect()
        self.say(daemon, hello={"name": name, **hello})
        self.assertEqual(daemon.take()[0], {"v": 1, "welcome": {"name": name}})
        return daemon

    def say(self, daemon: Daemon, **members: Any) -> None:
        daemon.say(**members)
        self.network.pump()

    def raw(self, daemon: Daemon, data: bytes) -> None:
        daemon.raw(data)
        self.network.pump()

    def said_bye(self, daemon: Daemon, reason: str) -> None:
        self.assertEqual(daemon.take()[-1], {"v": 1, "bye": {"reason": reason}})
        self.assertTrue(daemon.lost)


class GreetingTests(HubCase):
    def test_a_hello_is_welcomed(self) -> None:
        self.join("alice")
        self.assertEqual(self.hub.online, ("alice",))

    def test_anything_but_a_hello_is_shown_the_door(self) -> None:
        for data in (b"GET / HTTP/1.1\n", b'{"v":1,"ping":{}}\n{"v":1,"watch":["bob"]}\n'):
            daemon = self.connect()
            self.raw(daemon, data)
            self.said_bye(daemon, "hello")
        daemon = self.connect()
        self.say(daemon, **OFFER)
        self.said_bye(daemon, "hello")

    def test_a_hello_without_a_proper_name_is_shown_the_door(self) -> None:
        for hello in ({}, {"name": "-"}, {"name": 7}, {"name": "a b"}, "alice", None):
            daemon = self.connect()
            self.say(daemon, hello=hello)
            self.said_bye(daemon, "hello")

    def test_no_hello_within_ten_seconds_ends_the_connection(self) -> None:
        daemon = self.connect()
        self.network.pass_time(9.5)
        self.assertFalse(daemon.lost)
        self.network.pass_time(1)
        self.said_bye(daemon, "timeout")

    def test_one_connection_too_many_is_turned_away_and_the_others_stay(self) -> None:
        daemons = [self.join(f"d{n}") for n in range(8)]
        self.said_bye(self.connect(), "too-many")
        self.assertFalse(any(daemon.lost for daemon in daemons))
        daemons[0].transport.loseConnection()
        self.network.pump()
        self.join("another")

    def test_the_newer_connection_of_a_name_wins(self) -> None:
        watcher = self.join("bob", watch=["alice"])
        older, newer = self.join("alice"), self.join("alice")
        self.said_bye(older, "replaced")
        self.assertFalse(newer.lost)
        self.assertEqual(
            [m["presence"]["online"] for m in watcher.take() if "presence" in m],
            [True, False, True],
        )
        self.say(watcher, **{**OFFER, "to": "alice"})
        self.assertEqual(newer.take()[0]["from"], "bob")

    def test_a_half_dead_older_connection_does_not_block_its_successor(self) -> None:
        older = self.join("alice")
        wire: Any = older.transport
        wire.other.stalled = True
        newer = self.join("alice")
        self.assertEqual(self.hub.online, ("alice",))
        self.network.pass_time(3)
        self.assertTrue(older.lost)
        self.assertFalse(newer.lost)
        self.assertEqual(self.hub.online, ("alice",))


class AccessTests(HubCase):
    access = SocketAccess(
        uids=frozenset({2000}),
        gids=frozenset({300}),
        names={2000: frozenset({"carol"})},
        own_uid=OWN_UID,
    )

    def greet(self, name: str, **more: Any) -> Daemon:
        daemon = self.connect(**more)
        if not daemon.lost:
            self.say(daemon, hello={"name": name})
        return daemon

    def test_the_own_user_root_and_the_listed_may_connect(self) -> None:
        for ids in ({"uid": OWN_UID}, {"uid": 0}, {"uid": 5, "gid": 300}):
            self.assertFalse(self.greet("alice", **ids).lost)

    def test_others_may_not(self) -> None:
        self.said_bye(self.greet("alice", uid=1001, gid=1001), "not-permitted")

    def test_a_user_with_listed_names_may_take_no_other(self) -> None:
        self.assertFalse(self.greet("carol", uid=2000).lost)
        self.said_bye(self.greet("alice", uid=2000), "not-permitted")

    def test_a_transport_that_cannot_tell_who_it_is_is_refused(self) -> None:
        self.assertIsNone(self.access.guard(object()))


class CookieTests(HubCase):
    cookie = Cookie(bytes(range(32)))
    access = CookieAccess(cookie, Random(1))

    def prove(self, daemon: Daemon, cookie: Cookie) -> None:
        client = CookieClient(cookie, "hub", Random(2))
        self.say(daemon, auth={"nonce": client.nonce.hex()})
        told = daemon.take()[0]["auth"]
        nonce, proof = bytes.fromhex(told["nonce"]), bytes.fromhex(told["proof"])
        if cookie is self.cookie:
            self.say(daemon, auth={"proof": client.answer(nonce, proof).hex()})
        else:
            guess = cookie.proof("hub", "client", client.nonce, nonce)
            self.say(daemon, auth={"proof": guess.hex()})

    def test_who_knows_the_cookie_may_say_hello(self) -> None:
        daemon = self.connect()
        self.prove(daemon, self.cookie)
        self.say(daemon, hello={"name": "alice"})
        self.assertEqual(daemon.take(), [{"v": 1, "welcome": {"name": "alice"}}])

    def test_who_does_not_may_not(self) -> None:
        daemon = self.connect()
        self.prove(daemon, Cookie(bytes(32)))
        self.said_bye(daemon, "auth")

    def test_a_hello_before_the_handshake_or_within_it_is_refused(self) -> None:
        daemon = self.connect()
        self.say(daemon, hello={"name": "alice"})
        self.said_bye(daemon, "auth")
        daemon = self.connect()
        self.say(daemon, auth={"nonce": "00" * 32})
        self.say(daemon, hello={"name": "alice"})
        self.said_bye(daemon, "auth")

    def test_garbage_in_the_handshake_is_refused(self) -> None:
        for auth in ({}, {"nonce": "zz"}, {"nonce": "00"}, {"nonce": "0" * 5000}, [], None):
            daemon = self.connect()
            self.say(daemon, auth=auth)
            self.said_bye(daemon, "auth")


class RoutingTests(HubCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.join("alice"), self.join("bob")

    def test_an_envelope_arrives_with_from_set_by_the_hub(self) -> None:
        self.say(self.alice, **OFFER)
        self.assertEqual(self.bob.take(), [{"v": 1, **OFFER, "from": "alice"}])

    def test_an_envelope_that_claims_another_name_is_refused_and_counted(self) -> None:
        self.say(self.alice, **OFFER, **{"from": "carol"})
        self.say(self.alice, **OFFER, **{"from": 7})
        for reply in self.alice.take():
            self.assertEqual((reply["kind"], reply["offer"]), ("undeliverable", "o1"))
            self.assertEqual((reply["from"], reply["reason"]), ("bob", "not-permitted"))
        self.assertEqual(self.bob.take(), [])
        self.assertEqual(self.hub.counters["foreign_from"], 2)
        self.say(self.alice, **OFFER, **{"from": "alice"})
        self.assertEqual(self.bob.take()[0]["from"], "alice")

    def test_an_absent_addressee_is_told_to_the_sender(self) -> None:
        self.bob.transport.loseConnection()
        self.network.pump()
        self.say(self.alice, **OFFER)
        self.say(self.alice, **{**OFFER, "to": "nobody"})
        offline, unknown = (m for m in self.alice.take() if "kind" in m)
        self.assertEqual(
            {k: offline[k] for k in ("kind", "from", "to", "session", "offer", "reason")},
            {
                "kind": "undeliverable",
                "from": "bob",
                "to": "alice",
                "session": "demo",
                "offer": "o1",
                "reason": "offline",
            },
        )
        self.assertEqual((unknown["from"], unknown["reason"]), ("nobody", "unknown-peer"))

    def test_a_bad_envelope_is_counted_and_answered_and_the_link_stays(self) -> None:
        bad = [
            json.dumps({"v": 1, **OFFER, "epoch": 0}).encode(),
            b"not json",
            b"[]",
            b'{"v":1}',
            b'{"v":2,"ping":1}',
            b'{"v":1,"kind":"offer"}',
            json.dumps({"v": 1, **OFFER, "kind": "undeliverable", "reason": "x"}).encode(),
            b"x" * (MAX_LINE + 10),
        ]
        for line in bad:
            self.raw(self.alice, line + b"\n")
            (reply,) = self.alice.take()
            self.assertEqual((reply["kind"], reply["reason"]), ("undeliverable", "malformed"))
            self.assertNotIn("hush", json.dumps(reply))
        self.assertEqual(self.hub.counters["malformed"], len(bad))
        self.say(self.alice, **OFFER)
        self.assertEqual(len(self.bob.take()), 1)

    def test_a_bad_envelope_comes_back_with_what_could_be_read_of_it(self) -> None:
        self.say(self.alice, **{**OFFER, "epoch": 0})
        (reply,) = self.alice.take()
        self.assertEqual((reply["from"], reply["session"], reply["offer"]), ("bob", "demo", "o1"))
        self.assertIn("epoch", reply["detail"])
        self.raw(self.alice, b"?\n")
        (reply,) = self.alice.take()
        self.assertEqual((reply["from"], reply["session"], reply["offer"]), ("hub", "-", "-"))

    def test_a_line_that_the_hubs_own_from_makes_too_long_is_malformed(self) -> None:
        members = {"v": 1, **OFFER}
        members["sdp"] = ""
        bare = len(json.dumps(members, separators=(",", ":")))
        members["sdp"] = "x" * (MAX_LINE - bare - 1)
        self.raw(self.alice, json.dumps(members, separators=(",", ":")).encode() + b"\n")
        (reply,) = self.alice.take()
        self.assertEqual(reply["reason"], "malformed")

    def test_unknown_notices_and_empty_lines_are_ignored(self) -> None:
        self.say(self.alice, colour="red")
        self.raw(self.alice, b"\n\r\n")
        self.assertEqual(self.alice.take(), [])
        self.assertFalse(self.alice.lost)

    def test_a_slow_reader_is_closed_and_its_senders_are_told(self) -> None:
        wire: Any = self.bob.transport
        wire.other.stalled = True
        sent = 0
        while not self.bob.lost and sent < 100:
            self.say(self.alice, **{**OFFER, "id": f"o{sent}", "sdp": "x" * 60000})
            sent += 1
        self.assertTrue(self.bob.lost)
        self.assertLess(sent * 60000, 1.3 * 1024 * 1024)
        full = [m for m in self.alice.take() if m.get("reason") == "queue-full"]
        self.assertEqual([m["offer"] for m in full], [f"o{sent - 1}"])
        self.assertEqual(self.hub.counters["slow"], 1)

    def test_a_reader_that_catches_up_misses_nothing(self) -> None:
        wire: Any = self.bob.transport
        wire.other.stalled = True
        for n in range(10):
            self.say(self.alice, **{**OFFER, "id": f"o{n}", "sdp": "x" * 60000})
        wire.other.stalled = False
        self.network.pump()
        self.assertEqual([m["id"] for m in self.bob.take()], [f"o{n}" for n in range(10)])


class PresenceTests(HubCase):
    def presences(self, daemon: Daemon) -> list[tuple[str, bool]]:
        found = [m["presence"] for m in daemon.take() if "presence" in m]
        return [(p["peer"], p["online"]) for p in found]

    def leave(self, daemon: Daemon) -> None:
        daemon.transport.loseConnection()
        self.network.pump()

    def test_a_watched_name_is_told_at_once_and_at_every_change(self) -> None:
        alice = self.connect()
        self.say(alice, hello={"name": "alice", "watch": ["bob"]})
        self.assertEqual(self.presences(alice), [("bob", False)])
        bob = self.join("bob")
        self.leave(bob)
        self.assertEqual(self.presences(alice), [("bob", True), ("bob", False)])

    def test_watching_later_and_no_longer(self) -> None:
        alice = self.join("alice")
        self.say(alice, watch=["bob", "-", 7, "carol"])
        self.assertEqual(self.presences(alice), [("bob", False), ("carol", False)])
        self.say(alice, unwatch=["bob"])
        self.join("bob")
        self.join("carol")
        self.assertEqual(self.presences(alice), [("carol", True)])

    def test_who_sent_to_a_name_watches_it(self) -> None:
        alice = self.join("alice")
        self.say(alice, **OFFER)
        self.join("bob")
        self.assertEqual(self.presences(alice), [("bob", True)])

    def test_who_does_not_watch_is_told_nothing(self) -> None:
        alice = self.join("alice")
        self.join("bob")
        self.assertEqual(self.presences(alice), [])

    def test_nothing_is_left_of_who_left(self) -> None:
        alice = self.join("alice", watch=["bob", "carol"])
        self.leave(alice)
        self.assertEqual(self.hub._watchers, {})
        self.assertEqual(self.hub._connections, set())
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_watches_are_bounded(self) -> None:
        self.hub.settings = HubSettings(max_watches=3)
        alice = self.join("alice")
        self.say(alice, watch=[f"d{n}" for n in range(5)])
        self.assertEqual(len(self.presences(alice)), 3)
        self.assertEqual(self.hub.counters["watches_refused"], 2)

    def test_remembered_names_are_bounded(self) -> None:
        for n in range(MAX_KNOWN + 2):
            self.hub._remember(f"d{n}")
        self.assertEqual(len(self.hub._known), MAX_KNOWN)
        self.assertNotIn("d1", self.hub._known)


class KeepaliveTests(HubCase):
    def test_a_silent_connection_is_noticed_within_thirty_seconds(self) -> None:
        alice = self.join("alice")
        alice.answers_pings = False
        self.network.pass_time(29)
        self.assertFalse(alice.lost)
        self.network.pass_time(2)
        self.assertTrue(alice.lost)
        self.assertEqual(self.hub.counters["keepalive_lost"], 1)
        self.assertEqual(self.hub.online, ())

    def test_a_connection_that_answers_stays(self) -> None:
        alice = self.join("alice")
        self.network.pass_time(600)
        self.assertFalse(alice.lost)

    def test_anything_said_after_the_ping_is_a_sign_of_life(self) -> None:
        alice = self.join("alice")
        alice.answers_pings = False
        for _ in range(20):
            self.network.pass_time(5)
            self.say(alice, watch=[])
        self.assertFalse(alice.lost)

    def test_nothing_is_asked_of_who_speaks_by_itself(self) -> None:
        """So an idle link costs the pings of one end only."""
        alice = self.join("alice")
        for _ in range(20):
            self.network.pass_time(15)
            self.say(alice, ping=1)
        self.assertNotIn(b'"ping"', alice.data)
        alice.answers_pings = False
        self.network.pass_time(29)
        self.assertFalse(alice.lost)
        self.network.pass_time(2)
        self.assertTrue(alice.lost)

    def test_a_ping_of_the_daemons_is_answered(self) -> None:
        alice = self.join("alice")
        self.say(alice, ping=12)
        self.assertIn(b'{"v":1,"pong":12}', alice.data)

    def test_T16_a_keepalive_of_no_or_negative_time_is_no_setting(self) -> None:
        for interval, timeout in ((0, 0), (20, 0), (-1, -2), (10, 10), (5, 10)):
            with self.assertRaises(ValueError):
                Keepalive(interval, timeout)


class ServiceTests(HubCase):
    def test_a_place_that_cannot_be_listened_at_stops_the_start(self) -> None:
        door = Door(error=CannotListenError(None, "hub", OSError("in use")))
        hub = Hub([HubListener(door, SocketAccess())], self.network.clock)
        with self.assertRaises(CannotListenError):
            hub.startService()

    def test_stopping_says_bye_and_waits_for_the_connections(self) -> None:
        alice = self.join("alice")
        stopped = self.hub.stopService()
        self.assertNoResult(stopped)
        self.network.pump()
        self.successResultOf(stopped)
        self.said_bye(alice, "shutdown")
        self.assertIsNone(self.door.factory)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_a_reader_that_is_only_behind_gets_everything_before_the_bye(self) -> None:
        alice, bob = self.join("alice"), self.join("bob")
        wire: Any = bob.transport
        wire.other.stalled = True
        for n in range(10):
            self.say(alice, **{**OFFER, "id": f"o{n}", "sdp": "x" * 60000})
        self.hub.stopService()
        wire.other.stalled = False
        self.network.pump()
        told = bob.take()
        self.assertEqual([m["id"] for m in told[:-1]], [f"o{n}" for n in range(10)])
        self.assertEqual(told[-1]["bye"]["reason"], "shutdown")

    def test_stopping_waits_no_longer_than_two_seconds_for_a_slow_reader(self) -> None:
        alice = self.join("alice")
        wire: Any = alice.transport
        wire.other.stalled = True
        stopped = self.hub.stopService()
        self.network.pass_time(1.5)
        self.assertNoResult(stopped)
        self.network.pass_time(1)
        self.successResultOf(stopped)

    def test_stopping_without_connections_is_done_at_once(self) -> None:
        self.successResultOf(self.hub.stopService())

    def test_a_fault_in_a_handler_is_logged_and_costs_nobody_the_connection(self) -> None:
        alice, bob = self.join("alice"), self.join("bob")
        self.hub._online["carol"] = object()  # provokes a fault
        self.say(alice, **{**OFFER, "to": "carol"})
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.say(alice, **OFFER)
        self.assertEqual(len(bob.take()), 1)

    def test_loopback_tcp_without_a_cookie_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            hub_listener(None, LoopbackPlace("127.0.0.1", 1), socket=SocketAccess(), cookie=None)
