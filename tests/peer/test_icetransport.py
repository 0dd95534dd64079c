"""RTCIceTransport: the door for data, and what mux and pool see of a connection's life."""

from __future__ import annotations

import errno

from refreeze.ice import IceRole
from tests.net.fakes import FakePort
from tests.peer.pair import GOOD
from tests.peer.test_connection import Case


class DoorTests(Case):
    """Everything that is offered is handed to a port or counted; what comes is believed or not."""

    def test_what_the_port_refuses_is_counted(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.two.network.hosts["alice"].send_error = errno.ENETUNREACH
        door = self.alice.connection.iceTransport.datagrams
        self.assertEqual(self.alice.send(b"\x80x", b"\x80y"), 0)
        self.assertEqual(door.counters.dropped, {"send-error": 2})

    def test_before_there_is_a_receiver_nothing_is_kept(self) -> None:
        self.two.exchange(self.alice, self.bob)
        door = self.bob.connection.iceTransport.datagrams
        door._receiver = None  # type: ignore[attr-defined]
        self.alice.send(b"\x80early")
        self.two.advance(0.1)
        self.assertEqual(door.counters.received_dropped, {"no-receiver": 1})

    def test_data_from_a_stranger_is_nobodys(self) -> None:
        self.two.exchange(self.alice, self.bob)
        mallory = self.two.network.host("mallory", ["203.0.113.66"]).factory.open_udp(
            "203.0.113.66", 666
        )
        for base in self.bob.pool.lease("other").bases + list(self.bob.mux.ports):
            mallory.send([(b"\x80injected", base, 0)])
        self.two.advance(0.1)
        self.assertEqual(self.bob.received, [])
        self.assertGreater(self.bob.mux.counters.unowned, 0)

    def test_the_largest_payload_is_the_familys(self) -> None:
        door = self.alice.connection.iceTransport.datagrams
        self.assertIsNone(door.max_payload)
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(door.max_payload, 65507)

    def test_a_port_that_carries_less_makes_the_door_smaller(self) -> None:
        """A relay's framing has to fit too."""
        self.two.exchange(self.alice, self.bob)
        base = self.alice.transport.route.base
        self.alice.mux.add_port(FakePort(base, max_payload=1200))
        self.assertEqual(self.alice.connection.iceTransport.datagrams.max_payload, 1200)
        self.alice.mux.remove_port(base)
        self.assertIsNone(self.alice.connection.iceTransport.datagrams.max_payload)


class LifeTests(Case):
    """Names in the mux come and go with the generations."""

    def test_old_ufrags_go_when_their_generation_drained_T21_T23(self) -> None:
        self.two.exchange(self.alice, self.bob)
        for _ in range(5):
            self.two.exchange(self.alice, self.bob, restart=True)
            self.two.advance(10.0)
        for side in (self.alice, self.bob):
            self.assertEqual(len(side.mux._ufrags), 1)
            self.assertLessEqual(set(side.mux._tuples), side.transport.tuples())

    def test_after_close_the_mux_knows_nothing_of_it(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.alice.connection.close()
        self.alice.connection.close()
        self.assertEqual((dict(self.alice.mux._ufrags), dict(self.alice.mux._tuples)), ({}, {}))
        self.bob.send(b"\x80anybody?")
        self.two.advance(60.0)
        self.assertEqual(self.bob.state, "failed")
        self.assertEqual(self.alice.received, [])

    def test_what_w3c_asks_it(self) -> None:
        transport = self.alice.connection.iceTransport
        self.assertEqual((transport.role, transport.state), ("unknown", "new"))
        self.assertIsNone(transport.getSelectedCandidatePair())
        self.assertEqual(transport.getLocalCandidates(), [])
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(transport.role, IceRole.CONTROLLING.value)
        self.assertIn(transport.state, GOOD)
        self.assertEqual(transport.gatheringState, "complete")
        self.assertEqual(len(transport.getLocalCandidates()), 2)
        self.assertEqual(len(transport.getRemoteCandidates()), 2)
        pair = transport.getSelectedCandidatePair()
        assert pair is not None
        self.assertIs(transport.getSelectedCandidatePair(), pair)
        self.assertIn(pair.local, transport.getLocalCandidates())
        self.assertIn(pair.remote, transport.getRemoteCandidates())

    def test_a_base_that_goes_fails_its_pairs_only(self) -> None:
        self.two.exchange(self.alice, self.bob)
        route = self.alice.transport.route
        other = next(base for base in self.alice.mux.ports if base != route.base)
        self.alice.connection.iceTransport.base_gone(other)
        self.two.advance(1.0)
        self.assertIn(self.alice.state, GOOD)
        self.alice.connection.iceTransport.base_gone(route.base)
        self.two.advance(1.0)
        self.assertEqual(self.alice.state, "failed")
