"""What a script sees of states, in which order, and after close (rules 30, 59, 63, 64, 65)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer import Event
from refreeze.peer.states import connection_state
from tests.peer.pair import Two
from tests.peer.scripts import CONNECTION_EVENTS, ICE_TRANSPORT_EVENTS, ScriptCase


class DerivedTests(SynchronousTestCase):
    """connectionState of one ICE and one DTLS transport: the first that matches (rule 63)."""

    def test_the_first_match_counts_rule_63(self) -> None:
        for ice, dtls, expected in (
            ("failed", "connected", "failed"),
            ("connected", "failed", "failed"),
            ("failed", None, "failed"),
            ("disconnected", "connected", "disconnected"),
            ("disconnected", "new", "disconnected"),
            ("new", "new", "new"),
            ("new", "closed", "new"),
            ("new", None, "new"),
            ("checking", "new", "connecting"),
            ("checking", None, "connecting"),
            ("new", "connecting", "connecting"),
            ("checking", "connected", "connecting"),
            ("connected", "new", "connecting"),
            ("connected", "connecting", "connecting"),
            ("connected", "connected", "connected"),
            ("completed", "connected", "connected"),
            ("completed", "closed", "connected"),
            ("completed", None, "connected"),
        ):
            self.assertEqual(connection_state(ice, dtls), expected, (ice, dtls))


class OrderTests(ScriptCase):
    """Rule 64."""

    KINDS = ("iceconnectionstatechange", "connectionstatechange")
    TRANSPORTS = ("selectedcandidatepairchange", "statechange")

    def listen(self) -> list[tuple[str, str, str, str, bool]]:
        """Each event with all that shows when it is fired."""
        heard: list[tuple[str, str, str, str, bool]] = []
        pc = self.a

        def note(event: Event) -> None:
            ice = pc.iceTransport
            pair = ice.getSelectedCandidatePair() is not None
            states = ice.state, pc.iceConnectionState, pc.connectionState
            heard.append((event.type, *states, pair))

        for kind in self.KINDS:
            pc.addEventListener(kind, note)
        for kind in self.TRANSPORTS:
            pc.iceTransport.addEventListener(kind, note)
        return heard

    def test_pair_and_states_change_first_and_then_events_come_in_order_rule_64(self) -> None:
        heard = self.listen()
        self.two.exchange(self.alice, self.bob)
        self.two.advance(3.0)
        connected = [each for each in heard if each[1] == "connected"]
        self.assertEqual([kind for kind, *_ in connected], [*self.TRANSPORTS, *self.KINDS])
        self.assertEqual({tuple(rest) for _, *rest in connected}, {("connected",) * 3 + (True,)})

    def test_what_did_not_change_is_not_fired_rule_64(self) -> None:
        self.connect()
        heard = self.listen()
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(heard, [])

    def test_failed_is_told_in_the_same_order_rule_64(self) -> None:
        self.connect()
        heard = self.listen()
        self.two.network.blackhole("alice", "bob")
        self.two.advance(20.0)
        kinds = [kind for kind, *states in heard if states[0] == "failed"]
        self.assertEqual(kinds, ["statechange", *self.KINDS])
        self.assertEqual(heard[-1][1:4], ("failed", "failed", "failed"))


class SameObjectsTests(SynchronousTestCase):
    """Rule 30."""

    def setUp(self) -> None:
        self.two = Two(protect=True, as_service=False)
        self.addCleanup(self.two.close)

    def test_a_restart_leaves_transports_and_association_rule_30(self) -> None:
        two, pc = self.two, self.two.alice.connection
        two.exchange(two.alice, two.bob)
        two.advance(5.0)
        ice, dtls = pc.iceTransport, pc.dtlsTransport
        assert dtls is not None
        self.assertEqual((dtls.state, pc.connectionState), ("connected", "connected"))
        states: list[str] = []
        dtls.addEventListener("statechange", lambda _: states.append(dtls.state))
        two.exchange(two.bob, two.alice, restart=True)
        two.advance(5.0)
        self.assertIs(pc.iceTransport, ice)
        self.assertIs(pc.dtlsTransport, dtls)
        self.assertEqual(states, [])
        self.assertEqual(two.alice.send(b"on"), 1)
        two.advance(0.1)
        self.assertEqual(two.bob.received, [b"on"])


class ClosedTests(ScriptCase):
    """Rule 65."""

    def everything(self) -> list[str]:
        """All events of alice's objects, from now on."""
        heard: list[str] = []
        for kind in CONNECTION_EVENTS:
            self.a.addEventListener(kind, lambda event: heard.append(event.type))
        for kind in ICE_TRANSPORT_EVENTS:
            self.a.iceTransport.addEventListener(kind, lambda event: heard.append(event.type))
        return heard

    def test_all_states_are_closed_at_once_and_nothing_is_fired_rule_65(self) -> None:
        self.connect()
        self.a.restartIce()
        self.a.addTransceiver("audio")
        heard = self.everything()
        self.a.close()
        self.assertEqual(
            (
                self.a.signalingState,
                self.a.iceConnectionState,
                self.a.connectionState,
                self.a.iceTransport.state,
            ),
            ("closed",) * 4,
        )
        self.assertEqual([each.direction for each in self.a.getTransceivers()], ["stopped"])
        self.a.close()
        self.two.advance(60.0)
        self.assertEqual(heard, [])

    def test_in_every_phase_nothing_follows_rule_65(self) -> None:
        """While offers are out, gathering, checking, and with a task for each still queued."""
        for phase in range(6):
            two = self.two = Two(seed=phase, as_service=False)
            self.addCleanup(two.close)
            self.alice, self.bob = two.alice, two.bob
            self.a, self.b = two.alice.connection, two.bob.connection
            if phase > 0:
                self.a.setLocalDescription()
            if phase > 1:
                self.tasks()
                answer = two.answer(two.bob, two.offer(two.alice))
            if phase > 2:
                self.a.setRemoteDescription(answer)
            if phase > 3:
                self.tasks()
            if phase > 4:
                two.advance(0.1)
            heard = self.everything()
            self.a.close()
            two.advance(60.0)
            self.assertEqual(heard, [], f"phase {phase}")

    def test_calls_under_way_never_settle_and_later_ones_are_refused_rule_65(self) -> None:
        self.connect()
        under_way = [self.a.createOffer(), self.a.setLocalDescription(), self.a.createOffer()]
        self.a.close()
        later = [self.a.createOffer(), self.a.createAnswer(), self.a.setLocalDescription()]
        self.two.advance(1.0)
        for each in under_way:
            self.assertNoResult(each)
        for refused in later:
            self.refused(refused, "InvalidStateError")
