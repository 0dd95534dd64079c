"""The event log: numbered, bounded, replayed from any number that is still kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar, TypeAlias

from attrs import define, field, frozen
from twisted.logger import Logger

KEPT = 10_000


@frozen
class LoggedEvent:
    """One event as it happened."""

    number: int
    timestamp: str
    topic: str
    fields: Mapping[str, Any]


Follower: TypeAlias = Callable[[LoggedEvent], None]


@define(eq=False, repr=False)
class EventLog:
    """I number what happens and tell those who follow. *wall*: seconds since the epoch."""

    wall: Callable[[], float]
    number: int = 0
    """The latest event's; 0 before the first."""
    _kept: deque[LoggedEvent] = field(factory=lambda: deque(maxlen=KEPT))
    _followers: list[Follower] = field(factory=list)

    _log: ClassVar[Logger] = Logger()

    def emit(self, topic: str, fields: Mapping[str, Any]) -> None:
        """Something happened. A follower that fails is logged and does not stop the others."""
        self.number += 1
        event = LoggedEvent(self.number, self.stamp(), topic, dict(fields))
        self._kept.append(event)
        for follower in list(self._followers):
            try:
                follower(event)
            except Exception:
                self._log.failure("a follower of events failed")

    def stamp(self) -> str:
        """Now, as events write it: UTC with milliseconds."""
        moment = datetime.fromtimestamp(self.wall(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def follow(self, follower: Follower) -> None:
        """Tell *follower* of everything from now on."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Tell *follower* nothing more; an unknown one is ignored."""
        if follower in self._followers:
            self._followers.remove(follower)

    def since(self, number: int) -> tuple[int, list[LoggedEvent]]:
        """How many events after *number* are lost, and those that are not."""
        first = self._kept[0].number if self._kept else self.number + 1
        missed = max(0, first - number - 1)
        # Numbers have no holes, so the place of the first wanted one is known.
        return missed, list(islice(self._kept, max(0, number + 1 - first), None))


def topic_matches(topic: str, wanted: Iterable[str]) -> bool:
    """``session`` has ``session.state`` and ``session.pair``; ``all`` has everything."""
    return any(want in ("all", "*", topic) or topic.startswith(f"{want}.") for want in wanted)
