"""PeerHost: what its connections take of the machine, and when they give it back."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import JsepError
from refreeze.peer import (
    Event,
    RTCIceCandidate,
    RTCPeerConnection,
    RTCPeerConnectionIceErrorEvent,
)
from refreeze.service import PeerHost
from refreeze.testing import FakeHost, VirtualWorld

GOOD = ("connected", "completed")
TURN_HOST = "203.0.113.10"


class HostTests(SynchronousTestCase):
    """Alice's and bob's hosts, on two machines."""

    def setUp(self) -> None:
        self.world = VirtualWorld(seed=1)
        self.addCleanup(self.world.stop)
        self.machines = {
            "alice": self.world.network.host("alice", ["192.0.2.1"]),
            "bob": self.world.network.host("bob", ["192.0.2.2"]),
        }
        self.hosts = {name: self.host(machine) for name, machine in self.machines.items()}
        self.addCleanup(self.world.reactor.advance, 3.0)

    def host(self, machine: FakeHost) -> PeerHost:
        """On that machine, closed at the end."""
        made = PeerHost(self.world.reactor, process=self.world.process(machine))
        self.addCleanup(made.close)
        return made

    def connected(self) -> tuple[RTCPeerConnection, RTCPeerConnection]:
        """Two connections that have a path."""
        alice, bob = (host.RTCPeerConnection() for host in self.hosts.values())
        alice.createDataChannel("x")
        for one, other in ((alice, bob), (bob, alice)):
            one.onicecandidate = partial(self.trickle, other)
        self.exchange(alice, bob)
        self.assertEqual((alice.connectionState, bob.connectionState), ("connected", "connected"))
        return alice, bob

    def trickle(self, other: RTCPeerConnection, event: Event) -> None:
        """Descriptions have those that are too early."""
        assert isinstance(event.candidate, RTCIceCandidate | None)
        other.addIceCandidate(event.candidate).addErrback(lambda failure: failure.trap(JsepError))

    def exchange(self, one: RTCPeerConnection, other: RTCPeerConnection) -> None:
        """Offer, answer, and the time to connect."""
        for step in (
            one.setLocalDescription,
            lambda: other.setRemoteDescription(one.localDescription or {}),
            other.setLocalDescription,
            lambda: one.setRemoteDescription(other.localDescription or {}),
        ):
            done = step()
            self.world.reactor.advance(0.05)
            self.successResultOf(done)
        self.world.reactor.advance(3.0)

    def sockets(self, name: str) -> int:
        """Open on that machine."""
        return len(self.machines[name]._ports)

    def test_a_closed_connection_gives_its_sockets_back(self) -> None:
        """A program makes connections for as long as it lives."""
        for _ in range(3):
            alice, bob = self.connected()
            self.assertEqual((self.sockets("alice"), self.sockets("bob")), (1, 1))
            alice.close()
            bob.close()
            self.world.reactor.advance(0.1)
            self.assertEqual((self.sockets("alice"), self.sockets("bob")), (0, 0))
            self.assertEqual(self.hosts["alice"]._made, [])

    def test_its_close_notify_leaves_before_the_socket_is_closed(self) -> None:
        alice, bob = self.connected()
        alice.close()
        self.world.reactor.advance(0.5)
        assert bob.dtlsTransport is not None
        self.assertEqual(bob.dtlsTransport.state, "closed")

    def test_one_may_be_closed_by_what_it_receives(self) -> None:
        alice, bob = self.connected()
        assert alice.dtlsTransport is not None
        assert bob.dtlsTransport is not None
        bob.dtlsTransport.on_batch(lambda payloads: bob.close())
        alice.dtlsTransport.send([b"go"] * 3)
        self.world.reactor.advance(0.5)
        self.assertEqual(bob.connectionState, "closed")
        self.assertEqual(self.sockets("bob"), 0)

    def test_a_host_that_closes_waits_for_all_and_closes_once(self) -> None:
        alice, _ = self.connected()
        alice.close()
        first, second = self.hosts["alice"].close(), self.hosts["alice"].close()
        self.assertNoResult(first)
        self.world.reactor.advance(0.1)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.hosts["alice"].close())

    def test_a_restart_offers_the_addresses_that_the_machine_has_by_now_T35(self) -> None:
        """Alice moves to another network, and her program restarts."""
        alice, bob = self.connected()
        self.machines["alice"].add_address("198.51.100.1")
        self.machines["alice"].remove_address("192.0.2.1")
        self.world.reactor.advance(12.0)
        self.assertEqual(alice.iceConnectionState, "failed")
        alice.restartIce()
        self.exchange(alice, bob)
        self.assertIn(alice.iceConnectionState, GOOD)
        self.assertEqual(
            [each.address for each in alice.iceTransport.getLocalCandidates()], ["198.51.100.1"]
        )


class ServerTests(SynchronousTestCase):
    """A connection whose servers come from its configuration."""

    def setUp(self) -> None:
        self.world = VirtualWorld(seed=1)
        self.addCleanup(self.world.stop)
        self.turn = self.world.turn_server(self.world.network.host("turn", [TURN_HOST]))
        machine = self.world.network.host("alice", ["192.0.2.1"])
        self.host = PeerHost(self.world.reactor, process=self.world.process(machine))
        self.addCleanup(self.world.reactor.advance, 3.0)
        self.addCleanup(self.host.close)
        self.errors: list[RTCPeerConnectionIceErrorEvent] = []

    def offered(self, connection: RTCPeerConnection) -> set[tuple[str | None, str | None]]:
        """Types and servers of the candidates of its next offer."""
        done = connection.setLocalDescription()
        self.world.reactor.advance(3.0)
        self.successResultOf(done)
        return {(each.type, each.url) for each in connection.iceTransport.getLocalCandidates()}

    def server(self, credential: str) -> dict[str, object]:
        """As a configuration has it."""
        server = {"urls": f"turn:{TURN_HOST}", "username": "user", "credential": credential}
        return {"iceServers": [server], "iceTransportPolicy": "relay"}

    def test_credentials_that_are_mended_are_used_by_the_next_offer_rules_14_57(self) -> None:
        connection = self.host.RTCPeerConnection(self.server("wrong"))
        connection.createDataChannel("x")
        connection.onicecandidateerror = self.errors.append
        self.assertEqual(self.offered(connection), set())
        (error,) = self.errors
        self.assertEqual((error.errorCode, error.url), (401, f"turn:{TURN_HOST}"))
        connection.setConfiguration(self.server("secret"))
        self.assertEqual(self.offered(connection), {("relay", f"turn:{TURN_HOST}")})
        self.assertEqual(len(self.errors), 1)
        self.assertEqual(len(self.turn.allocations), 1)

    def test_a_closed_connection_leaves_no_allocation_T29(self) -> None:
        connection = self.host.RTCPeerConnection(self.server("secret"))
        connection.createDataChannel("x")
        self.offered(connection)
        self.assertEqual(len(self.turn.allocations), 1)
        connection.close()
        self.world.reactor.advance(2.5)
        self.assertEqual(len(self.turn.allocations), 0)
        self.assertEqual(self.host._made, [])
