"""A reactor whose time and streams are virtual. UDP is not here: ports come from a factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from twisted.internet.interfaces import (
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from refreeze.testing.clock import VirtualCall, VirtualClock
from refreeze.testing.names import FakeNames, HostNames
from refreeze.testing.streams import (
    ROOT,
    Place,
    Streams,
    VirtualConnector,
    VirtualListener,
)
from refreeze.testing.transports import Credentials

WALL_BEGIN: Final = 1_800_000_000.0
"""Unix time at virtual second 0: 15 January 2027."""


class _Streaming:
    """``IReactorUNIX`` and ``IReactorTCP`` over :class:`Streams`; *name* is the host's."""

    streams: Streams
    name: str | None
    credentials: Credentials

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> VirtualListener:
        """See IReactorUNIX; no file is made."""
        return self.streams.listen(Place(address), factory, self)

    def connectUNIX(
        self,
        address: str,
        factory: ClientFactory[Any],
        timeout: float = 30,
        checkPID: bool = False,
    ) -> VirtualConnector:
        """See IReactorUNIX."""
        place = Place(address)
        return self.streams.connect(place, factory, timeout, self)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> VirtualListener:
        """See IReactorTCP."""
        return self.streams.listen(Place(interface or "0.0.0.0", port), factory, self)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> VirtualConnector:
        """See IReactorTCP."""
        place = Place(host, port)
        return self.streams.connect(place, factory, timeout, self, bindAddress)


class _Core:
    """What services and protocols ask of a reactor beside time and streams."""

    running: bool
    _triggers: dict[int, tuple[str, str, Callable[[], object]]]

    def callWhenRunning(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        """It always runs, so at once."""
        callable(*args, **kwargs)

    def addSystemEventTrigger(
        self,
        phase: str,
        eventType: str,
        callable: Callable[..., Any],
        *args: object,
        **kwargs: object,
    ) -> int:
        """See IReactorCore; what waits for a Deferred is not waited for."""
        number = max(self._triggers, default=0) + 1
        self._triggers[number] = (eventType, phase, lambda: callable(*args, **kwargs))
        return number

    def removeSystemEventTrigger(self, triggerID: int) -> None:
        """See IReactorCore; KeyError when there is none."""
        del self._triggers[triggerID]

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the triggers of *eventType*, phase by phase."""
        for phase in ("before", "during", "after"):
            for number, (event, when, function) in list(self._triggers.items()):
                if (event, when) == (eventType, phase):
                    self._triggers.pop(number, None)
                    function()

    def stop(self) -> None:
        """What ``shutdown`` does to a process; time can go on to pass."""
        self.running = False
        self.fireSystemEvent("shutdown")


@implementer(IReactorTime, IReactorUNIX, IReactorTCP)
@define(eq=False, repr=False)
class VirtualReactor(VirtualClock, _Streaming, _Core):
    """The reactor of a whole virtual world. :meth:`on` is its face for one host."""

    streams: Streams = field(init=False)
    nameResolver: FakeNames = field(init=False)
    name: str | None = field(default=None, init=False)
    credentials: Credentials = field(default=ROOT, init=False)
    running: bool = field(default=True, init=False)
    _triggers: dict[int, tuple[str, str, Callable[[], object]]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.streams = Streams(self)
        self.nameResolver = FakeNames(self)

    def on(self, name: str, credentials: Credentials = ROOT) -> HostReactor:
        """The reactor as programs on the host *name* have it; outages can be a host's."""
        return HostReactor(self, name, credentials)

    def wall(self) -> float:
        """Unix time."""
        return WALL_BEGIN + self.seconds()


@implementer(IReactorTime, IReactorUNIX, IReactorTCP)
@define(eq=False, repr=False)
class HostReactor(_Streaming, _Core):
    """One host's face of a :class:`VirtualReactor`: its own name on streams, its own sleep.

    Its clock is the world's CLOCK_MONOTONIC, which stands still while the host is suspended.
    """

    world: VirtualReactor
    name: str | None
    credentials: Credentials = ROOT
    running: bool = field(default=True, init=False)
    killed: bool = field(default=False, init=False)
    slept: float = field(default=0.0, init=False)
    """Seconds of suspend, up to the end of the current one."""
    _wakes_at: float = field(default=0.0, init=False)
    streams: Streams = field(init=False)
    _triggers: dict[int, tuple[str, str, Callable[[], object]]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.streams = self.world.streams

    @property
    def nameResolver(self) -> HostNames:
        """The world's: all hosts know the same names."""
        return HostNames(self.world.nameResolver, self._when_awake)

    def _when_awake(self, function: Callable[[], object]) -> None:
        """Call it now, or when the host wakes, or never when what runs here was killed."""
        if self.killed:
            return
        if self.world.seconds() < self._wakes_at:
            self.world.run_at(self._wakes_at, self._when_awake, function)
        else:
            function()

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> VirtualCall:
        """See IReactorTime."""
        call = self.world.callLater(delay, callable, *args, **kwargs)
        call.owner = self
        if self.killed:
            call.cancel()
        return call

    def kill(self) -> None:
        """End what runs on this reactor as SIGKILL does: it is told nothing, its peers are."""
        self.killed, self.running = True, False
        for call in self.world.getDelayedCalls():
            if call.owner is self:
                call.cancel()
        self.streams.kill(self)

    def seconds(self) -> float:
        """See IReactorTime."""
        return max(self.world.seconds(), self._wakes_at) - self.slept

    def boottime(self) -> float:
        """CLOCK_BOOTTIME: suspends included."""
        return self.world.seconds()

    def wall(self) -> float:
        """Unix time."""
        return self.world.wall()

    def suspend(self, seconds: float) -> None:
        """Stand still for *seconds*: no timer fires, and streams are silent."""
        now = self.world.seconds()
        if now < self._wakes_at:
            raise ValueError("it is suspended already")
        self._wakes_at = now + seconds
        self.slept += seconds
        for call in self.world.getDelayedCalls():
            if call.owner is self:
                call.delay(seconds)
        outage = self.streams.cut(host=self.name, silent=True)
        self.world.run_at(self._wakes_at, outage.restore)

    def getDelayedCalls(self) -> Any:
        """See IReactorTime: those of the whole world."""
        return self.world.getDelayedCalls()
