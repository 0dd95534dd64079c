"""One random schedule: a scene and its faults by a seed, played, healed, and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    LinkSettings,
    NeverHappened,
    SeededRandom,
)
from refreeze.watchdog import PolicySettings
from tests.simulation.accounts import exposed, leaks, losses
from tests.simulation.faults import KINDS, End, Fault, random_fault
from tests.simulation.scene import Scene, Shape
from tests.simulation.serverfaults import ALL_KINDS

RECONNECT_WITHIN = 30.0
"""Seconds after a path exists, besides the longest probe interval."""
SETTLE = 10.0
"""Seconds in which what is under way arrives, or is given up."""
IMPATIENT = PolicySettings(probe_first=10.0, probe_max=20.0)
"""So that an open circuit is often met and often probed."""


def random_shape(random: SeededRandom) -> Shape:
    """Where and by which rules they meet; a direct path always exists."""

    def of(*choices: object) -> object:
        return choices[int(random.random() * len(choices))]

    nat = of(None, None, FULL_CONE, PORT_RESTRICTED, SYMMETRIC)
    many = random.random() < 0.7
    if nat is None:
        alice = ["192.0.2.1", "2001:db8::1", "198.51.100.1"][: 3 if many else 1]
    else:
        alice = ["10.0.0.1", "10.0.0.2"][: 2 if many else 1]
    bob = ["192.0.2.2", "2001:db8::2"][: 2 if random.random() < 0.7 else 1]
    link = LinkSettings(
        delay=random.uniform(0.0, 0.08),
        jitter=random.uniform(0.0, 0.02),
        loss=of(0.0, 0.0, 0.01, 0.05),  # type: ignore[arg-type]
        reorder=of(0.0, 0.05),  # type: ignore[arg-type]
        duplicate=of(0.0, 0.02),  # type: ignore[arg-type]
    )
    return Shape(
        alice=alice,
        bob=bob,
        protect=random_protect(random),
        nat=nat,  # type: ignore[arg-type]
        link=link,
        liveness=str(of("default", "default", "fast", "patient")),
        offerer=str(of("alice", "bob")),
        watchdog=of(IMPATIENT, PolicySettings()),  # type: ignore[arg-type]
        rate=random.uniform(1.0, 8.0),
    )


def random_protect(random: SeededRandom) -> str:
    """Mostly protected; from a stream of its own."""
    return "dtls" if random.child("protect").random() < 0.7 else "none"


def random_faults(random: SeededRandom, kinds: Iterable[str] = KINDS) -> list[Fault]:
    """Up to ten of *kinds*, often at once, in order of their beginnings."""
    at, faults = random.uniform(0.0, 5.0), []
    for _ in range(1 + int(random.random() * 10)):
        faults.append(random_fault(random, at, kinds))
        at += random.uniform(0.0, 15.0) if random.random() < 0.7 else 0.0
    return faults


@define(eq=False, repr=False)
class Schedule:
    """Play it with :meth:`run`; its text says how it went."""

    seed: int
    shape: Shape
    faults: list[Fault]
    scene: Scene = field(init=False)
    healed_at: float = field(default=0.0, init=False)
    took: float | None = field(default=None, init=False)
    """Seconds from the last fault's end until data flowed again; None: it never did."""

    def __attrs_post_init__(self) -> None:
        self.scene = Scene(self.seed, self.shape)

    @property
    def patience(self) -> float:
        """How long it may take to be connected once a path exists (seconds)."""
        watchdog = self.shape.watchdog
        return RECONNECT_WITHIN + watchdog.probe_max * (1 + watchdog.probe_jitter)

    def run(self) -> list[str]:
        """Play, heal, wait and stop; returns what was wrong, in a line each."""
        self._play()
        wrong: list[str] = []
        try:
            self.took = self.scene.flow(self.patience)
        except NeverHappened:
            wrong.append(f"not connected within {self.patience:.0f} s after a path existed")
        scene = self.scene
        scene.program.pause()
        scene.advance(SETTLE)
        wrong += losses(scene) + exposed(scene)
        if left := scene.end():
            wrong.append(f"calls left behind: {left}")
        scene.advance(SETTLE)
        return wrong + leaks(scene)

    def _play(self) -> None:
        scene, ends = self.scene, list[tuple[float, int, End]]()
        clock = scene.world.reactor

        def until(at: float) -> None:
            while ends and ends[0][0] <= at:
                when, _, end = ends.pop(0)
                clock.advance(max(0.0, when - clock.seconds()))
                end()
            clock.advance(max(0.0, at - clock.seconds()))

        for number, fault in enumerate(self.faults):
            until(fault.at)
            ends.append((fault.at + fault.seconds, number, ALL_KINDS[fault.kind](scene, fault)))
            ends.sort(key=lambda each: each[:2])
        until(max(fault.at + fault.seconds for fault in self.faults))
        scene.world.network.heal()
        self.healed_at = clock.seconds()

    def lines(self) -> Iterator[str]:
        """What a person needs who looks for the reason."""
        yield f"seed {self.seed}: {self.shape}"
        yield from map(str, self.faults)
        yield f"healed at {self.healed_at:.3f}, flowing {self.took} s later"
        yield from map(str, list(self.scene.events)[-60:])


def random_schedule(seed: int) -> Schedule:
    """Two hosts that can see each other, and what goes wrong between them."""
    random = SeededRandom(seed)
    return Schedule(
        seed, random_shape(random.child("shape")), random_faults(random.child("faults"))
    )


def judge(case: SynchronousTestCase, schedule: Schedule) -> Schedule:
    """Play it; the test fails with its whole story when anything is wrong."""
    wrong = schedule.run()
    wrong += [failure.getTraceback() for failure in case.flushLoggedErrors()]
    if wrong:
        case.fail("\n".join([*wrong, *schedule.lines()]))
    return schedule
