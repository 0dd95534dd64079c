"""A small EventTarget: listeners by event type, called one after the other (DOM section 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

from attrs import define, field, frozen
from twisted.logger import Logger


@frozen
class Event:
    """What a listener gets: the type, who fired it, and what belongs to the type."""

    type: str
    target: object
    candidate: object = None
    error: object = None


Listener: TypeAlias = Callable[[Event], object]


@define(eq=False, repr=False)
class EventTarget:
    """addEventListener and removeEventListener, as W3C's interfaces have them."""

    _log: ClassVar[Logger] = Logger()
    _listeners: dict[str, list[Listener]] = field(factory=dict, init=False)

    def addEventListener(self, kind: str, listener: Listener) -> None:
        """Call *listener* with every event of that type; adding it twice changes nothing."""
        listeners = self._listeners.setdefault(kind, [])
        if listener not in listeners:
            listeners.append(listener)

    def removeEventListener(self, kind: str, listener: Listener) -> None:
        """Stop calling *listener*; unknown ones are ignored."""
        listeners = self._listeners.get(kind, [])
        if listener in listeners:
            listeners.remove(listener)

    def dispatch(self, kind: str, candidate: object = None, error: object = None) -> None:
        """Fire an event: what a listener raises is logged and stops nobody else."""
        event = Event(kind, self, candidate, error)
        for listener in [*self._listeners.get(kind, ())]:
            try:
                listener(event)
            except Exception:
                self._log.failure("a listener for {kind} failed", kind=kind)
