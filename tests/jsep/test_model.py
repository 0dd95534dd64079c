"""The signaling machine against a model of the specification, call by call.

Hypothesis draws the calls of two sides, what arrives of what they sent, and in which order; after
every call everything that can be seen is compared. REFREEZE_MODEL_STEPS says how many calls there
are to be at least; REFREEZE_MODEL_SEED with the same REFREEZE_MODEL_STEPS replays.
"""

from __future__ import annotations

import os
import random
from itertools import count
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Credentials
from refreeze.jsep import Direction

from .both import End
from .model_parts import DATA, PROVISIONAL, REMOTE_OFFER, Line
from .sides import line

STEPS = int(os.environ.get("REFREEZE_MODEL_STEPS", "2000"))
SEED = int(os.environ.get("REFREEZE_MODEL_SEED", random.SystemRandom().getrandbits(32)))
CALLS = 60
"""Of one sequence."""

WHO = st.integers(0, 1)
DIRECTIONS = st.sampled_from(("sendrecv", "sendonly", "recvonly", "inactive"))
NUMBER = st.integers(0, 7)


class Machine(RuleBasedStateMachine):
    """Two ends, and the calls that may be made."""

    total = 0

    def __init__(self) -> None:
        super().__init__()
        numbers, ices = count(), dict[int, Credentials]()
        self.ends = End(0, numbers, ices), End(1, numbers, ices)
        self.begun = 0

    def teardown(self) -> None:
        Machine.total += sum(end.steps for end in self.ends)

    def two(self, who: int) -> tuple[End, End]:
        return self.ends[who], self.ends[1 - who]

    # Descriptions

    @rule(who=WHO, restart=st.booleans())
    def create_offer(self, who: int, restart: bool) -> None:
        self.ends[who].create("offer", restart=restart)

    @rule(who=WHO)
    def create_answer(self, who: int) -> None:
        self.ends[who].create("answer")

    @rule(who=WHO, kind=st.sampled_from(("offer", "answer", "pranswer")))
    def set_local_last(self, who: int, kind: str) -> None:
        end = self.ends[who]
        text = end.model.last_offer if kind == "offer" else end.model.last_answer
        if text is not None:
            end.apply(kind, text)

    @rule(who=WHO, kind=st.sampled_from(("offer", "answer", "pranswer")), number=NUMBER)
    def set_local_any(self, who: int, kind: str, number: int) -> None:
        """One created long ago, or under another type."""
        end = self.ends[who]
        if end.made:
            end.apply(kind, end.made[-1 - number % len(end.made)])

    @rule(who=WHO)
    def set_local_implicit(self, who: int) -> None:
        self.ends[who].apply_implicit()

    @rule(who=WHO, local=st.booleans())
    def roll_back(self, who: int, local: bool) -> None:
        end = self.ends[who]
        if end.model.state in PROVISIONAL:
            return  # refused by its caller
        if local:
            end.apply("rollback", None)
        else:
            end.take("rollback", None, "")

    @rule(who=WHO, skip=st.booleans())
    def deliver(self, who: int, skip: bool) -> None:
        """The next of what the peer sent, or the latest."""
        end, other = self.two(who)
        if end.came < len(other.sent):
            at = len(other.sent) - 1 if skip else end.came
            end.came = at + 1
            end.take(*other.sent[at])

    @rule(who=WHO, number=NUMBER)
    def deliver_old(self, who: int, number: int) -> None:
        end, other = self.two(who)
        if other.sent:
            end.take(*other.sent[-1 - number % len(other.sent)])

    @rule(who=WHO, number=NUMBER, kind=st.sampled_from(("answer", "pranswer")))
    def deliver_wrong(self, who: int, number: int, kind: str) -> None:
        """Under another type."""
        end, other = self.two(who)
        if other.sent:
            _, text, sdp = other.sent[-1 - number % len(other.sent)]
            end.take(kind, text, sdp)

    @rule(who=WHO, restart=st.booleans(), provisional=st.booleans(), far=st.integers(1, 4))
    def exchange(self, who: int, restart: bool, provisional: bool, far: int) -> None:
        """As applications do it when nothing is in the way; *far*: how much of it."""
        one, two = self.two(who)
        offer = one.create("offer", restart=restart)
        if offer is None:
            return
        one.apply("offer", offer)
        two.take(*one.sent[-1])
        two.came = len(one.sent)
        if far > 1 and provisional:
            answer = two.create("answer")
            if answer is not None:
                two.apply("pranswer", answer)
                one.take(*two.sent[-1])
        if far > 2:
            two.apply_implicit()
        if far > 3 and two.sent:
            one.take(*two.sent[-1])
            one.came = len(two.sent)

    # Candidates

    @rule(who=WHO, port=st.integers(1, 30) | st.none(), number=NUMBER, place=NUMBER)
    def add_candidate(self, who: int, port: int | None, number: int, place: int) -> None:
        end, other = self.two(who)
        mid, index = place_of(place, end)
        ice: int | None = None
        fragment: str | None = None
        if number == 0:
            ice, fragment = -1, "never"
        elif number < 6 and other.sent:
            ice = other.sent[-1 - (number - 1) % len(other.sent)][1].ice
            fragment = end.ices[ice].ufrag
        text = "" if port is None else line(port)
        end.operation(
            lambda: end.model.add_candidate(port, mid, index, ice),
            lambda: end.real.did(end.real.jsep.add_remote_candidate(text, mid, index, fragment)),
        )

    # Wishes

    @rule(who=WHO)
    def restart_ice(self, who: int) -> None:
        end = self.ends[who]
        end.call(end.model.restart_ice, end.real.jsep.restart_ice)

    @rule(who=WHO)
    def set_configuration(self, who: int) -> None:
        end = self.ends[who]
        end.call(end.model.set_configuration, end.real.jsep.configuration_changed)

    @rule(who=WHO, kind=st.sampled_from(("audio", "video")), direction=DIRECTIONS)
    def add_transceiver(self, who: int, kind: str, direction: str) -> None:
        end = self.ends[who]
        if len(end.model.transceivers) < 4:
            end.call(
                lambda: end.model.add_transceiver(kind, direction),
                lambda: (end.real.jsep.add_transceiver(kind, Direction(direction)), None)[1],
            )

    @rule(who=WHO, number=NUMBER, direction=DIRECTIONS | st.none())
    def change_transceiver(self, who: int, number: int, direction: str | None) -> None:
        """*direction* None: stop()."""
        end = self.ends[who]
        if not end.model.transceivers:
            return
        at = number % len(end.model.transceivers)
        each, part = end.model.transceivers[at], end.real.jsep.media.transceivers[at]
        if direction is None:
            end.call(lambda: end.model.stop(each), lambda: end.real.jsep.stop_transceiver(part))
        else:
            end.call(
                lambda: end.model.set_direction(each, direction),
                lambda: end.real.jsep.set_direction(part, Direction(direction)),
            )

    # Time

    @rule(who=WHO, number=NUMBER, far=st.integers(2, 3))
    def stop_and_roll_back(self, who: int, number: int, far: int) -> None:
        """A stop that the peer hears of, and takes back or answers."""
        two = self.ends[1 - who]
        self.change_transceiver(who, number, None)
        self.exchange(who, False, False, far)
        if two.model.state == REMOTE_OFFER:
            two.apply("rollback", None)
        two.run_task()

    @rule(who=WHO)
    def run_task(self, who: int) -> None:
        self.ends[who].run_task()

    @rule(who=WHO, begins=st.booleans())
    def long_operation(self, who: int, begins: bool) -> None:
        """One that is not over when others are called."""
        end = self.ends[who]
        if begins and end.model.chain < 2:
            end.model.operation_began()
            end.real.jsep.needs.operation_began()
        elif not begins and end.model.chain:
            end.model.operation_ended()
            end.real.jsep.needs.operation_ended()
        end.check()

    @precondition(lambda self: sum(end.steps for end in self.ends) > CALLS)
    @rule(who=WHO)
    def close(self, who: int) -> None:
        end = self.ends[who]
        end.call(end.model.close, end.real.jsep.close)


