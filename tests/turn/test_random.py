"""Random loss, duplication and reordering between an allocation and its server."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.turn import (
    Allocated,
    AllocationLost,
    AllocationState,
    Released,
    TurnSettings,
)
from tests.turn.duet import Duet
from tests.turn.server import ModelServer

PEERS = [(f"203.0.113.{n}", 6000 + n % 2) for n in range(1, 7)]
ROUNDS = 60


def bad_luck(random: Random, loss: float) -> Callable[[], list[float]]:
    """Each datagram is lost, or arrives once or twice, sooner or later."""

    def fate() -> list[float]:
        if random.random() < loss:
            return []
        return [random.uniform(0.001, 0.2) for _ in range(random.choice((1, 1, 1, 2)))]

    return fate


class RandomTests(SynchronousTestCase):
    def server(self, random: Random) -> ModelServer:
        return ModelServer(
            algorithms=random.choice((None, (2, 1), (1,))),
            nonce_seconds=random.choice((1e9, 90.0, 7.0)),
            lifetime=random.choice((60, 600, 3600)),
            forbidden={host for host, _ in PEERS if random.random() < 0.1},
        )

    def test_it_keeps_what_it_has_through_bad_luck(self) -> None:
        """Nothing is sent that the server would not take, and what should arrive mostly does."""
        for _ in range(ROUNDS):
            seed = Random().getrandbits(32)
            with self.subTest(seed=seed):
                self.keep(seed)

    def keep(self, seed: int) -> None:
        random = Random(seed)
        server = self.server(random)
        duet = Duet(server=server, seed=seed, fate=bad_luck(random, random.choice((0, 0.05, 0.1))))
        duet.start(60.0)
        told = f"seed {seed}: {duet.told} {duet.allocation.problem}"
        self.assertEqual(duet.told, [Allocated()], told)
        for _ in range(150):
            duet.send(random.choice((b"\x80data", b"\x00")), random.choice(PEERS))
            duet.run(random.choice((0.0, 0.01, 1.0, 30.0)))
        self.assertIs(duet.allocation.state, AllocationState.READY, f"seed {seed}")
        self.assertEqual(server.faults, [], f"seed {seed}")
        good = [peer for peer, _, _ in server.relayed_to_peers]
        self.assertFalse(any(host in server.forbidden for host, _ in good), f"seed {seed}")
        if len(server.forbidden) < len(PEERS):
            self.assertGreater(len(good), 10, f"seed {seed}")
        duet.allocation.release(duet.now)
        duet.run(10.0)
        self.assertEqual(duet.told[-1], Released(), f"seed {seed}")
        self.assertIsNone(duet.allocation.next_deadline(), f"seed {seed}")

    def test_it_always_ends_and_only_once(self) -> None:
        """T33: a server that dies, forgets or refuses at any time leaves nothing hanging."""
        for _ in range(ROUNDS):
            seed = Random().getrandbits(32)
            with self.subTest(seed=seed):
                self.end(seed)

    def end(self, seed: int) -> None:
        random = Random(seed)
        server = self.server(random)
        duet = Duet(
            server=server,
            seed=seed,
            reliable=random.random() < 0.2,
            settings=TurnSettings(keep_idle=random.choice((60.0, 1800.0))),
            fate=bad_luck(random, random.choice((0, 0.1, 0.5))),
        )
        duet.allocation.start(duet.now)
        for _ in range(60):
            self.something(random, duet)
            duet.run(random.choice((0.0, 0.05, 2.0, 60.0)))
        duet.allocation.release(duet.now)
        duet.run(10.0)
        self.assertIs(duet.allocation.state, AllocationState.OVER, f"seed {seed}")
        self.assertIsNone(duet.allocation.next_deadline(), f"seed {seed}")
        endings = [e for e in duet.told if type(e).__name__ in ENDINGS]
        self.assertEqual(endings, duet.told[-1:], f"seed {seed}")
        lost = any(isinstance(e, AllocationLost) for e in duet.told)
        self.assertLessEqual(lost, Allocated() in duet.told, f"seed {seed}")
        self.assertEqual(duet.states, sorted(duet.states, key=ORDER.index), f"seed {seed}")

    def something(self, random: Random, duet: Duet) -> None:
        peer, chance = random.choice(PEERS), random.random()
        if chance < 0.5:
            duet.send(random.choice((b"\x80data", b"\x00")), peer)
        elif chance < 0.7:
            duet.allocation.permit(peer[0], duet.now)
        elif chance < 0.8:
            duet.from_peer(b"hello", peer)
        elif chance < 0.9:
            duet.allocation.verify(duet.now)
        elif chance < 0.95:
            code = random.choice((400, 403, 437, 438, 441, 486, 500, 508, 599))
            duet.server.scripted[random.choice((4, 8, 9))].append(code)
        elif chance < 0.97:
            duet.server.forget()
        elif chance < 0.98:
            duet.server.silent = {random.choice((4, 8, 9))}
        else:
            duet.now += 90.0


ORDER = list(AllocationState)
ENDINGS = ("AllocationFailed", "TryAlternate", "AllocationLost", "Released")
