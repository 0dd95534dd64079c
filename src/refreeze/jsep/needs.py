"""The wish to restart and the negotiation-needed flag (webrtc-pc 4.7.3, rules 1 to 5, 9, 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, field

from refreeze.ice.credentials import Credentials


@define(eq=False)
class Needs:
    """I know whether an offer is due, and say so once, at the moment W3C wants it.

    The owner of the operations chain tells me when an operation begins and ends; without that
    the chain counts as empty.
    """

    queue_task: Callable[[Callable[[], None]], None]
    is_stable: Callable[[], bool]
    fire: Callable[[], None]
    media_needs: Callable[[], bool] = lambda: False
    """Whether sections are wanted that the current descriptions lack."""
    closed: bool = False
    flag: bool = False
    to_replace: set[Credentials] = field(factory=set, repr=False)
    """[[LocalIceCredentialsToReplace]]"""
    _operations: int = 0
    _when_empty: bool = False

    def operation_began(self) -> None:
        """The operations chain has one more."""
        self._operations += 1

    def operation_ended(self) -> None:
        """One less; when none is left, what was asked meanwhile is looked at (rule 5)."""
        self._operations -= 1
        if self._operations == 0 and self._when_empty:
            self._when_empty = False
            self.update()

    def replace(self, credentials: Iterable[Credentials]) -> None:
        """restartIce() (rule 1)."""
        self.to_replace = set(credentials)
        self.update()

    def answered(self, local: Credentials | None) -> None:
        """An exchange completed: satisfied if none of the old credentials is left (rule 9)."""
        if local not in self.to_replace:
            self.to_replace.clear()

    def stable(self) -> None:
        """Setting a description ended in stable (rule 5)."""
        self.flag = False
        self.update()

    def update(self) -> None:
        """Update the negotiation-needed flag (rule 3)."""
        if self._operations:
            self._when_empty = True
        else:
            self.queue_task(self._look)

    def _look(self) -> None:
        if self.closed:
            return
        if self._operations:
            self._when_empty = True
            return
        if not self.is_stable():
            return
        if not self.to_replace and not self.media_needs():
            self.flag = False
        elif not self.flag:
            self.flag = True
            self.fire()
