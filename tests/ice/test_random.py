"""Random networks and fault schedules, by seed; a failure names its seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import IceRole, IceState
from refreeze.ice.events import ConsentLost, PairSelected, Recovered
from tests.ice.duo import (
    A1,
    A2,
    B1,
    B2,
    Duo,
    Nat,
    Side,
    connected_duo,
    host,
    make_duo,
    reflexive,
    relay,
)

SEEDS = range(150)
RELAYED_A, RELAYED_B = ("10.0.9.9", 4000), ("192.0.2.9", 5000)


def _gather(duo: Duo, side: Side, base: tuple[str, int], index: int) -> None:
    preference = 65535 - index
    duo.add(side, host(base, preference))
    nat = duo.nats.get(side.name)
    if nat is not None:
        mapped = nat.outbound(base, ("192.0.2.53", 3478))
        duo.add(side, reflexive(mapped, base, preference))


def _random_duo(seed: int) -> Duo:
    """Any roles, NATs, candidates, delay, loss, and order of signaling; a path exists."""
    random = Random(seed)
    duo = make_duo(
        seed,
        roles=[random.choice(list(IceRole)), random.choice(list(IceRole))],
        delay=random.choice([0.0, 0.001, 0.02, 0.15]),
        jitter=random.choice([0.0, 0.03]),
        loss=random.choice([0.0, 0.0, 0.1, 0.25]),
    )
    steps: list[Callable[[], None]] = []
    for side, bases, public in (
        (duo.a, (A1, A2), "198.51.100.1"),
        (duo.b, (B1, B2), "203.0.113.1"),
    ):
        if random.random() < 0.4:
            duo.nats[side.name] = Nat(public, symmetric=random.random() < 0.4)
        for index, base in enumerate(bases[: random.choice([1, 2])]):
            steps.append(lambda s=side, b=base, i=index: _gather(duo, s, b, i))  # type: ignore[misc]
    if duo.nats:
        steps.append(lambda: duo.add(duo.a, relay(RELAYED_A)))
        steps.append(lambda: duo.add(duo.b, relay(RELAYED_B)))
    steps.append(lambda: duo.introduce(ended=False))
    random.shuffle(steps)
    for step in steps:
        step()
        duo.run(random.choice([0.0, 0.03, 0.5]))
    duo.end()
    return duo


class ConnectTests(SynchronousTestCase):
    def test_any_two_agents_with_a_path_connect_and_agree(self) -> None:
        for seed in SEEDS:
            duo = _random_duo(seed)
            try:
                duo.connect(60)
                duo.loss = 0.0
                duo.run(5)
                self._check(duo)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error

    def _check(self, duo: Duo) -> None:
        self.assertEqual(
            {side.agent.role for side in duo.sides},
            {IceRole.CONTROLLING, IceRole.CONTROLLED},
        )
        for side in duo.sides:
            self.assertEqual(side.states[-1], "completed")
            self.assertEqual(sum(p.nominated for p in side.agent.pairs), 1)
            self.assertLessEqual(len(side.agent.pairs), 100)
            self.assertFalse(side.agent.checks.busy)
        duo.check_transitions()
        received = [len(side.data_in) for side in duo.sides]
        duo.traffic(0.2)
        duo.run(1)
        for side, before in zip(duo.sides, received, strict=True):
            self.assertEqual([known for _, known in side.data_in[before:]], [True] * 10)


class FaultTests(SynchronousTestCase):
    """Cuts, one-way cuts, loss, delay and a stopped process, at random."""

    def _fault(self, duo: Duo, random: Random) -> float:
        """One fault from beginning to end; returns how long the path was dead both ways."""
        seconds = random.choice([0.3, 1.0, 2.0, 4.0, 8.0, 14.0, 35.0])
        kind = random.choice(["cut", "cut", "one-way", "loss", "slow", "stop"])
        dead = seconds if kind == "cut" else 0.0
        if kind == "cut":
            duo.cut()
        elif kind == "one-way":
            duo.cut(both=False)
        elif kind == "loss":
            duo.loss = 0.5
        elif kind == "slow":
            duo.delay = 0.4
        else:
            duo.frozen = {random.choice("ab")}
        if random.random() < 0.5:
            duo.traffic(seconds, every=0.1, senders="" if duo.frozen else "ab")
        else:
            duo.run(seconds)
        duo.heal()
        duo.loss, duo.delay, duo.frozen = 0.0, 0.02, set()
        return dead

    def test_the_invariants_hold_whatever_happens(self) -> None:
        for seed in SEEDS:
            try:
                self._play(seed)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error

    def _play(self, seed: int) -> None:
        random = Random(seed)
        duo = connected_duo(seed)
        for _ in range(random.choice([1, 2, 4])):
            was_failed = {side.name: "failed" in side.states for side in duo.sides}
            dead = self._fault(duo, random)
            for side in duo.sides:
                failed = "failed" in side.states
                if dead >= 9.6:
                    self.assertTrue(failed, "a dead path must be noticed")
            duo.run(random.choice([8.0, 12.0]))
            if 0 < dead < 2.4:
                for side in duo.sides:
                    self.assertEqual("failed" in side.states, was_failed[side.name])
        duo.run(10)
        for side in duo.sides:
            self._settled(side)
        duo.check_transitions()

    def _settled(self, side: Side) -> None:
        """The path is whole for a while: what must be true now."""
        agent = side.agent
        self.assertEqual(len(side.of(PairSelected)), 1)
        lost = bool(side.of(ConsentLost))
        self.assertEqual(agent.data_pair is None, lost)
        if agent.state is IceState.FAILED:
            self.assertIn(agent.failed_reason, {"silence", "consent"})
            self.assertTrue(lost or side.of(Recovered))
        else:
            self.assertIs(agent.state, IceState.COMPLETED)
        self.assertEqual(side.states.count("failed"), int(agent.state is IceState.FAILED))
