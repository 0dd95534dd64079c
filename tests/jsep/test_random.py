"""Any calls in any order: never an inconsistent state, never anything but the stated errors."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description, DescriptionType, JsepError
from tests.corpus import OFFERS, load
from tests.fuzz.mutator import Mutator

from .sides import OFFER, PRANSWER, ROLLBACK, Side, candidate, credentials, line

SEED = random.SystemRandom().getrandbits(32)
SHAPES = {
    "stable": (False, False),
    "have-local-offer": (True, False),
    "have-remote-offer": (False, True),
    "have-local-pranswer": (True, True),
    "have-remote-pranswer": (True, True),
}


class World:
    """Two sides, and descriptions that may be lost, doubled, late, or crossing."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.sides = Side(seed), Side(seed + 1)
        self.wire: tuple[list[Description], list[Description]] = ([], [])
        self.applied = 0

    def step(self) -> None:
        """One call on one side; JsepError is an answer like any other."""
        here = self.draw.randrange(2)
        side, sent, came = self.sides[here], self.wire[1 - here], self.wire[here]
        before = snapshot(side)
        try:
            self.call(side, sent, came)
            self.applied += 1
        except (JsepError, TypeError):
            assert snapshot(side) == before, "a refused call left traces"

    def call(self, side: Side, sent: list[Description], came: list[Description]) -> None:
        draw, jsep = self.draw, side.jsep
        match draw.randrange(13):
            case 0 | 1:
                sent.append(side.offer(restart=draw.random() < 0.5))
            case 2 | 3:
                sent.append(side.answer())
            case 4:
                answer = Description(PRANSWER, jsep.create_answer().sdp)
                side.did(jsep.set_local(answer))
                sent.append(answer)
            case 5 | 6 | 7 if came:
                at = draw.choice((0, -1, draw.randrange(len(came))))
                side.take(came[at] if draw.random() < 0.2 else came.pop(at))
            case 8:
                side.did(draw.choice((jsep.set_local, jsep.set_remote))(ROLLBACK))
            case 9:
                jsep.restart_ice()
                if draw.random() < 0.3:
                    jsep.configuration_changed()
            case 10 if jsep.local_description is not None:
                name = credentials(jsep.local_description).ufrag
                jsep.local_candidate(candidate(draw.randrange(1, 9), name))
                if draw.random() < 0.1:
                    jsep.local_end_of_candidates(name)
            case 11 if came:
                known = draw.choice((None, credentials(draw.choice(came)).ufrag))
                side.add(draw.choice(("", line(draw.randrange(1, 99)))), "0", known)
            case _:
                side.run_tasks()


def snapshot(side: Side) -> tuple[object, ...]:
    """What a refused call must not change."""
    jsep = side.jsep
    return (
        side.state,
        jsep.current_local,
        jsep.pending_local,
        jsep.current_remote,
        jsep.pending_remote,
        frozenset(jsep.needs.to_replace),
        dict(side.staged),
        dict(side.started),
    )


def check(side: Side) -> None:
    """The descriptions fit the state, and generations fit the descriptions."""
    jsep = side.jsep
    pending = jsep.pending_local is not None, jsep.pending_remote is not None
    assert pending == SHAPES[side.state], (side.state, pending)
    assert (jsep.current_local is None) == (jsep.current_remote is None)
    if jsep.current_local is not None and jsep.current_remote is not None:
        local, remote = credentials(jsep.current_local), credentials(jsep.current_remote)
        assert side.started[local.ufrag] == remote, "in force, not started"
    if jsep.pending_local is not None:
        assert credentials(jsep.pending_local).ufrag in side.staged, "offered, not staged"
    known = {credentials(d).ufrag for d in (jsep.current_local, jsep.pending_local) if d}
    living = [name for name in side.staged if name not in side.started]
    assert set(living) <= known, "staged, in no description"


class RandomTests(SynchronousTestCase):
    """Seeded; the seed is in every failure."""

    def test_any_calls_leave_a_state_that_makes_sense(self) -> None:
        applied = 0
        for seed in range(SEED, SEED + 60):
            world = World(seed)
            for turn in range(120):
                try:
                    world.step()
                    for side in world.sides:
                        check(side)
                except Exception as error:
                    self.fail(f"seed {seed} turn {turn}: {error!r}")
            applied += world.applied
        self.assertGreater(applied, 2000, f"seed {SEED}")

    def test_after_any_calls_an_exchange_brings_both_together(self) -> None:
        for seed in range(SEED, SEED + 60):
            world = World(seed)
            for _ in range(80):
                world.step()
            one, two = world.sides
            for side in world.sides:
                if side.state != "stable":
                    side.did(side.jsep.set_local(ROLLBACK))
            try:
                two.take(one.offer(restart=True))
                one.take(two.answer())
            except JsepError as error:
                self.fail(f"seed {seed}: {error!r}")
            ours, theirs = credentials(one.jsep.current_local), credentials(two.jsep.current_local)
            self.assertEqual(one.started[ours.ufrag], theirs, f"seed {seed}")
            self.assertEqual(two.started[theirs.ufrag], ours, f"seed {seed}")

    def test_mutated_descriptions_raise_only_errors_of_ours(self) -> None:
        draw = random.Random(SEED)
        good = [Side(1).offer().sdp, *map(load, OFFERS)]
        mutator = Mutator(draw, good)
        for turn in range(600):
            side = Side(2)
            side.offer()
            before = snapshot(side)
            try:
                side.jsep.set_remote(Description(OFFER, mutator.changed(draw.choice(good))))
                side.jsep.set_local()
            except JsepError:
                self.assertEqual(snapshot(side), before, f"seed {SEED} turn {turn}")
            except Exception as error:
                self.fail(f"seed {SEED} turn {turn}: {error!r}")
            kind = draw.choice(list(DescriptionType))
            try:
                side.jsep.set_remote(Description(kind, mutator.changed(draw.choice(good))))
            except JsepError:
                pass
            except Exception as error:
                self.fail(f"seed {SEED} turn {turn}: {error!r}")
