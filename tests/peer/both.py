"""One connection twice: as it is, and as the model has it, with the operations chain of each.

Calls only begin something; what comes of it is a log, of what settled and of what was fired, and
tasks are run on either side until it grows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from refreeze.ice import AgentSettings, CheckBucket, Credentials
from refreeze.jsep import Description, DescriptionType
from refreeze.net.gathering import GatherReceiver
from refreeze.net.mux import Mux
from refreeze.net.scheduler import Scheduler
from refreeze.peer import PeerEnvironment, RTCCertificate, RTCPeerConnection
from refreeze.testing import SeededRandom, VirtualReactor
from tests.jsep.both import Texts
from tests.jsep.model import Peer
from tests.jsep.model_parts import (
    CAN_ANSWER,
    CAN_OFFER,
    CLOSED,
    LOCAL_OFFER,
    PROVISIONAL,
    REMOTE_OFFER,
    STABLE,
    Refused,
    Text,
)

NEEDED, CHANGED = "negotiationneeded", "signalingstatechange"
CERTIFICATE = RTCCertificate.generate(datetime(2026, 1, 1, tzinfo=UTC))


def _pass() -> bool:
    """Nothing is refused."""
    return True


@define(eq=False)
class Chained(Peer):
    """The model with its operations chain and its queue of tasks (4.4.1.2)."""

    log: list[tuple[str, ...]] = field(factory=list, kw_only=True)
    queue: deque[Callable[[], None]] = field(factory=deque)
    waiting: deque[tuple[int, Callable[[], bool], list[Callable[[], None]]]] = field(factory=deque)
    """Operations by number, each with what its tasks do; the last one settles it."""

    def close(self) -> None:
        """close(): transceivers stop with it."""
        super().close()
        for each in self.transceivers:
            each.stop()

    def update_flag(self) -> None:
        """Update the negotiation-needed flag."""
        before = self.tasks
        super().update_flag()
        if self.tasks > before:
            self.queue.append(self._look)

    def _look(self) -> None:
        if self.run_task():
            self.log.append((NEEDED,))

    def begin(
        self, number: int, steps: Sequence[Callable[[], None]], guard: Callable[[], bool] = _pass
    ) -> None:
        """Chain an operation; what *guard* refuses, it refuses before any task.

        When it returns False there is nothing to be done in one.
        """
        if self.state == CLOSED:
            self.log.append(("settled", str(number), "InvalidStateError"))
            return
        self.waiting.append((number, guard, [*steps]))
        self.operation_began()
        if len(self.waiting) == 1:
            self._start()

    def _start(self) -> None:
        number, guard, _ = self.waiting[0]
        try:
            wanted = guard()
        except Refused as refusal:
            self._settle(number, refusal.name)
            return
        if wanted:
            self.queue.append(self._step)
        else:
            self._settle(number, "")

    def _step(self) -> None:
        if self.state == CLOSED:
            return
        number, _, steps = self.waiting[0]
        before, error = self.state, ""
        try:
            steps.pop(0)()
        except Refused as refusal:
            error = refusal.name
        if self.state not in {before, CLOSED}:
            self.log.append((CHANGED, self.state))
        if steps and not error:
            self.queue.append(self._step)
        else:
            self._settle(number, error)

    def _settle(self, number: int, error: str) -> None:
        self.log.append(("settled", str(number), error))
        self.waiting.popleft()
        if self.waiting:
            self._start()
        self.operation_ended()


class NoCandidates:
    """A gatherer that is never done, and finds nothing."""

    def gather(self, ufrag: str, receiver: GatherReceiver) -> NoCandidates:
        """Begin."""
        return self

    def finish(self) -> None:
        """There is nothing to end."""

    def cancel(self) -> None:
        """There is nothing to tell."""


class Connection(Texts):
    """Both of them. Calls are numbered; their results are kept for what comes later."""

    model: Chained

    def __init__(self, name: str, numbers: Iterator[int], ices: dict[int, Credentials]) -> None:
        super().__init__(Chained(numbers=numbers), ices)
        self.tasks: deque[Callable[[], None]] = deque()
        self.log: list[tuple[str, ...]] = []
        self.results: dict[int, Any] = {}
        self.calls = 0
        scheduler = Scheduler(VirtualReactor())
        environment = PeerEnvironment(
            mux=Mux(scheduler.now),
            scheduler=scheduler,
            random=SeededRandom(name),
            bucket=CheckBucket(),
            queue_task=self.tasks.append,
            settings=AgentSettings(),
            certificate=CERTIFICATE,
            gatherer=NoCandidates(),
        )
        self.real = RTCPeerConnection(environment)
        self.real.onnegotiationneeded = lambda _: self.log.append((NEEDED,))
        self.real.onsignalingstatechange = lambda _: self.log.append(
            (CHANGED, self.real.signalingState)
        )
        self.real.createDataChannel("data")
        self.model.update_flag()

    # Calls

    def begin(
        self,
        real: Callable[[], Deferred[Any]],
        step: Callable[[int], object],
        guard: Callable[[], bool] = _pass,
    ) -> None:
        """Call, and chain what the model does in its task."""
        self.steps += 1
        number = self.calls = self.calls + 1
        real().addBoth(self._settled, number)
        self.model.begin(number, [partial(step, number)], guard)
        self.check()

    def _settled(self, result: Any, number: int) -> None:
        error = ""
        if isinstance(result, Failure):
            error = getattr(result.value, "name", result.type.__name__)
        else:
            # What a script would send now.
            self.results[number] = result or self.real.localDescription
        self.log.append(("settled", str(number), error))

    def create(self, kind: str, *, restart: bool = False) -> None:
        """createOffer or createAnswer."""

        def guard() -> bool:
            if self.model.state not in (CAN_OFFER if kind == "offer" else CAN_ANSWER):
                raise Refused("InvalidStateError")
            return True

        if kind == "offer":
            self.begin(
                lambda: self.real.createOffer(iceRestart=restart),
                lambda number: self._name(number, self.model.create_offer(restart)),
                guard,
            )
        else:
            self.begin(
                self.real.createAnswer,
                lambda number: self._name(number, self.model.create_answer()),
                guard,
            )

    def _name(self, number: int, text: Text) -> Text:
        result = self.results.get(number)
        assert result is not None, "one was created"
        return self.created(text, result.sdp)

    def apply(self, kind: str, text: Text) -> None:
        """setLocalDescription with one of ours."""
        description = Description(DescriptionType(kind), self.texts[text])

        def step(number: int) -> None:
            self.model.set_local(kind, text)
            self.send(kind, text)

        self.begin(lambda: self.real.setLocalDescription(description), step)

    def apply_implicit(self) -> None:
        """setLocalDescription()"""

        def step(number: int) -> None:
            text, known = self.model.implied()
            result = self.results.get(number)
            assert result is not None, "one was applied"
            text = self.applied(text, known, result.sdp)
            self.model.set_local(text.kind, text)
            self.send(text.kind, text)

        self.begin(self.real.setLocalDescription, step)

    def roll_back(self, *, local: bool) -> None:
        """A rollback by either call."""
        call = self.real.setLocalDescription if local else self.real.setRemoteDescription
        change = self.model.set_local if local else self.model.set_remote
        wanted = LOCAL_OFFER if local else REMOTE_OFFER

        def guard() -> bool:
            if self.model.state in {STABLE, *PROVISIONAL}:
                raise Refused("InvalidStateError")
            return True

        def step(number: int) -> None:
            if self.model.state != wanted:
                raise Refused("InvalidStateError")
            change("rollback", None)

        self.begin(lambda: call({"type": "rollback", "sdp": "whatever"}), step, guard)

    def take(self, kind: str, text: Text, sdp: str) -> None:
        """setRemoteDescription; in glare its first task is a rollback."""
        model = self.model

        def step(number: int) -> None:
            if kind == "offer" and model.state == LOCAL_OFFER:
                model.set_local("rollback", None)
                model.waiting[0][2].append(lambda: model.set_remote(kind, text))
            else:
                model.set_remote(kind, text)

        description = {"type": kind, "sdp": sdp}
        self.begin(lambda: self.real.setRemoteDescription(description), step)

    def at_once(self, predicted: Callable[[], Any], real: Callable[[], Any]) -> None:
        """A call that is no operation: what it raises is compared."""
        self.steps += 1
        wanted = got = ""
        try:
            predicted()
        except Refused as refusal:
            wanted = refusal.name
        try:
            real()
        except Exception as error:
            got = getattr(error, "name", type(error).__name__)
        assert got == wanted, f"{got or 'accepted'}, but {wanted or 'accepted'} was due"
        self.check()

    # Time

    def run(self) -> None:
        """Tasks, until something comes of one."""
        self.steps += 1
        while self.tasks and not self.log:
            self.tasks.popleft()()
        while self.model.queue and not self.model.log:
            self.model.queue.popleft()()
        real, model = self.log[:], self.model.log[:]
        self.log.clear()
        self.model.log.clear()
        assert real == model, (real, model)
        self.check()

    def run_all(self) -> None:
        """Until nothing is queued."""
        while self.tasks or self.model.queue:
            self.run()

    # Everything that can be seen

    def check(self) -> None:
        """Compare what scripts see, and two slots of which they see the effects."""
        if self.log or self.model.log:
            return  # between two tasks of one side
        real, model = self.real, self.model
        assert real.signalingState == model.state, (real.signalingState, model.state)
        self.same_slots(
            (
                real.currentLocalDescription,
                real.pendingLocalDescription,
                real.currentRemoteDescription,
                real.pendingRemoteDescription,
            )
        )
        if model.state != CLOSED:
            exchanged = model.current_local is not None or model.state in PROVISIONAL
            assert (real.sctp is not None) == exchanged, "sctp"
        needs = real.negotiator.needs
        assert needs.to_replace == {self.ices[each] for each in model.slot}, "[[...ToReplace]]"
        if model.state == STABLE:
            assert needs.flag == model.flag, "[[NegotiationNeeded]]"
        shown = [
            (each.kind, each.mid, each.direction, each.currentDirection)
            for each in real.getTransceivers()
        ]
        visible = [each.visible for each in model.transceivers]
        assert shown == visible, (shown, visible)
