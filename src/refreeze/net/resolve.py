"""Names of servers to numeric addresses, by the system's resolver, bounded in time and in number.

Nothing is cached: the system does that. A look-up that takes too long is given up by those who
wait for it, not by the resolver (Twisted's threads cannot be called back), so whoever asks again
for the same name joins it instead of taking another thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

from refreeze.basics import canonical_host

MAX_ADDRESSES: Final = 16
"""Addresses that are taken of one name."""
MAX_LOOKUPS: Final = 64
"""Names that are looked up at a time; the resolver's threads are fewer."""
MAX_NAME: Final = 253

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class ResolveError(Exception):
    """A name has no address for us; ``reason`` is a slug, the text one line.

    ``bad-name`` ``mdns`` ``unresolved`` (there is no such name, or nobody answered in time)
    ``too-many`` (other names are being looked up).
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def check_name(name: str) -> str:
    """*name* as it is looked up, in lower case and without the last dot; ResolveError.

    Labels are letters, digits and inner hyphens (RFC 1123 section 2.1). A name that ends in a
    number is what ``inet_aton`` would take for an address (``127.1``), and is refused; so is
    whatever ends in ``.local``, which never goes to a server (RFC 6762 section 3).
    """
    lower = name.lower().removesuffix(".")
    labels = lower.split(".")
    if len(lower) > MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ResolveError("bad-name", "not a host name")
    if _NUMBER.fullmatch(labels[-1]):
        raise ResolveError("bad-name", "neither a host name nor a numeric address")
    if labels[-1] == "local":
        raise ResolveError("mdns", "a .local name has no address outside its own link")
    return lower


@define(eq=False, repr=False)
class Waiters:
    """All who wait for the addresses of one name; who cancels waits no more, the others do."""

    left: Callable[[], None] = field(default=lambda: None)
    """Called when somebody cancelled."""
    _waiting: list[Deferred[tuple[str, ...]]] = field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self) -> Deferred[tuple[str, ...]]:
        """Wait too."""
        waiter = Deferred[tuple[str, ...]](self._leave)
        self._waiting.append(waiter)
        return waiter

    def tell(self, hosts: Iterable[str]) -> None:
        """It is over for everybody: these are the addresses, and none is a ResolveError."""
        found = tuple(hosts)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if found:
                waiter.callback(found)
            else:
                waiter.errback(ResolveError("unresolved", "the name has no address"))

    def _leave(self, waiter: Deferred[tuple[str, ...]]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self.left()


@implementer(IResolutionReceiver)
@define(eq=False, repr=False)
class _Lookup:
    """One name that is being looked up."""

    _ended: Callable[[], None]
    waiters: Waiters = field(factory=Waiters, init=False)
    _hosts: dict[str, None] = field(factory=dict, init=False)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See IResolutionReceiver; Twisted's own resolution cannot be cancelled."""

    def addressResolved(self, address: Any) -> None:
        """See IResolutionReceiver; what is no IP address is not for us."""
        try:
            host = canonical_host(address.host)
        except (AttributeError, ValueError):
            return
        if len(self._hosts) < MAX_ADDRESSES:
            self._hosts[host] = None

    def resolutionComplete(self) -> None:
        """See IResolutionReceiver."""
        self._ended()
        self.waiters.tell(self._hosts)


@define(eq=False, repr=False, kw_only=True)
class Resolver:
    """I turn host names into numeric hosts, in the order in which the system has them."""

    names: IHostnameResolver
    """The reactor's ``nameResolver``."""
    clock: IReactorTime
    seconds: float = 5.0
    """How long anybody waits."""
    _lookups: dict[str, _Lookup] = field(factory=dict, init=False)

    _log: ClassVar[Logger] = Logger()

    @property
    def pending(self) -> Sequence[str]:
        """The names that are being looked up, some of which may have nobody who waits."""
        return list(self._lookups)

    def resolve(self, host: str) -> Deferred[tuple[str, ...]]:
        """The addresses of *host*, at least one, IPv4 and IPv6; a numeric one is its own at once.

        Fails with ResolveError. May be cancelled.
        """
        try:
            return succeed((canonical_host(host),))
        except ValueError:
            pass
        try:
            name = check_name(host)
            lookup = self._lookups.get(name)
            if lookup is not None:
                return self._bounded(lookup.waiters.join())
            if len(self._lookups) >= MAX_LOOKUPS:
                raise ResolveError("too-many", "too many names are being looked up")
        except ResolveError as error:
            return fail(error)
        return self._bounded(self._begin(name))

    def _begin(self, name: str) -> Deferred[tuple[str, ...]]:
        lookup = _Lookup(lambda: self._end(name))
        self._lookups[name] = lookup
        waiter = lookup.waiters.join()
        try:
            self.names.resolveHostName(lookup, name, 0, None, "UDP")
        except Exception:  # whatever resolver is plugged in
            self._log.failure("the resolver failed")
            lookup.resolutionComplete()
        return waiter

    def _end(self, name: str) -> None:
        self._lookups.pop(name, None)

    def _bounded(self, waiter: Deferred[tuple[str, ...]]) -> Deferred[tuple[str, ...]]:
        return waiter.addTimeout(self.seconds, self.clock, _too_late)


def _too_late(_result: object, seconds: float) -> tuple[str, ...]:
    raise ResolveError("unresolved", f"no answer within {seconds:g} s")