def place_of(place: int, end: End) -> tuple[str | None, int | None]:
    """sdpMid and sdpMLineIndex: good ones, and others."""
    held = end.model.pending_remote or end.model.current_remote
    lines = held.text.lines if held is not None else (Line(DATA, "0"),)
    if place < 3:
        return lines[place % len(lines)].mid, None
    if place < 5:
        return None, (place - 3) % len(lines)
    return {5: (None, None), 6: (None, 99), 7: ("nobody's", 0)}[place]


def run_steps(test: SynchronousTestCase, machine: Any, steps: int) -> None:
    """At least so many calls; *machine* counts them in its ``total``."""
    machine.total, round_ = 0, 0
    while machine.total < steps:
        seeded = seed(SEED + round_)(type("Seeded", (machine,), {}))
        try:
            run_state_machine_as_test(
                seeded,
                settings=settings(
                    max_examples=max(1, min(200, steps // CALLS)),
                    stateful_step_count=CALLS,
                    deadline=None,
                    database=None,
                    report_multiple_bugs=False,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            again = f"REFREEZE_MODEL_STEPS={STEPS} REFREEZE_MODEL_SEED={SEED + round_}"
            test.fail(f"{error!r}\n{notes}\n{again}")
        round_ += 1


class ModelTests(SynchronousTestCase):
    """Rules 1 to 12, 14, 15, 18, 19, 23, 26 to 28, 49, 51, 55 and 56, in any order of calls."""

    def test_no_sequence_of_calls_is_answered_otherwise_than_by_the_model(self) -> None:
        run_steps(self, Machine, STEPS)
