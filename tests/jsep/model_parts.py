"""What the model of offer and answer is made of: states as tables, directions, sections, slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

STABLE, CLOSED = "stable", "closed"
LOCAL_OFFER, REMOTE_OFFER = "have-local-offer", "have-remote-offer"
LOCAL_PRANSWER, REMOTE_PRANSWER = "have-local-pranswer", "have-remote-pranswer"
PROVISIONAL: Final = {LOCAL_PRANSWER, REMOTE_PRANSWER}

LOCAL: Final = {
    (STABLE, "offer"): LOCAL_OFFER,
    (LOCAL_OFFER, "offer"): LOCAL_OFFER,
    (REMOTE_OFFER, "pranswer"): LOCAL_PRANSWER,
    (REMOTE_OFFER, "answer"): STABLE,
    (LOCAL_PRANSWER, "pranswer"): LOCAL_PRANSWER,
    (LOCAL_PRANSWER, "answer"): STABLE,
    (LOCAL_OFFER, "rollback"): STABLE,
    (REMOTE_OFFER, "rollback"): STABLE,
}
REMOTE: Final = {
    (STABLE, "offer"): REMOTE_OFFER,
    (REMOTE_OFFER, "offer"): REMOTE_OFFER,
    (LOCAL_OFFER, "pranswer"): REMOTE_PRANSWER,
    (LOCAL_OFFER, "answer"): STABLE,
    (REMOTE_PRANSWER, "pranswer"): REMOTE_PRANSWER,
    (REMOTE_PRANSWER, "answer"): STABLE,
    (LOCAL_OFFER, "rollback"): STABLE,
    (REMOTE_OFFER, "rollback"): STABLE,
}
CAN_OFFER: Final = {STABLE, LOCAL_OFFER}
CAN_ANSWER: Final = {REMOTE_OFFER, LOCAL_PRANSWER}
DATA: Final = "application"


def check_places(text: Text, before: Sequence[Line], living: Sequence[bool]) -> None:
    """Living sections of *before* stay where they are."""
    if len(text.lines) < len(before):
        raise Refused("InvalidAccessError")
    for old, new, lives in zip(before, text.lines, living, strict=False):
        if lives and (old.kind, old.mid) != (new.kind, new.mid):
            raise Refused("InvalidAccessError")


class Refused(Exception):
    """A call that must be refused, by the name of W3C's error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def halves(direction: str) -> tuple[bool, bool]:
    """Whether it sends, and whether it receives."""
    return direction in {"sendrecv", "sendonly"}, direction in {"sendrecv", "recvonly"}


def whole(sends: bool, receives: bool) -> str:
    """The direction with those halves."""
    return {
        (True, True): "sendrecv",
        (True, False): "sendonly",
        (False, True): "recvonly",
        (False, False): "inactive",
    }[sends, receives]


def mirrored(direction: str) -> str:
    """As the other side sees it."""
    sends, receives = halves(direction)
    return whole(receives, sends)


def intersected(one: str, other: str) -> str:
    """What both allow."""
    (a, b), (c, d) = halves(one), halves(other)
    return whole(a and c, b and d)


@define(eq=False)
class Transceiver:
    """RTCRtpTransceiver's slots."""

    kind: str
    direction: str
    by_peer: bool = False
    """Made by a remote offer since the last stable state."""
    mid: str | None = None
    index: int | None = None
    current: str | None = None
    stopping: bool = False
    stopped: bool = False

    def stop(self) -> None:
        """As ``stop the RTCRtpTransceiver`` has it."""
        self.stopping = self.stopped = True

    @property
    def visible(self) -> tuple[str, str | None, str, str | None]:
        """kind, mid, direction and currentDirection, as the attributes show them."""
        direction = "stopped" if self.stopping else self.direction
        return self.kind, self.mid, direction, "stopped" if self.stopped else self.current


@frozen
class Line:
    """One m= section. *mid* is None until the text has been looked at."""

    kind: str
    mid: str | None
    direction: str = "sendrecv"
    rejected: bool = False


@frozen(eq=False)
class Text:
    """What createOffer or createAnswer made."""

    kind: str
    ice: int
    lines: tuple[Line, ...]
    owners: tuple[Transceiver | None, ...]
    """Its maker's, for each section; None: the data section's, or nobody's."""
    fresh: bool = False
    """Whether the credentials were new when it was made."""

    def holds(self, made: Text) -> bool:
        """Whether it still says what one says that was made now, but for the credentials."""
        # An answer's transceivers are whoever the offer has made: the text is the same.
        same = self.kind == "answer" or self.owners == made.owners
        if not same or len(self.lines) != len(made.lines):
            return False
        for said, now in zip(self.lines, made.lines, strict=True):
            if now.mid not in {said.mid, None} or said.kind != now.kind:
                return False
            if said.rejected != now.rejected:
                return False
            if not now.rejected and said.direction != now.direction:
                return False
        return self.fresh is made.fresh or (self.kind == "offer" and self.fresh)


@define(eq=False)
class Held:
    """A description in one of the four slots, with the candidates that it gained."""

    type: str
    text: Text
    taken: set[int] = field(factory=set)
    """Remote: places of sections that neither side rejected."""
    candidates: dict[int, list[str]] = field(factory=dict)
    """By the places of sections."""


@define(eq=False)
class Generation:
    """What one side's credentials have brought: ports of candidates, and whether that is all."""

    ports: list[int] = field(factory=list)
    ended: bool = False


@define(eq=False)
class Flagged:
    """The operations chain and the flag of negotiation being needed (4.4.1.2, 4.7.3)."""

    state: str = STABLE
    flag: bool = False
    """[[NegotiationNeeded]]"""
    chain: int = 0
    on_empty: bool = False
    tasks: int = 0
    """Queued looks at the flag."""

    def operation_began(self) -> None:
        """One more in the chain."""
        self.chain += 1

    def operation_ended(self) -> None:
        """One less."""
        self.chain -= 1
        if self.chain == 0 and self.on_empty and self.state != CLOSED:
            self.on_empty = False
            self.update_flag()

    def update_flag(self) -> None:
        """Update the negotiation-needed flag."""
        if self.chain:
            self.on_empty = True
        else:
            self.tasks += 1

    def run_task(self) -> bool:
        """The first queued task; whether it fires negotiationneeded."""
        self.tasks -= 1
        if self.state == CLOSED:
            return False
        if self.chain:
            self.on_empty = True
            return False
        if self.state != STABLE:
            return False
        needed = self.needed()
        fires = needed and not self.flag
        self.flag = needed
        return fires

    def needed(self) -> bool:
        """Is negotiation needed?"""
        raise NotImplementedError
