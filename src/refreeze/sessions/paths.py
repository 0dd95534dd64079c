"""What gathering tells one session about its paths (net.gatherer.GatherWatcher)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define

from refreeze.basics import Address
from refreeze.peer import Event, RTCPeerConnection, RTCPeerConnectionIceErrorEvent
from refreeze.watchdog import Policy


@define(eq=False, repr=False, kw_only=True)
class Paths:
    """I turn ways that come and go into facts for the watchdog."""

    connection: RTCPeerConnection
    policy: Policy
    now: Callable[[], float]
    has_path: Callable[[], bool]
    """Whether data flows at this moment."""
    settle: Callable[[], None]
    tell: Callable[..., None]
    """Emits an event of the session: topic and fields."""

    def __attrs_post_init__(self) -> None:
        self.connection.addEventListener("icecandidateerror", self._server_failed)

    def paths_came(self) -> None:
        """A relay is there (again): a session without a path goes for it at once."""
        self.policy.network("minor" if self.has_path() else "major", self.now())
        self.settle()

    def bases_leaving(self, bases: Sequence[Address]) -> None:
        """A path over one of these restarts while it still carries (T30)."""
        if self._routes_over(bases):
            self.policy.network("major", self.now())
            self.settle()

    def bases_gone(self, bases: Sequence[Address]) -> None:
        """Addresses, sockets or relays went away; a path over one of them is lost."""
        hit = self._routes_over(bases)
        for base in bases:
            self.connection.iceTransport.base_gone(base)
        if hit:
            self.policy.network("major", self.now())
        self.settle()

    def _routes_over(self, bases: Sequence[Address]) -> bool:
        route = self.connection.iceTransport.transport.route
        return route is not None and route.base in bases

    def _server_failed(self, event: Event) -> None:
        if isinstance(event, RTCPeerConnectionIceErrorEvent):
            self.tell("server.failed", url=event.url, code=event.errorCode, why=event.errorText)
