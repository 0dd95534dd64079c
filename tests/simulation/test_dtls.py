"""Whole daemons whose paths are protected: what happens in the middle of a handshake, and to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer import RTCDtlsTransport
from refreeze.peer.dtls.records import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE
from refreeze.sessions.session import Session
from refreeze.testing import LinkSettings, LogEntry, SeededRandom
from tests.peer.dtls.forge import FATAL, HANDSHAKE_FAILURE, alert, noise, plausible
from tests.peer.dtls.wire import foreign_fingerprint
from tests.simulation.accounts import exposed, leaks, losses
from tests.simulation.faults import Fault, certificate, operator
from tests.simulation.scene import SESSION, Scene, Shape
from tests.virtualtime import need_openssl_time

SIDES = ("alice", "bob")
FLIGHT = (HANDSHAKE, CHANGE_CIPHER_SPEC)
"""How datagrams of a handshake begin."""
STAGES = range(1, 7)
"""So many datagrams of a first handshake were sent: it has four, and repetitions."""


class DtlsCase(SynchronousTestCase):
    """Scenes with 20 ms from one side to the other."""

    def setUp(self) -> None:
        need_openssl_time()

    def scene(self, seed: int = 1, **shape: object) -> Scene:
        """Not connected yet."""
        return Scene(seed, Shape(link=LinkSettings(delay=0.02), rate=50.0, **shape))  # type: ignore[arg-type]

    def flowing(self, seed: int = 1, **shape: object) -> Scene:
        """Connected for a while."""
        scene = self.scene(seed, **shape)
        scene.flow(10.0)
        scene.advance(5.0)
        return scene

    def session(self, scene: Scene, name: str) -> Session:
        """That side's."""
        session = scene.session(name)
        assert session is not None
        return session

    def dtls(self, scene: Scene, name: str) -> RTCDtlsTransport:
        """That side's."""
        transport = self.session(scene, name).securing.transport
        assert transport is not None
        return transport

    def associations(self, scene: Scene) -> list[object]:
        """The number of each side's."""
        return [self.dtls(scene, name).show()["association"] for name in SIDES]

    def flights(self, scene: Scene, since: float = 0.0) -> list[LogEntry]:
        """Handshakes on the wire."""
        return [
            entry
            for entry in scene.world.network.log
            if entry.host in SIDES and entry.head[0] in FLIGHT and entry.sent_at >= since
        ]

    def at_stage(self, scene: Scene, stage: int, since: float = 0.0) -> None:
        """Until that many datagrams of a handshake arrived, or were lost."""
        scene.world.reactor.run_until(lambda: len(self.flights(scene, since)) >= stage, 20.0)

    def finish(self, scene: Scene, what: object = "") -> None:
        """Everything adds up."""
        scene.program.pause()
        scene.advance(10.0)
        wrong = losses(scene) + exposed(scene)
        self.assertEqual(scene.end(), [], what)
        scene.advance(10.0)
        self.assertEqual(wrong + leaks(scene), [], what)

    def operator(self, scene: Scene, *, both: bool, side: str = "alice") -> None:
        """Restarts."""
        operator(scene, Fault(scene.now, "operator", 0.0, side, int(both)))


class HandshakeTests(DtlsCase):
    """Something happens in each flight."""

    def disturb(self, what: Callable[[Scene], None], limit: float) -> Counter[tuple[object, ...]]:
        """In the first handshake and in a later one; how many associations there were."""
        found: Counter[tuple[object, ...]] = Counter()
        for later in (False, True):
            for stage in STAGES:
                scene = self.flowing() if later else self.scene()
                since = scene.now
                if later:
                    for name in SIDES:
                        certificate(scene, Fault(scene.now, "certificate", 0.0, name, 0))
                    self.operator(scene, both=False)
                self.at_stage(scene, stage, since)
                what(scene)
                scene.flow(limit)
                found[tuple(self.associations(scene))] += 1
                self.finish(scene, f"later {later}, stage {stage}")
        return found

    def test_a_restart_in_any_flight_goes_on_with_the_handshake(self) -> None:
        """Rule 30: an ICE restart is nothing to DTLS, whoever wants it."""
        for side in SIDES:
            found = self.disturb(
                lambda scene, s=side: self.operator(scene, both=False, side=s), 3.0
            )
            self.assertEqual(set(found), {(1, 1), (2, 2)})

    def test_restarts_of_both_at_once_in_any_flight(self) -> None:
        found = self.disturb(lambda scene: self.operator(scene, both=True), 3.0)
        self.assertEqual(set(found), {(1, 1), (2, 2)})

    def test_a_path_that_dies_in_any_flight(self) -> None:
        def cut(scene: Scene) -> None:
            route = scene.route("alice")
            if route is not None:
                scene.world.network.blackhole(route.base, route.remote_address)

        self.disturb(cut, 25.0)

    def test_a_side_that_is_killed_in_any_flight(self) -> None:
        for side in SIDES:

            def kill(scene: Scene, name: str = side) -> None:
                scene.kill(name)
                scene.advance(0.3)
                scene.start(name)

            self.disturb(kill, 25.0)

    def test_a_signaling_that_is_cut_in_any_flight(self) -> None:
        def cut(scene: Scene) -> None:
            scene.world.reactor.streams.cut(host="bob", silent=False)

        found = self.disturb(cut, 3.0)
        self.assertEqual(set(found), {(1, 1), (2, 2)})


