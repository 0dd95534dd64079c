"""A hub in its first seconds calls nobody absent: its daemons are on their way back."""

from __future__ import annotations

from typing import Any

from refreeze.signaling.homecoming import MAX_HELD_FOR_ONE
from refreeze.signaling.hub import HubSettings
from tests.signaling.test_hub import OFFER, Daemon, HubCase


class HomecomingTests(HubCase):
    """Five seconds of it."""

    settings = HubSettings(max_connections=2000, homecoming=5.0)

    def presences(self, daemon: Daemon) -> list[tuple[str, bool]]:
        """What *daemon* was told since the last time."""
        found = [m["presence"] for m in daemon.take() if "presence" in m]
        return [(p["peer"], p["online"]) for p in found]

    def offer(self, daemon: Daemon, name: str, number: int = 1, **more: Any) -> None:
        """To *name*."""
        self.say(daemon, **{**OFFER, "to": name, "id": f"o{number}", **more})

    def test_absence_is_told_when_the_time_is_over_and_presence_at_once(self) -> None:
        alice = self.join("alice", watch=["bob", "carol"])
        self.assertEqual(self.presences(alice), [])
        self.join("bob")
        self.assertEqual(self.presences(alice), [("bob", True)])
        self.network.pass_time(4.5)
        self.assertEqual(self.presences(alice), [])
        self.network.pass_time(1)
        self.assertEqual(self.presences(alice), [("carol", False)])
        self.say(alice, watch=["dave"])
        self.assertEqual(self.presences(alice), [("dave", False)])

    def test_who_was_here_and_left_is_absent_at_once(self) -> None:
        alice, bob = self.join("alice", watch=["bob"]), self.join("bob")
        bob.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.presences(alice), [("bob", True), ("bob", False)])

    def test_envelopes_wait_for_who_comes_back_in_order(self) -> None:
        alice = self.join("alice")
        for number in range(3):
            self.offer(alice, "bob", number)
        self.assertEqual(alice.take(), [])
        bob = self.connect()
        self.say(bob, hello={"name": "bob"})
        welcome, *envelopes = bob.take()
        self.assertEqual(welcome["welcome"], {"name": "bob"})
        self.assertEqual([m["id"] for m in envelopes], ["o0", "o1", "o2"])
        self.assertEqual([m["presence"]["online"] for m in alice.take()], [True])

    def test_they_go_back_when_nobody_came(self) -> None:
        alice = self.join("alice")
        self.offer(alice, "bob")
        self.network.pass_time(5.5)
        presence, back = alice.take()
        self.assertEqual(presence["presence"], {"peer": "bob", "online": False})
        self.assertEqual((back["offer"], back["reason"]), ("o1", "unknown-peer"))

    def test_what_waits_is_bounded_for_one_and_in_all(self) -> None:
        alice = self.join("alice")
        for number in range(MAX_HELD_FOR_ONE + 2):
            self.offer(alice, "bob", number)
        back = [m["offer"] for m in alice.take() if "kind" in m]
        self.assertEqual(back, [f"o{MAX_HELD_FOR_ONE}", f"o{MAX_HELD_FOR_ONE + 1}"])
        for number in range(100):
            self.offer(alice, f"d{number}", sdp="x" * 60000)
        lost = [m for m in alice.take() if "kind" in m]
        self.assertGreater(len(lost), 25)
        self.assertEqual({m["reason"] for m in lost}, {"unknown-peer"})

    def test_a_sender_that_has_left_is_delivered_or_forgotten(self) -> None:
        alice = self.join("alice")
        self.offer(alice, "bob")
        self.offer(alice, "carol")
        alice.transport.loseConnection()
        self.network.pump()
        self.join("bob")
        self.assertEqual(self.hub.counters["routed"], 1)
        self.network.pass_time(5.5)
        self.assertEqual(self.hub.counters["unknown_peer"], 1)

    def test_a_hub_that_stops_young_leaves_nothing_behind(self) -> None:
        alice = self.join("alice")
        self.offer(alice, "bob")
        self.hub.stopService()
        self.network.pass_time(3)
        self.assertTrue(alice.lost)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])
