"""A small EventTarget: listeners by event type, called one after the other (DOM section 2)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure


@frozen
class Event:
    """What a listener gets: the type, who fired it, and what belongs to the type."""

    type: str
    target: object
    candidate: object = None
    error: object = None


Listener: TypeAlias = Callable[[Event], object]
"""A function or a coroutine function."""


@define(eq=False, repr=False)
class EventTarget:
    """addEventListener and removeEventListener, as W3C's interfaces have them."""

    _log: ClassVar[Logger] = Logger()
    _listeners: dict[str, list[Listener]] = field(factory=dict, init=False)
    _handlers: dict[str, _Handler] = field(factory=dict, init=False)

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
        """Fire an event of that type."""
        self.dispatchEvent(Event(kind, self, candidate, error))

    def dispatchEvent(self, event: Event) -> None:
        """Fire an event: what a listener raises is logged and stops nobody else."""
        for listener in [*self._listeners.get(event.type, ())]:
            running = maybeDeferred(_called, listener, event)
            running.addErrback(self._listener_failed, event.type)

    def _listener_failed(self, failure: Failure, kind: str) -> None:
        self._log.failure("a listener for {kind} failed", failure, kind=kind)

    def _handler(self, kind: str) -> _Handler:
        """The listener behind the attribute ``on`` + *kind*, in its place among the others."""
        if kind not in self._handlers:
            self._handlers[kind] = _Handler()
            self.addEventListener(kind, self._handlers[kind])
        return self._handlers[kind]


def _called(listener: Listener, event: Event) -> Deferred[object] | None:
    """A coroutine runs on by itself; whatever else a listener returns is nobody's."""
    result = listener(event)
    return Deferred.fromCoroutine(result) if isinstance(result, Coroutine) else None


@define(eq=False, repr=False)
class _Handler:
    """Whatever the attribute holds when an event comes."""

    function: Listener | None = None

    def __call__(self, event: Event) -> object:
        return None if self.function is None else self.function(event)


@frozen
class EventHandler:
    """An attribute such as ``onnegotiationneeded``: one function or None (HTML section 8.1.8)."""

    kind: str

    def __get__(self, target: EventTarget | None, owner: type) -> Any:
        if target is None:
            return self
        found = target._handlers.get(self.kind)
        return None if found is None else found.function

    def __set__(self, target: EventTarget, function: Listener | None) -> None:
        if function is not None or self.kind in target._handlers:
            target._handler(self.kind).function = function
