"""What the mux sends, who may send where, and what it says when nothing can be sent."""

from __future__ import annotations

from refreeze.ice.events import Transmit
from refreeze.net.mux import MuxSettings
from tests.net.fakes import BASE, OTHER_BASE, PEER, STRANGER, FakeOwner, FakePort, request, success
from tests.net.test_mux import MuxCase


class ClaimTests(MuxCase):
    """A 5-tuple has one owner (rule 3 of the house)."""

    def test_a_second_owner_is_refused_and_counted(self) -> None:
        self.assertTrue(self.mux.claim(BASE, PEER, self.alice))
        self.assertFalse(self.mux.claim(BASE, PEER, self.bob))
        self.assertEqual(self.mux.counters.refused_claims, 1)

    def test_claiming_twice_is_claiming_once(self) -> None:
        self.mux.claim(BASE, PEER, self.alice)
        self.assertTrue(self.mux.claim(BASE, PEER, self.alice))
        self.mux.release(BASE, PEER, self.alice)
        self.assertEqual(self.mux.claims_of(self.alice), frozenset())

    def test_only_the_owner_can_give_a_claim_back(self) -> None:
        self.mux.claim(BASE, PEER, self.alice)
        self.mux.release(BASE, PEER, self.bob)
        self.assertEqual(self.mux.claims_of(self.alice), {(BASE, PEER)})

    def test_a_check_claims_its_five_tuple(self) -> None:
        self.assertEqual(self.mux.transmit(self.alice, [self.check(1)]), [])
        self.assertEqual(self.mux.claims_of(self.alice), {(BASE, PEER)})

    def test_a_check_on_another_owners_five_tuple_fails_locally_and_is_not_sent(self) -> None:
        self.mux.claim(BASE, PEER, self.bob)
        check = self.check(1)
        self.assertEqual(self.mux.transmit(self.alice, [check]), [check])
        self.assertEqual(self.port.sent, [])

    def test_a_response_needs_no_claim(self) -> None:
        """T22: the check named our generation on a 5-tuple that another session has."""
        self.mux.register("aaaa", self.alice)
        self.mux.claim(BASE, PEER, self.bob)
        self.assertEqual(
            self.mux.transmit(self.alice, [Transmit(BASE, PEER, success(1), None)]), []
        )
        self.assertEqual(len(self.port.sent), 1)

    def test_a_success_response_makes_early_data_ours(self) -> None:
        """The peer may send as soon as it has our answer (RFC 8445 section 12.2)."""
        self.mux.register("aaaa", self.alice)
        self.mux.transmit(self.alice, [Transmit(BASE, PEER, success(1), None)])
        self.port.receive((b"early", PEER))
        self.assertEqual(self.alice.payloads(), [b"early"])

    def test_an_error_response_claims_nothing(self) -> None:
        self.mux.register("aaaa", self.alice)
        refusal = b"\x01\x11" + success(1)[2:]
        self.mux.transmit(self.alice, [Transmit(BASE, PEER, refusal, None)])
        self.assertEqual(self.mux.claims_of(self.alice), frozenset())


class ClaimLimitTests(MuxCase):
    """An authenticated peer cannot fill the mux either."""

    settings = MuxSettings(max_claims_by_answer=10)

    def test_claims_by_answering_are_bounded(self) -> None:
        self.mux.register("aaaa", self.alice)
        for port in range(1, 100):
            self.mux.transmit(self.alice, [Transmit(BASE, (PEER[0], port), success(1), None)])
        self.assertEqual(len(self.mux.claims_of(self.alice)), 10)


