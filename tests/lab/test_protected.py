"""Two daemons that protect what they forward, and what can be seen of that on their path."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from refreeze.peer import RTCCertificate
from tests.lab.capture import Capture
from tests.lab.case import MobilityCase
from tests.lab.daemons import Daemon
from tests.lab.faults import NEW_PORTS
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, Trip
from tests.lab.namespaces import Namespace
from tests.lab.tlshub import TlsHub
from tests.lab.traffic import MARKER
from tests.lab.world import Machine

HANDSHAKE, DATA = 22, 23
"""Types of records (RFC 5246 section 6.2.1)."""
_KINDS = {20: "handshake", HANDSHAKE: "handshake", DATA: "data"}
WHILE = 1.0
"""Seconds of traffic that are captured."""


def kind_of(datagram: bytes) -> str:
    """Of what a relay passes on: ``stun``, or by its record ``handshake`` or ``data``."""
    if datagram[4:8] == bytes.fromhex("2112a442"):
        return "stun"
    is_dtls = datagram[1:3] in {b"\xfe\xff", b"\xfe\xfd"}  # 1.0 and 1.2
    return _KINDS.get(datagram[0], "other") if is_dtls else "other"


class ProtectedCase(MobilityCase):
    """Alice and bob, each with a state directory, and a hub on mutual TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.tls = TlsHub(self.world)

    def machine(self, name: str, kind: HostKind) -> Machine:
        state = self.lab.directory / f"{name}.state"
        return self.tls.machine(name, kind, {"state_dir": str(state)})

    def begin(self, kind: HostKind) -> Trip:
        """Both behind routers of that kind; programs find the same port in every life."""
        alice, bob = self.machine("alice", kind), self.machine("bob", kind)
        return Trip.begin(self.world, alice, bob, protect="dtls", listen="127.0.0.1:7001")

    def capture(self, namespace: Namespace, interface: str) -> Capture:
        made = Capture(namespace, interface)
        made.start()
        return made

    def shown(self, daemon: Daemon) -> dict[str, Any]:
        """What `show` says of the protection."""
        (found,) = daemon.show(LINE, "protect")
        return found

    def number(self, daemon: Daemon) -> int:
        """Of the association."""
        return int(self.shown(daemon)["association"])


class OnThePathTests(ProtectedCase):
    """Somebody records everything that leaves alice's network, or passes the relay."""

    def see(self, kind: HostKind, verdict: str, **settings: str) -> list[Capture]:
        """From before the first packet until there was traffic for a while."""
        alice, bob = self.machine("alice", kind), self.machine("bob", kind)
        captures = [
            self.capture(alice.nat().namespace, "wan"),
            self.capture(self.world.turn.namespace, "eth0"),
        ]
        self.trip = Trip.begin(self.world, alice, bob, **({"protect": "dtls"} | settings))
        self.assertEqual(self.world.verdict(LINE), verdict)
        time.sleep(WHILE)
        for each in captures:
            each.stop()
        return captures

    def test_there_is_stun_and_dtls_and_nothing_else(self) -> None:
        captures = self.see(HostKind.PORT_RESTRICTED, "direct")
        for each in captures:
            self.assertEqual((each.unprotected(), each.holds(MARKER)), ([], False))
        path, _ = captures
        self.assertGreater(path.count("stun"), 4)
        self.assertGreater(path.records(HANDSHAKE), 2)
        self.assertGreater(path.records(DATA), 50)

    def test_a_relay_sees_no_more_than_the_path(self) -> None:
        captures = self.see(HostKind.SYMMETRIC, "relay")
        for each in captures:
            self.assertEqual((each.unprotected(), each.malformed()), ([], []))
            self.assertFalse(each.holds(MARKER))
            self.assertLessEqual({*map(kind_of, each.relayed())}, {"stun", "handshake", "data"})
        kinds = Counter(map(kind_of, captures[1].relayed()))
        self.assertGreater(kinds["data"], 50)
        self.assertGreater(kinds["handshake"], 2)

    def test_payload_that_nobody_protects_is_seen(self) -> None:
        """Or the two tests above would see nothing in any case."""
        path, _ = self.see(HostKind.PORT_RESTRICTED, "direct", protect="none")
        self.assertTrue(path.holds(MARKER))
        self.assertGreater(len(path.unprotected()), 50)
        self.assertEqual(path.records(DATA), 0)

    def test_show_tells_how_it_is_protected(self) -> None:
        self.see(HostKind.PORT_RESTRICTED, "direct")
        alice, bob = (self.shown(each.daemon) for each in (self.trip.alice, self.trip.bob))
        for one, other in ((alice, bob), (bob, alice)):
            self.assertRegex(one["local_fingerprint"], r"^sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$")
            self.assertEqual(one["local_fingerprint"], other["remote_fingerprint"])
            for name in ("protocol", "cipher", "association"):
                self.assertEqual(one[name], other[name], name)
            self.assertGreater(one["max_payload"], 1000)
            self.assertEqual((one["name"], one["state"]), ("dtls", "connected"))
            self.assertEqual((one["protocol"], one["problem"]), ("DTLSv1.2", None))
            self.assertEqual(one["certificate_age_days"], 0.0)
        self.assertEqual({alice["role"], bob["role"]}, {"client", "server"})
        kept = RTCCertificate.from_pem((self.lab.directory / "alice.state/dtls.pem").read_bytes())
        self.assertEqual(alice["local_fingerprint"], " ".join(kept.fingerprints[0]))


