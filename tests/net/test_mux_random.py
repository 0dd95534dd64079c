"""Anything at all may arrive: nothing is raised, nothing grows, everything is counted."""

from __future__ import annotations

import random

from refreeze.net.mux import MuxSettings
from tests.net.fakes import BASE, PEER, STRANGER, indication, request, success
from tests.net.test_mux import MuxCase

COUNTED = (
    "stun",
    "data",
    "malformed",
    "unknown_ufrag",
    "past_ufrag",
    "unknown_transaction",
    "past_transaction",
    "unowned",
    "flooded",
)


class RandomTests(MuxCase):
    """Valid, damaged, cut and random datagrams on owned and unowned 5-tuples."""

    settings = MuxSettings(bad_per_second=1000)

    def setUp(self) -> None:
        super().setUp()
        self.seed = random.SystemRandom().getrandbits(32)
        print(f"seed {self.seed}")
        self.draw = random.Random(self.seed)
        self.mux.register("aaaa", self.alice)
        self.mux.register("past", self.bob)
        self.mux.retire("past")
        self.mux.transmit(self.alice, [self.check(1)])

    def datagram(self) -> bytes:
        """Something that may arrive."""
        draw = self.draw
        seeds = [request("aaaa"), request("past"), request("zzzz"), success(1), success(9)]
        chosen = bytearray(draw.choice([*seeds, indication(), draw.randbytes(100)]))
        for _ in range(draw.choice([0, 0, 1, 3])):
            chosen[draw.randrange(len(chosen))] = draw.getrandbits(8)
        return bytes(chosen[: draw.choice([len(chosen), len(chosen), draw.randrange(101)])])

    def test_every_datagram_is_counted_once_and_none_is_an_error(self) -> None:
        for _ in range(300):
            batch = [
                (self.datagram(), self.draw.choice([PEER, STRANGER]))
                for _ in range(self.draw.randrange(20))
            ]
            self.port.receive(*batch)
            self.time += self.draw.random()
        counters = self.mux.counters
        total = sum(getattr(counters, name) for name in COUNTED)
        self.assertEqual((total, counters.owner_errors), (counters.received, 0))

    def test_checks_of_ours_never_reach_the_application(self) -> None:
        """Whatever stands beside them in a batch."""
        ours = [request("aaaa"), request("past"), success(1), indication()]
        for _ in range(300):
            batch = [self.draw.choice([*ours, b"data"]) for _ in range(10)]
            self.port.receive(*[(datagram, PEER) for datagram in batch])
        self.assertEqual(set(self.alice.payloads()), {b"data"})
        self.assertEqual(self.mux.claims_of(self.alice), {(BASE, PEER)})
