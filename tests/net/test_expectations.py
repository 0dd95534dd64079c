"""The table of who reaches whom, against models of NATs through which both ends send."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.expectations import DIRECT, Expectation, Kind, Outcome, best_of, expect, kinds_of
from refreeze.net.port import Batch, Port
from refreeze.stun.behavior import FilteringBehavior, MappingBehavior
from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Behavior,
    FakeNetwork,
    NatSettings,
    VirtualClock,
)

NATS: dict[Kind, NatSettings | None] = {
    Kind.OPEN: None,
    Kind.FULL_CONE: FULL_CONE,
    Kind.ADDRESS_RESTRICTED: ADDRESS_RESTRICTED,
    Kind.PORT_RESTRICTED: PORT_RESTRICTED,
    Kind.SYMMETRIC: SYMMETRIC,
}
SERVER: Address = ("192.0.2.100", 3478)


@define(eq=False)
class Puncher:
    """Does what ICE does: asks wherever the other may be, and answers where a question is from.

    A question is answered well only by the address that was asked (RFC 8445 section 7.2.5.2.1).
    """

    network: FakeNetwork
    name: str
    host: str
    nat: NatSettings | None
    port: Port = field(init=False)
    public: Address | None = None
    """As the server sees it."""
    others: set[Address] = field(factory=set)
    connected: bool = False

    def __attrs_post_init__(self) -> None:
        router = None
        if self.nat is not None:
            address = f"203.0.113.{1 + len(self.network.nats)}"
            router = self.network.nat(f"nat-{self.name}", address, self.nat)
        self.port = self.network.host(self.name, [self.host], nat=router).factory.open_udp(
            self.host, 5000
        )
        self.port.on_batch(self._received)
        self.send(b"who", SERVER)

    def send(self, data: bytes, to: Address) -> None:
        self.port.send([(data, to, 0)])

    def check(self) -> None:
        """Ask everywhere."""
        for each in sorted(self.others):
            self.send(b"? %s %d" % (each[0].encode(), each[1]), each)

    def _received(self, _port: Port, batch: Batch) -> None:
        for data, source, _tos in batch:
            word, *rest = data.decode().split()
            if word == "you":
                self.public = rest[0], int(rest[1])
            elif word == "?":
                self.others.add(source)
                self.send(b"! " + data[2:], source)
            else:
                self.connected |= source == (rest[0], int(rest[1]))


def punches(first: NatSettings | None, second: NatSettings | None) -> bool:
    """Whether two hosts behind these find a path that works both ways."""
    clock = VirtualClock()
    network = FakeNetwork(clock, 1)
    server = network.host("server", [SERVER[0]]).factory.open_udp(*SERVER)
    server.on_batch(
        lambda port, batch: [
            port.send([(b"you %s %d" % (source[0].encode(), source[1]), source, 0)])
            for _data, source, _tos in batch
        ]
    )
    ends = [
        Puncher(network, "a", "10.1.0.2", first),
        Puncher(network, "b", "10.2.0.2", second),
    ]
    clock.advance(1.0)
    for one, other in (ends, ends[::-1]):
        assert other.public is not None
        one.others.add(other.public)
    for _ in range(8):
        for end in ends:
            end.check()
        clock.advance(0.5)
    return all(end.connected for end in ends)


class TableTests(SynchronousTestCase):
    """The table is what the models do."""

    def test_every_pair_of_kinds_is_as_the_models_have_it(self) -> None:
        for mine, my_nat in NATS.items():
            for theirs, their_nat in NATS.items():
                expected = theirs in DIRECT[mine]
                self.assertEqual(punches(my_nat, their_nat), expected, f"{mine} and {theirs}")

    def test_the_table_is_the_same_from_both_ends(self) -> None:
        for one in Kind:
            for other in Kind:
                self.assertEqual(other in DIRECT[one], one in DIRECT[other])

    def test_no_combination_of_mapping_and_filter_does_less_than_its_kind_promises(self) -> None:
        for mapping in Behavior:
            for filtering in Behavior:
                nat = NatSettings(mapping=mapping, filtering=filtering, preserve_ports=False)
                (kind,) = kinds_of(MappingBehavior(mapping), FilteringBehavior(filtering))
                for theirs in DIRECT[kind]:
                    self.assertTrue(punches(nat, NATS[theirs]), f"{nat} and {theirs}")


class KindTests(SynchronousTestCase):
    """From what was found out to what it means."""

    def test_a_firewall_without_translation_is_no_open_host(self) -> None:
        none = MappingBehavior.NONE
        filters = {
            FilteringBehavior.ENDPOINT_INDEPENDENT: Kind.OPEN,
            FilteringBehavior.ADDRESS_DEPENDENT: Kind.ADDRESS_RESTRICTED,
            FilteringBehavior.ADDRESS_AND_PORT_DEPENDENT: Kind.PORT_RESTRICTED,
        }
        for filtering, kind in filters.items():
            self.assertEqual(kinds_of(none, filtering), {kind})

    def test_what_is_unknown_leaves_all_that_is_possible(self) -> None:
        unknown = FilteringBehavior.UNKNOWN
        independent = {Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED}
        self.assertEqual(kinds_of(MappingBehavior.ENDPOINT_INDEPENDENT, unknown), independent)
        everything = independent | {Kind.SYMMETRIC}
        self.assertEqual(kinds_of(MappingBehavior.UNKNOWN, unknown), everything)
        dependent = kinds_of(MappingBehavior.ADDRESS_DEPENDENT, unknown)
        self.assertEqual(dependent, {Kind.SYMMETRIC})

    def test_the_best_local_address_counts(self) -> None:
        open_host, symmetric = frozenset((Kind.OPEN,)), frozenset((Kind.SYMMETRIC,))
        self.assertEqual(best_of([symmetric, open_host]), open_host)
        self.assertEqual(best_of([]), {Kind.BLOCKED})


class ExpectationTests(SynchronousTestCase):
    """Outcomes and their words."""

    def outcomes(self, *kinds: Kind, relay: bool) -> dict[Outcome, set[Kind]]:
        return {each.outcome: set(each.peers) for each in expect(kinds, relay=relay)}

    def test_a_port_restricted_host_with_and_without_a_relay(self) -> None:
        rest = {Kind.SYMMETRIC, Kind.BLOCKED}
        direct = set(Kind) - rest
        self.assertEqual(
            self.outcomes(Kind.PORT_RESTRICTED, relay=True),
            {
                Outcome.DIRECT: direct,
                Outcome.RELAY: {Kind.SYMMETRIC},
                Outcome.PEER_RELAY: {Kind.BLOCKED},
            },
        )
        self.assertEqual(
            self.outcomes(Kind.PORT_RESTRICTED, relay=False),
            {Outcome.DIRECT: direct, Outcome.PEER_RELAY: rest},
        )

    def test_without_udp_everything_is_the_relays_and_two_without_need_both(self) -> None:
        everybody = set(Kind)
        self.assertEqual(
            self.outcomes(Kind.BLOCKED, relay=True),
            {Outcome.RELAY: everybody - {Kind.BLOCKED}, Outcome.PEER_RELAY: {Kind.BLOCKED}},
        )
        self.assertEqual(self.outcomes(Kind.BLOCKED, relay=False), {Outcome.NONE: everybody})

    def test_an_unknown_filter_makes_only_some_peers_uncertain(self) -> None:
        kinds = kinds_of(MappingBehavior.ENDPOINT_INDEPENDENT, FilteringBehavior.UNKNOWN)
        found = self.outcomes(*kinds, relay=True)
        self.assertEqual(found[Outcome.UNCERTAIN], {Kind.SYMMETRIC})
        self.assertEqual(found[Outcome.PEER_RELAY], {Kind.BLOCKED})

    def test_words(self) -> None:
        one = Expectation(Outcome.RELAY, (Kind.SYMMETRIC,))
        self.assertEqual(one.text, "only by this host's relay with peers that have a symmetric NAT")
        two = Expectation(Outcome.DIRECT, (Kind.OPEN, Kind.FULL_CONE))
        self.assertEqual(two.text, "directly with peers that have no NAT or a full-cone NAT")
        everybody = Expectation(Outcome.NONE, tuple(Kind))
        self.assertEqual(everybody.text, "not at all with any peer")
        for outcome in Outcome:
            self.assertIn("no NAT", Expectation(outcome, (Kind.OPEN,)).text)