class LifeTests(ProtectedCase):
    """What restarts, kills and new certificates do to an association."""

    def test_restarts_keep_the_association_and_lose_nothing(self) -> None:
        """Rule 30: by the operator, the peer's operator, and the watchdog."""
        trip = self.begin(HostKind.PORT_RESTRICTED)
        path = self.capture(trip.alice.nat().namespace, "wan")
        for each in (trip.alice, trip.bob):
            cost = trip.suffer(lambda at=each: at.daemon.ask(f"restart {LINE} wait=10", 15.0), 5.0)
            self.assertEqual((cost.lost, cost.restarts), (0, 1), each.name)
        cost = trip.suffer(lambda: trip.alice.nat().new_port_range(NEW_PORTS), 15.0)
        self.assertGreater(cost.restarts, 0)
        path.stop()
        self.assertEqual(path.records(HANDSHAKE), 0)
        self.assertGreater(path.records(DATA), 50)
        self.assertEqual((path.unprotected(), path.holds(MARKER)), ([], False))
        for each in (trip.alice, trip.bob):
            self.assertEqual(self.number(each.daemon), 1)

    def test_a_killed_daemon_comes_back_with_a_new_association(self) -> None:
        """Without a touch, from either side; its certificate is the one that it had."""
        trip = self.begin(HostKind.PORT_RESTRICTED)
        for killed, other in ((trip.alice, trip.bob), (trip.bob, trip.alice)):
            before, number = self.shown(other.daemon), self.number(other.daemon)
            path = self.capture(trip.alice.nat().namespace, "wan")
            killed.daemon.kill()
            self.come_back(trip, killed.daemon)
            path.stop()
            self.assertEqual(self.number(killed.daemon), 1)
            now = self.shown(other.daemon)
            self.assertGreater(self.number(other.daemon), number)
            self.assertEqual(now["remote_fingerprint"], before["remote_fingerprint"])
            self.assertGreater(path.records(HANDSHAKE), 2)
            self.assertEqual((path.unprotected(), path.holds(MARKER)), ([], False))

    def test_a_certificate_that_is_old_has_a_successor_in_the_next_life(self) -> None:
        trip = self.begin(HostKind.PORT_RESTRICTED)
        before = self.shown(trip.bob.daemon)["remote_fingerprint"]
        trip.alice.daemon.kill()
        old = RTCCertificate.generate(datetime.now(UTC) - timedelta(days=21))
        (self.lab.directory / "alice.state/dtls.pem").write_bytes(old.to_pem())
        self.come_back(trip, trip.alice.daemon)
        now = self.shown(trip.bob.daemon)["remote_fingerprint"]
        self.assertNotIn(now, {before, " ".join(old.fingerprints[0])})
        self.assertEqual(self.shown(trip.alice.daemon)["certificate_age_days"], 0.0)

    def come_back(self, trip: Trip, daemon: Daemon) -> None:
        """Start it; its program finds the same port, and packets pass both ways."""
        daemon.start()
        daemon.ready()
        trip.flow.wait(20.0)