class AssociationTests(DtlsCase):
    """How long one lives."""

    def nothing_is_lost(self, scene: Scene, what: object = "") -> None:
        """Of what was sent since the first packet came back."""
        scene.program.pause()
        scene.advance(1.0)
        self.assertEqual(scene.program.missing(scene.program.arrivals[0].number), [], what)
        self.finish(scene, what)

    def test_ice_restarts_keep_it_and_cost_no_handshake(self) -> None:
        scene = self.flowing()
        began = scene.now
        for number in range(5):
            self.operator(scene, both=number % 2 == 1, side=SIDES[number % 2])
            scene.advance(10.0)
        self.assertEqual(self.associations(scene), [1, 1])
        self.assertEqual(self.flights(scene, began), [])
        self.nothing_is_lost(scene)

    def test_a_side_that_was_killed_comes_back_with_a_new_one(self) -> None:
        for side in SIDES:
            scene = self.flowing()
            scene.kill(side)
            scene.advance(1.0)
            scene.start(side)
            scene.flow(20.0)
            numbers = dict(zip(SIDES, self.associations(scene), strict=True))
            self.assertEqual(numbers.pop(side), 1)
            self.assertEqual(list(numbers.values()), [2])
            self.finish(scene)

    def test_a_new_certificate_comes_into_use_at_the_next_restart_and_nothing_is_lost(self) -> None:
        scene = self.flowing()
        before = [self.dtls(scene, name).show()["remote_fingerprint"] for name in SIDES]
        for name in SIDES:
            certificate(scene, Fault(scene.now, "certificate", 0.0, name, 0))
        scene.advance(10.0)
        self.assertEqual(self.associations(scene), [1, 1], "not before")
        self.operator(scene, both=False)
        scene.advance(10.0)
        self.assertEqual(self.associations(scene), [2, 2])
        after = [self.dtls(scene, name).show()["remote_fingerprint"] for name in SIDES]
        self.assertFalse(set(before) & set(after))
        self.nothing_is_lost(scene)

    def test_a_new_certificate_of_one_side_alone(self) -> None:
        for side in SIDES:
            for by in SIDES:
                scene = self.flowing()
                certificate(scene, Fault(scene.now, "certificate", 0.0, side, 0))
                self.operator(scene, both=False, side=by)
                scene.advance(10.0)
                self.assertEqual(self.associations(scene), [2, 2], (side, by))
                self.nothing_is_lost(scene, (side, by))

    def test_a_stop_is_a_bye(self) -> None:
        scene = self.flowing()
        scene.stop("bob")
        scene.advance(1.0)
        self.assertIn("peer-closed", str(self.session(scene, "alice").policy.snapshot()))
        scene.start("bob")
        scene.flow(10.0)
        self.finish(scene)


class PatienceTests(DtlsCase):
    """Thirty seconds for a handshake: of a path, and not of the clock."""

    def test_a_handshake_waits_for_a_path_however_long_that_takes(self) -> None:
        """The answer begins an association, but the path is away by then, and so is the old one."""
        for side in SIDES:
            for seconds in (5.0, 31.0, 52.0, 100.0):
                scene = self.flowing()
                certificate(scene, Fault(scene.now, "certificate", 0.0, side, 0))
                scene.world.network.blackhole("alice", "bob", seconds=seconds, streams=False)
                self.operator(scene, both=False, side=side)
                scene.advance(seconds)
                scene.flow(70.0)
                self.assertEqual(self.session(scene, "alice").securing.counters["dtls-timeout"], 0)
                self.finish(scene, (side, seconds))

    def test_an_association_that_gave_up_during_a_round_gets_another_round(self) -> None:
        """The round brings a path, but its answer was made before that end."""
        for side in SIDES:
            scene = self.flowing()
            certificate(scene, Fault(scene.now, "certificate", 0.0, side, 0))
            ice = self.session(scene, side).connection.iceTransport.datagrams
            hear = self.dtls(scene, side)._received
            ice.on_batch(lambda _: None)
            self.operator(scene, both=False, side=side)
            began = scene.now
            scene.advance(29.9)
            self.assertEqual(self.associations(scene), [2, 2])
            scene.world.network.default(LinkSettings(delay=0.2))
            self.operator(scene, both=False, side=side)
            scene.advance(5.0)
            ice.on_batch(hear)
            failed = [
                event
                for name in SIDES
                for event in scene.of(name, "session.dtls", began)
                if event.fields["state"] == "failed"
            ]
            self.assertTrue(failed, "or nothing was tested")
            scene.flow(60.0)
            self.assertEqual(scene.end(), [])


