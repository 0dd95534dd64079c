"""Two sides of a negotiation, with their queued tasks and a model of what a transport would do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from refreeze.ice import Candidate, CandidateType, Credentials, candidate_priority
from refreeze.jsep import (
    AbandonGeneration,
    AddRemoteCandidate,
    Description,
    DescriptionType,
    DtlsAgreed,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    Negotiator,
    StageGeneration,
    StartGeneration,
)

OFFER, PRANSWER = DescriptionType.OFFER, DescriptionType.PRANSWER
ANSWER = DescriptionType.ANSWER
ROLLBACK = Description(DescriptionType.ROLLBACK, "ignored")
CHANGE = Fire("signalingstatechange")
NEEDED = "negotiationneeded"
FINGERPRINT = ":".join(["AB"] * 32)

T = TypeVar("T")


def only(effects: Iterable[Effect], kind: type[T]) -> list[T]:
    """Those of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def kinds(effects: Iterable[Effect]) -> list[str]:
    """Names of those that are about ICE or scripts, for comparing orders."""
    return [type(effect).__name__ for effect in effects if not isinstance(effect, DtlsAgreed)]


def candidate(port: int, ufrag: str | None = None) -> Candidate:
    """A host candidate."""
    priority = candidate_priority(CandidateType.HOST)
    return Candidate(CandidateType.HOST, ("192.0.2.1", port), priority, "1", ufrag=ufrag)


def line(port: int, ufrag: str | None = None) -> str:
    """Its line."""
    tail = f" ufrag {ufrag}" if ufrag else ""
    return f"candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host{tail}"


def credentials(description: Description | None) -> Credentials:
    """The first in the text."""
    assert description is not None
    found = dict(
        text[2:].split(":", 1)
        for text in reversed(description.sdp.splitlines())
        if text.startswith(("a=ice-ufrag:", "a=ice-pwd:"))
    )
    return Credentials(found["ice-ufrag"], found["ice-pwd"])


def ufrag(description: Description | None) -> str:
    """Its first ufrag."""
    return credentials(description).ufrag


def replaced(description: Description, old: str, new: str) -> Description:
    """With another text; *old* must be there."""
    assert old in description.sdp, old
    return Description(description.type, description.sdp.replace(old, new))


def without(description: Description, name: str) -> Description:
    """As somebody writes it who does not know that attribute."""
    lines = description.sdp.splitlines(keepends=True)
    return Description(
        description.type, "".join(line for line in lines if not line.startswith(f"a={name}:"))
    )


class Side:
    """One negotiator. Effects are carried out on a model that knows what is impossible."""

    def __init__(
        self, seed: int = 1, *, fingerprint: str = FINGERPRINT, data: bool = True, **more: Any
    ) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.fired: list[str] = []
        self.jsep = Negotiator(
            random=random.Random(seed),
            queue_task=self.tasks.append,
            fingerprints=[("sha-256", fingerprint)],
            **more,
        )
        self.jsep.on_fire = self.fired.append
        if data:
            self.jsep.media.want_data()
        self.staged: dict[str, Credentials] = {}
        self.started: dict[str, Credentials] = {}
        self.roles: list[bool | None] = []
        self.received: list[tuple[str, int]] = []

    @property
    def state(self) -> str:
        return self.jsep.signaling_state.value

    def run_tasks(self) -> list[str]:
        """Run what is queued; the events that it fired."""
        while self.tasks:
            self.tasks.pop(0)()
        fired, self.fired[:] = list(self.fired), []
        return fired

    def did(self, effects: list[Effect]) -> list[Effect]:
        """Carry *effects* out on the model; AssertionError for what makes no sense there."""
        for effect in effects:
            match effect:
                case StageGeneration(local):
                    assert local.ufrag not in self.staged, "staged twice"
                    self.staged[local.ufrag] = local
                case StartGeneration(local_ufrag, remote, _, role):
                    assert local_ufrag in self.staged, "started, not staged"
                    assert local_ufrag not in self.started, "started twice"
                    self.started[local_ufrag] = remote
                    # A generation of its own, though the peer may have used that ufrag before.
                    self.received = [each for each in self.received if each[0] != remote.ufrag]
                    self.roles.append(role)
                case AbandonGeneration(local_ufrag):
                    del self.staged[local_ufrag]
                    self.started.pop(local_ufrag, None)
                case AddRemoteCandidate(remote_ufrag, added):
                    self.check_started(remote_ufrag)
                    assert added.ufrag in {None, remote_ufrag}, "of another generation"
                    item = remote_ufrag, added.address[1]
                    assert item not in self.received, "a candidate twice"
                    self.received.append(item)
                case EndOfRemoteCandidates(remote_ufrag):
                    self.check_started(remote_ufrag)
        return effects

    def check_started(self, remote_ufrag: str) -> None:
        assert remote_ufrag in {remote.ufrag for remote in self.started.values()}, "too early"

    def offer(self, *, restart: bool = False) -> Description:
        """Create, apply and give what would be sent."""
        self.did(self.jsep.set_local(self.jsep.create_offer(ice_restart=restart)))
        assert self.jsep.local_description is not None
        return self.jsep.local_description

    def answer(self) -> Description:
        """Likewise."""
        self.did(self.jsep.set_local(self.jsep.create_answer()))
        assert self.jsep.local_description is not None
        return self.jsep.local_description

    def take(self, description: Description) -> list[Effect]:
        """Apply the peer's."""
        return self.did(self.jsep.set_remote(description))

    def add(self, text: str, mid: str | None = "0", fragment: str | None = None) -> list[Effect]:
        """A trickled candidate."""
        return self.did(
            self.jsep.add_remote_candidate(text, sdp_mid=mid, username_fragment=fragment)
        )


def exchange(offerer: Side, answerer: Side, *, restart: bool = False) -> None:
    """A whole exchange."""
    answerer.take(offerer.offer(restart=restart))
    offerer.take(answerer.answer())


def connected() -> tuple[Side, Side]:
    """Two sides after their first exchange, all tasks done."""
    one, two = Side(1), Side(2)
    exchange(one, two)
    assert one.run_tasks() == two.run_tasks() == []
    return one, two
