"""Who a session is, and what it asks of those above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from refreeze.sessions.rounds import RoundRecord
from refreeze.watchdog import Cause

if TYPE_CHECKING:
    from refreeze.sessions.session import Session


@frozen(kw_only=True)
class SessionIdentity:
    """Who talks with whom about what. *offerer*: whether our watchdog offers."""

    name: str
    me: str
    peer: str
    offerer: bool
    epoch: int


class Budget(Protocol):
    """What a session asks of those above it."""

    def request(self, session: Session, ticket: int, cause: Cause) -> None: ...

    def withdraw(self, session: Session) -> None: ...

    def failed(self, session: Session) -> None: ...

    def round_ended(self, session: Session, record: RoundRecord) -> None: ...

    def epoch_raised(self, session: Session, epoch: int) -> None: ...

    def look_at_network(self) -> None: ...
