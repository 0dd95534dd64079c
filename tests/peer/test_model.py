"""RTCPeerConnection against the model: calls under way, in any order with the tasks they queue.

As in :mod:`tests.jsep.test_model`, but through the operations chain: what settles and what is
fired, in which order, is compared task by task.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Credentials
from tests.jsep.model_parts import DATA, Line
from tests.jsep.sides import line
from tests.jsep.test_model import CALLS, DIRECTIONS, NUMBER, STEPS, WHO, run_steps

from .both import Connection


class Machine(RuleBasedStateMachine):
    """Two connections, the calls that may be made, and the tasks that may run."""

    total = 0

    def __init__(self) -> None:
        super().__init__()
        numbers, ices = count(), dict[int, Credentials]()
        self.ends = Connection("alice", numbers, ices), Connection("bob", numbers, ices)

    def teardown(self) -> None:
        for end in self.ends:
            end.run_all()
            Machine.total += end.steps

    def two(self, who: int) -> tuple[Connection, Connection]:
        return self.ends[who], self.ends[1 - who]

    # Descriptions

    @rule(who=WHO, kind=st.sampled_from(("offer", "offer", "answer")), restart=st.booleans())
    def create(self, who: int, kind: str, restart: bool) -> None:
        self.ends[who].create(kind, restart=restart)

    @rule(who=WHO, kind=st.sampled_from(("offer", "answer", "pranswer")), number=NUMBER)
    def set_local(self, who: int, kind: str, number: int) -> None:
        """The one created last, or one created before."""
        end = self.ends[who]
        if end.made:
            end.apply(kind, end.made[-1 - (max(0, number - 4) % len(end.made))])

    @rule(who=WHO)
    def set_local_implicit(self, who: int) -> None:
        self.ends[who].apply_implicit()

    @rule(who=WHO, local=st.booleans())
    def roll_back(self, who: int, local: bool) -> None:
        self.ends[who].roll_back(local=local)

    @rule(who=WHO, number=NUMBER)
    def deliver(self, who: int, number: int) -> None:
        """The latest of what the peer sent, or one before."""
        end, other = self.two(who)
        if other.sent:
            end.take(*other.sent[-1 - (max(0, number - 4) % len(other.sent))])

    @rule(who=WHO, restart=st.booleans(), far=st.integers(1, 4), provisional=st.booleans())
    def exchange(self, who: int, restart: bool, far: int, provisional: bool) -> None:
        """As applications do it; *far*: how much of it."""
        one, two = self.two(who)
        one.run_all()
        two.run_all()
        sent = len(one.sent)
        if restart:
            one.at_once(one.model.restart_ice, one.real.restartIce)
        one.apply_implicit()
        one.run_all()
        if len(one.sent) == sent:
            return
        two.take(*one.sent[-1])
        two.run_all()
        if far > 1 and provisional:
            made = len(two.made)
            two.create("answer")
            two.run_all()
            if len(two.made) > made:
                two.apply("pranswer", two.made[-1])
                two.run_all()
                one.take(*two.sent[-1])
                one.run_all()
        if far > 2:
            two.apply_implicit()
            two.run_all()
        if far > 3 and two.sent:
            one.take(*two.sent[-1])
            one.run_all()

    # Candidates

    @rule(who=WHO, port=st.integers(1, 30) | st.none(), number=NUMBER, place=NUMBER)
    def add_candidate(self, who: int, port: int | None, number: int, place: int) -> None:
        end, other = self.two(who)
        held = end.model.pending_remote or end.model.current_remote
        lines = held.text.lines if held is not None else (Line(DATA, "0"),)
        mid, index = lines[place % len(lines)].mid if place < 4 else None, None
        if place in {4, 5}:
            index = (place - 4) % len(lines)
        elif place == 6:
            index = 99
        ice: int | None = None
        init: dict[str, Any] = {"candidate": "" if port is None else line(port)}
        if number == 0:
            ice, init["usernameFragment"] = -1, "never"
        elif number < 6 and other.sent:
            ice = other.sent[-1 - (number - 1) % len(other.sent)][1].ice
            init["usernameFragment"] = end.ices[ice].ufrag
        init.update(sdpMid=mid, sdpMLineIndex=index)
        if port is not None and mid is None and index is None:
            return  # a TypeError at once: tests.peer.test_add_ice_candidate
        end.begin(
            lambda: end.real.addIceCandidate(init),
            lambda _: end.model.add_candidate(port, mid, index, ice),
            lambda: end.model.find_candidate(port, mid, index, ice) is not None,
        )

    # Wishes

    @rule(who=WHO)
    def restart_ice(self, who: int) -> None:
        end = self.ends[who]
        end.at_once(end.model.restart_ice, end.real.restartIce)

    @rule(who=WHO)
    def set_configuration(self, who: int) -> None:
        """Another policy than before."""
        end = self.ends[who]
        before = end.real.getConfiguration().iceTransportPolicy
        policy = {"all": "relay", "relay": "all"}[before]
        end.at_once(
            end.model.set_configuration,
            lambda: end.real.setConfiguration({"iceTransportPolicy": policy}),
        )

    @rule(who=WHO, kind=st.sampled_from(("audio", "video")), direction=DIRECTIONS)
    def add_transceiver(self, who: int, kind: str, direction: str) -> None:
        end = self.ends[who]
        if len(end.model.transceivers) < 4:
            end.at_once(
                lambda: end.model.add_transceiver(kind, direction),
                lambda: end.real.addTransceiver(kind, direction=direction),
            )

    @rule(who=WHO, number=NUMBER, direction=DIRECTIONS | st.none())
    def change_transceiver(self, who: int, number: int, direction: str | None) -> None:
        """*direction* None: stop()."""
        end = self.ends[who]
        if not end.model.transceivers:
            return
        at = number % len(end.model.transceivers)
        each, real = end.model.transceivers[at], end.real.getTransceivers()[at]
        if direction is None:
            end.at_once(lambda: end.model.stop(each), real.stop)
        else:
            end.at_once(
                lambda: end.model.set_direction(each, direction),
                lambda: setattr(real, "direction", direction),
            )

    # Time

    @rule(who=WHO, times=st.integers(1, 4))
    def run(self, who: int, times: int) -> None:
        for _ in range(times):
            self.ends[who].run()

    @rule(who=WHO)
    def run_all(self, who: int) -> None:
        self.ends[who].run_all()

    @precondition(lambda self: sum(end.steps for end in self.ends) > CALLS)
    @rule(who=WHO)
    def close(self, who: int) -> None:
        end = self.ends[who]
        end.at_once(end.model.close, end.real.close)


class ModelTests(SynchronousTestCase):
    """Rules 1 to 12, 14, 15, 17 to 19, 23, 26 to 28, 55, 56 and 65, with calls under way."""

    def test_no_order_of_calls_and_tasks_is_answered_otherwise_than_by_the_model(self) -> None:
        run_steps(self, Machine, STEPS // 2)