class RefusalTests(DtlsCase):
    """What no restart heals."""

    def test_a_certificate_that_the_description_does_not_name_holds_the_session(self) -> None:
        for side in SIDES:
            scene = self.scene()
            algorithm, _, digest = foreign_fingerprint().partition(" ")
            connection = self.session(scene, side).connection
            connection.negotiator.renew_dtls([(algorithm, digest)])
            scene.advance(60.0)
            reasons = {self.session(scene, name).securing.problem for name in SIDES}
            self.assertIn("dtls-fingerprint", reasons)
            self.assertLessEqual(reasons, {"dtls-fingerprint", "dtls-alert"})
            for name in SIDES:
                self.assertEqual(self.session(scene, name).state, "failed")
            self.assertEqual(scene.program.received, 0)
            told = len(scene.of("alice", "round.start")) + len(scene.of("bob", "round.start"))
            scene.advance(600.0)
            again = len(scene.of("alice", "round.start")) + len(scene.of("bob", "round.start"))
            self.assertEqual(told, again, "held: no restart heals that")
            self.finish(scene)

    def test_one_side_that_protects_and_one_that_does_not(self) -> None:
        """What the one sends in the clear, as it is told to, is not taken."""
        for side in SIDES:
            scene = self.scene(plain=side)
            scene.advance(60.0)
            for name in SIDES:
                self.assertEqual(self.session(scene, name).securing.problem, "dtls-refused")
                self.assertEqual(self.session(scene, name).state, "failed")
            other = "bob" if side == "alice" else "alice"
            self.assertFalse([line for line in exposed(scene) if f" {other} " in line])
            self.assertEqual(scene.program.received, 0)
            self.assertEqual(self.session(scene, other).forward.counters.received, 0)


class StrangerTests(DtlsCase):
    """Datagrams in the range of DTLS from whoever finds the port."""

    COUNT = 2000

    def storm(self, random: SeededRandom) -> list[bytes]:
        """Of everything."""
        return [
            alert(FATAL, HANDSHAKE_FAILURE)
            if number % 3 == 0
            else (noise if number % 3 == 1 else plausible)(random)
            for number in range(self.COUNT)
        ]

    def test_from_a_pair_that_is_not_ours_it_never_reaches_dtls(self) -> None:
        scene = self.flowing()
        stranger = scene.world.network.host("stranger", ["192.0.2.66"])
        port = stranger.factory.open_udp("192.0.2.66", 5000)
        before = {name: self.dtls(scene, name).counters.received_dropped.total() for name in SIDES}
        muxes = {name: scene.running[name].ground.mux.counters for name in SIDES}
        unowned = {name: muxes[name].unowned + muxes[name].flooded for name in SIDES}
        for name in SIDES:
            target = scene.route(name).base
            for datagram in self.storm(SeededRandom(f"stranger/{name}")):
                port.send([(datagram, target, 0)])
        scene.advance(1.0)
        for name in SIDES:
            counters = self.dtls(scene, name).counters
            self.assertEqual(counters.received_dropped.total(), before[name])
            now = muxes[name].unowned + muxes[name].flooded
            self.assertEqual(now - unowned[name], self.COUNT)
        port.close()
        scene.flow(1.0)
        self.assertEqual(self.associations(scene), [1, 1])
        self.finish(scene)

    def test_with_the_peers_address_it_is_dropped_and_counted(self) -> None:
        """As a forger of source addresses sends it, who knows both ends of the pair."""
        scene = self.flowing()
        scene.program.pause()
        scene.advance(1.0)
        for name in SIDES:
            route = scene.route(name)
            port = scene.hosts[name].port(route.base)
            assert port is not None
            before = self.dtls(scene, name).counters.received_dropped.total()
            for datagram in self.storm(SeededRandom(f"forger/{name}")):
                port.receive([(datagram, route.remote_address, 0)])
            dropped = self.dtls(scene, name).counters.received_dropped
            self.assertGreaterEqual(dropped.total() - before, self.COUNT)
        scene.program.resume()
        scene.flow(1.0)
        self.assertEqual(self.associations(scene), [1, 1])
        sent = {entry.head[0] for entry in scene.world.network.log if entry.host in SIDES}
        self.assertNotIn(ALERT, sent, "nobody is answered")
        self.assertEqual(scene.end(), [])
        self.assertIn(SESSION, str(scene.events[-1]))