class SendTests(MuxCase):
    """Batches to ports."""

    def test_data_is_sent_in_order_with_its_tos(self) -> None:
        self.mux.claim(BASE, PEER, self.alice)
        self.assertEqual(self.mux.send_data(self.alice, BASE, PEER, [b"1", b"2"], 0xB8), 2)
        self.assertEqual(self.port.sent, [(b"1", PEER, 0xB8), (b"2", PEER, 0xB8)])

    def test_no_data_leaves_on_another_owners_five_tuple(self) -> None:
        self.mux.claim(BASE, PEER, self.bob)
        self.assertEqual(self.mux.send_data(self.alice, BASE, PEER, [b"1"]), 0)
        self.assertEqual(self.port.sent, [])

    def test_the_number_that_the_port_took_is_returned(self) -> None:
        self.port.accepts = 1
        self.mux.claim(BASE, PEER, self.alice)
        self.assertEqual(self.mux.send_data(self.alice, BASE, PEER, [b"1", b"2"]), 1)

    def test_without_a_port_nothing_leaves_and_it_is_counted(self) -> None:
        check = self.check(1, base=OTHER_BASE)
        self.assertEqual(self.mux.transmit(self.alice, [check]), [check])
        self.assertEqual(self.mux.send_data(self.alice, OTHER_BASE, PEER, [b"1", b"2"]), 0)
        self.assertEqual(self.mux.counters.no_port, 3)

    def test_T35_a_broken_port_is_told_once(self) -> None:
        told: list[object] = []
        self.mux.on_port_broken(lambda base, reason: told.append((base, reason)))
        self.port.broken = "ENETDOWN"
        checks = [self.check(1), self.check(2)]
        self.assertEqual(self.mux.transmit(self.alice, checks), checks)
        self.assertEqual(told, [(BASE, "ENETDOWN")])

    def test_T36_a_refused_send_is_told_once_a_second_and_breaks_nothing(self) -> None:
        told: list[object] = []
        self.mux.on_port_broken(lambda base, reason: told.append(base))
        self.mux.on_send_refused(lambda port, error: told.append((port.local, error)))
        self.port.accepts, self.port.counters.last_send_error = 0, "EPERM"
        for _ in range(100):
            self.mux.send_data(self.alice, BASE, PEER, [b"x"])
        self.assertEqual(told, [(BASE, "EPERM")])
        self.time += 1.0
        self.mux.send_data(self.alice, BASE, PEER, [b"x"])
        self.assertEqual(told, [(BASE, "EPERM")] * 2)

    def test_a_port_that_takes_everything_is_not_told_of_for_what_was(self) -> None:
        told: list[object] = []
        self.mux.on_send_refused(lambda port, error: told.append(error))
        self.port.counters.last_send_error = "EPERM"
        self.mux.send_data(self.alice, BASE, PEER, [b"x"])
        self.assertEqual(told, [])

    def test_who_fails_when_told_does_not_stop_the_others(self) -> None:
        told: list[object] = []
        self.mux.on_send_refused(lambda port, error: 1 // 0)  # type: ignore[arg-type, return-value]
        self.mux.on_send_refused(lambda port, error: told.append(error))
        self.port.accepts, self.port.counters.last_send_error = 0, "ENETUNREACH"
        self.mux.send_data(self.alice, BASE, PEER, [b"x"])
        self.assertEqual(told, ["ENETUNREACH"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_T35_claims_survive_the_replacement_of_a_port(self) -> None:
        self.mux.claim(BASE, PEER, self.alice)
        self.mux.remove_port(BASE)
        fresh = FakePort()
        self.mux.add_port(fresh)
        fresh.receive((b"1", PEER))
        self.assertEqual(self.alice.payloads(), [b"1"])


class FloodTests(MuxCase):
    """Bad packets cost little, and nobody else."""

    settings = MuxSettings(bad_per_second=50)

    def flood(self, count: int, datagram: bytes = b"", host: str = STRANGER[0]) -> None:
        """*count* bad packets of one host, each from another port."""
        datagram = datagram or request("zzzz")
        for number in range(count):
            self.port.receive((datagram, (host, 1024 + number)))

    def test_over_the_budget_nothing_of_that_host_is_parsed(self) -> None:
        self.flood(20_000)
        self.assertEqual(self.mux.counters.unknown_ufrag, 50)
        self.assertEqual(self.mux.counters.flooded, 19_950)

    def test_the_budget_is_per_second(self) -> None:
        self.flood(100)
        self.time += 1.0
        self.flood(100)
        self.assertEqual(self.mux.counters.unknown_ufrag, 100)

    def test_malformed_packets_are_charged_too(self) -> None:
        self.flood(100, request("zzzz")[:-4])
        self.assertEqual(self.mux.counters.malformed, 50)

    def test_sessions_beside_a_flood_lose_nothing(self) -> None:
        """100 live sessions, and 200 bad packets for each of their checks."""
        owners = [FakeOwner() for _ in range(100)]
        for number, owner in enumerate(owners):
            self.mux.register(f"u{number:04}", owner)
        for number, _owner in enumerate(owners):
            self.flood(200)
            self.port.receive((request(f"u{number:04}"), PEER))
        self.assertEqual([len(owner.stun) for owner in owners], [1] * 100)

    def test_a_live_session_behind_the_floods_address_lives_on(self) -> None:
        """A 5-tuple that is claimed is always read, whatever else its host sends."""
        self.mux.register("aaaa", self.alice)
        live = (STRANGER[0], 9)
        self.mux.claim(BASE, live, self.alice)
        self.flood(1000)
        self.port.receive((request("aaaa"), live), (b"data", live))
        self.assertEqual(self.alice.order, ["stun", "data"])

    def test_bad_integrity_is_charged_when_the_owner_says_so(self) -> None:
        self.mux.register("aaaa", self.alice)
        self.alice.then = self.mux.unauthenticated
        self.flood(1000, request("aaaa"))
        self.assertEqual(self.mux.counters.unauthenticated, 50)
        self.assertEqual(self.mux.counters.flooded, 950)

    def test_late_checks_to_a_past_ufrag_have_the_same_budget(self) -> None:
        self.mux.register("aaaa", self.alice)
        self.mux.retire("aaaa")
        self.flood(1000, request("aaaa"))
        self.assertEqual(self.mux.counters.past_ufrag, 50)

    def test_an_ipv6_flood_is_charged_to_its_network(self) -> None:
        for number in range(1, 200):
            self.flood(1, host=f"2001:db8::{number:x}")
        self.assertEqual(self.mux.counters.unknown_ufrag, 50)

    def test_a_flood_from_everywhere_does_not_grow_the_table(self) -> None:
        for number in range(5000):
            self.flood(1, host=f"10.{number >> 8}.{number & 255}.1")
        self.assertLessEqual(len(self.mux._bad._counts), self.settings.max_bad_senders)
        self.port.receive((request("zzzz"), STRANGER))
        self.assertEqual(self.mux.counters.unknown_ufrag, 5001)
