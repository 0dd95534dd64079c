"""What a NAT does is found out as RFC 5780 says, and nobody's lie is believed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.behavior import HostExamination, NatBehavior
from refreeze.net.scheduler import Scheduler
from refreeze.stun.behavior import FilteringBehavior, MappingBehavior, check_other_address
from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Behavior,
    FakeHost,
    NatSettings,
    SeededRandom,
)
from tests.net.stunserver import BehaviorServer
from tests.testing.desk import network

INSIDE = "10.0.0.2"
EXTERNAL = "203.0.113.1"


class BehaviorCase(SynchronousTestCase):
    """A host, perhaps behind a NAT, and a server in public."""

    def world(self, nat: NatSettings | None = PORT_RESTRICTED, seed: int = 1, **link: Any) -> None:
        """*nat* None: the host is in public too."""
        self.clock, self.network = network(seed, **{"delay": 0.01, **link})
        router = None if nat is None else self.network.nat("nat", EXTERNAL, nat)
        self.host = self.network.host("alice", [INSIDE], nat=router)
        self.server_host = self.network.host("server", ["192.0.2.1", "192.0.2.2"])
        self.server = BehaviorServer(host=self.server_host)
        self.scheduler = Scheduler(self.clock)

    def begin(self, *servers: Address) -> Deferred[NatBehavior]:
        self.examination = HostExamination(
            host=INSIDE,
            servers=servers or (self.server.address,),
            own=(INSIDE,),
            scheduler=self.scheduler,
            factory=self.host.factory,
            random=SeededRandom(1),
        )
        return Deferred.fromCoroutine(self.examination.run())

    def find(self, *servers: Address) -> NatBehavior:
        """Run to the end, which is never farther than two patiences."""
        running = self.begin(*servers)
        self.clock.run_until(lambda: running.called, 5.5)
        self.assertEqual(self.open_ports(self.host), [])
        return self.successResultOf(running)

    def open_ports(self, host: FakeHost) -> list[Address]:
        return list(host._ports)


class NatTests(BehaviorCase):
    """Models of RFC 4787."""

    def check(self, nat: NatSettings | None, mapping: str, filtering: str) -> None:
        self.world(nat)
        found = self.find()
        self.assertEqual((found.mapping, found.filtering), (mapping, filtering), nat)
        self.assertEqual((found.why, found.server), (None, self.server.address))

    def test_every_mapping_with_every_filter_is_told_apart(self) -> None:
        for mapping in Behavior:
            for filtering in Behavior:
                settings = NatSettings(mapping=mapping, filtering=filtering, preserve_ports=False)
                self.check(settings, mapping.value, filtering.value)

    def test_the_four_of_common_names(self) -> None:
        for settings in (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC):
            self.check(settings, settings.mapping.value, settings.filtering.value)

    def test_without_a_nat_nobody_maps_and_nobody_filters(self) -> None:
        self.check(None, "none", "endpoint-independent")
        self.assertEqual(self.examination.probes[0].mapped, (INSIDE, 40000))

    def test_a_filter_is_told_from_loss(self) -> None:
        """Every tenth packet is lost: sending again makes up for it."""
        for seed in range(5):
            self.world(FULL_CONE, seed, loss=0.1)
            found = self.find()
            self.assertEqual(found.filtering, FilteringBehavior.ENDPOINT_INDEPENDENT, seed)

    def test_the_filter_is_asked_from_a_socket_that_never_sent_elsewhere(self) -> None:
        self.world(ADDRESS_RESTRICTED)
        self.find()
        sent = [(entry.source, entry.sent_to) for entry in self.network.log]
        asked = {base for base, to in sent if base[0] == INSIDE and to == ("192.0.2.2", 3479)}
        self.assertEqual(len(asked), 1)
        others = {base for base, to in sent if base[0] == INSIDE} - asked
        self.assertEqual(len(others), 1)

    def test_rtt_mapped_address_and_software(self) -> None:
        self.world()
        found = self.find()
        probe = self.examination.probes[0]
        self.assertAlmostEqual(probe.rtt or 0.0, 0.02, places=6)
        self.assertEqual(probe.software, "model")
        self.assertEqual(found.mapped, ((EXTERNAL, 40000),))


class RandomTests(BehaviorCase):
    """A bad network: what is told is true, or unknown, or stricter: silence looks like a filter."""

    STRICTNESS = [each.value for each in Behavior]

    def test_nothing_is_told_that_is_not_so(self) -> None:
        told = 0
        for seed in range(60):
            random = SeededRandom(seed)
            mapping, filtering = (
                list(Behavior)[int(random.random() * len(Behavior))] for _ in range(2)
            )
            nat = NatSettings(mapping=mapping, filtering=filtering, preserve_ports=False)
            self.world(nat, seed, delay=0.05, jitter=0.3, loss=0.25, duplicate=0.2, reorder=0.2)
            found = self.find()
            shown = f"seed {seed}: {nat} was taken for {found}"
            self.assertIn(found.mapping, (mapping.value, "unknown"), shown)
            if found.filtering != "unknown":
                told += 1
                strict = self.STRICTNESS.index
                self.assertGreaterEqual(strict(found.filtering), strict(filtering), shown)
        self.assertGreater(told, 20)


class PoorServerTests(BehaviorCase):
    """Servers that cannot tell, and say so or not."""

    def test_a_server_without_a_second_address_tells_neither(self) -> None:
        self.world()
        self.server.offers_other = False
        found = self.find()
        self.assertEqual(found.mapping, MappingBehavior.UNKNOWN)
        self.assertEqual(found.filtering, FilteringBehavior.UNKNOWN)
        self.assertIn("no second address", found.why or "")
        self.assertEqual(found.mapped, ((EXTERNAL, 40000),))

    def test_two_such_servers_are_compared(self) -> None:
        for nat, mapping in (
            (PORT_RESTRICTED, MappingBehavior.ENDPOINT_INDEPENDENT),
            (SYMMETRIC, MappingBehavior.ADDRESS_AND_PORT_DEPENDENT),
        ):
            self.world(nat)
            self.server.offers_other = False
            found = self.find(("192.0.2.1", 3478), ("192.0.2.2", 3478))
            self.assertEqual((found.mapping, found.server), (mapping, None))
            self.assertEqual(found.filtering, FilteringBehavior.UNKNOWN)
            self.assertIn("no second address", found.why or "")

    def test_a_change_that_is_not_made_says_nothing_about_the_filter(self) -> None:
        self.world(FULL_CONE)
        self.server.obeys_change = False
        found = self.find()
        self.assertEqual(found.mapping, MappingBehavior.ENDPOINT_INDEPENDENT)
        self.assertEqual(found.filtering, FilteringBehavior.UNKNOWN)
        self.assertIn("does not answer from another address", found.why or "")

    def test_a_second_address_that_does_not_answer(self) -> None:
        self.world()
        self.server.deaf = {("192.0.2.2", 3478), ("192.0.2.2", 3479)}
        found = self.find()
        self.assertEqual(found.mapping, MappingBehavior.UNKNOWN)
        self.assertIn("other address does not answer", found.why or "")

    def test_nobody_answers(self) -> None:
        self.world()
        self.server.deaf = set(self.server.ports)
        found = self.find()
        self.assertEqual((found.mapped, found.why), ((), "no server answered"))
        problem = self.examination.probes[0].problem
        assert problem is not None
        self.assertEqual((problem.code, problem.text), (None, "no answer within 2.5 s"))
        self.assertEqual(len(self.server.asked), 3)

    def test_a_server_that_is_dead_does_not_spoil_what_another_tells(self) -> None:
        self.world()
        found = self.find(("198.51.100.1", 3478), self.server.address)
        self.assertEqual(found.mapping, MappingBehavior.ENDPOINT_INDEPENDENT)
        self.assertIsNotNone(self.examination.probes[0].problem)

    def test_a_refusal_has_its_code_and_nothing_that_moves_a_cursor(self) -> None:
        self.world()
        self.server.error = 403
        self.find()
        problem = self.examination.probes[0].problem
        assert problem is not None
        self.assertEqual((problem.code, problem.text), (403, "No?[2J"))


class HostileServerTests(BehaviorCase):
    """What bad servers get."""

    def test_an_answer_from_another_source_is_not_believed(self) -> None:
        self.world(FULL_CONE)
        self.server.answer_from = lambda _: ("192.0.2.2", 3478)
        found = self.find()
        self.assertEqual(found.mapped, ())
        problem = self.examination.probes[0].problem
        assert problem is not None
        self.assertIn("other addresses", problem.text)

    def test_a_wrong_transaction_id_is_nobodys_answer(self) -> None:
        self.world()
        self.server.mangle = lambda data: data[:8] + bytes(12) + data[20:]
        self.assertEqual(self.find().mapped, ())

    def test_garbage_and_requests_are_survived(self) -> None:
        self.world()
        for mangle in (
            lambda data: data[:-1],
            lambda data: b"\0\1" + data[2:],
            lambda data: b"",
            lambda data: b"\xff" * 2000,
            lambda data: data + b"\0\0\0\0",
        ):
            self.server.mangle = mangle
            self.assertEqual(self.find().mapped, ())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_second_address_that_aims_us_somewhere_is_refused(self) -> None:
        """Not one packet goes there."""
        aims = {
            (INSIDE, 3479): "cannot be",
            (EXTERNAL, 3479): "cannot be",
            ("127.0.0.1", 3479): "not where it is",
            ("224.0.0.1", 3479): "cannot be",
            ("255.255.255.255", 3479): "cannot be",
            ("0.0.0.0", 3479): "cannot be",
            ("169.254.1.1", 3479): "not where it is",
            ("192.0.2.1", 3479): "no second one",
            ("192.0.2.2", 3478): "no second one",
            ("192.0.2.2", 0): "no second one",
            ("2001:db8::1", 3479): "no second one",
        }
        for aim, why in aims.items():
            self.world()
            self.server.other = aim
            found = self.find()
            self.assertEqual(found.mapping, MappingBehavior.UNKNOWN)
            self.assertIn(why, found.why or "", aim)
            sent_to = {entry.sent_to for entry in self.network.log}
            self.assertNotIn(aim, {to for to in sent_to if to[0] != EXTERNAL})

    def test_a_private_second_address_of_a_public_server_is_refused(self) -> None:
        server = ("8.8.8.8", 3478)
        self.assertIn("not where", check_other_address(("10.0.0.7", 3479), server, ()) or "")
        self.assertIsNone(check_other_address(("9.9.9.9", 3479), server, ()))
        self.assertIsNone(check_other_address(("10.0.0.7", 3479), ("10.0.0.6", 3478), ()))

    def test_a_cancelled_examination_leaves_no_socket(self) -> None:
        for seconds in (0.001, 0.5, 2.0):
            self.world(PORT_RESTRICTED)
            running = self.begin()
            self.clock.advance(seconds)
            running.cancel()
            self.failureResultOf(running, CancelledError)
            self.assertEqual(self.open_ports(self.host), [])
            self.clock.advance(10.0)
