"""The names of a virtual world: a table instead of a resolver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution
from twisted.internet.interfaces import IResolutionReceiver as Receiver
from zope.interface import implementer

from refreeze.testing.clock import VirtualClock

Deliver: TypeAlias = Callable[[Callable[[], object]], object]
"""Calls what it is given, now, later, or never."""


@implementer(IHostResolution)
@define(eq=False, repr=False)
class _Resolution:
    name: str

    def cancel(self) -> None:
        """It is over in the next turn anyway."""


@implementer(IHostnameResolver)
@define(eq=False, repr=False)
class FakeNames:
    """I resolve what stands in my *table*, *delay* seconds after I was asked.

    A name that does not stand there has no address. For one of :attr:`silent` no server answers:
    as the system's resolver, I say after *patience* seconds that it has none.
    """

    clock: VirtualClock
    table: dict[str, Sequence[str]] = field(factory=dict)
    silent: set[str] = field(factory=set)
    delay: float = 0.0
    patience: float = 30.0
    asked: list[str] = field(factory=list, init=False)

    def resolveHostName(
        self,
        resolutionReceiver: Receiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See IHostnameResolver."""
        return self.ask(resolutionReceiver, hostName, _at_once)

    def ask(self, receiver: Receiver, name: str, deliver: Deliver) -> IHostResolution:
        """Resolve *name*; the answer is told when *deliver* calls what it is given."""
        resolution = _Resolution(name)
        self.asked.append(name)
        receiver.resolutionBegan(resolution)
        if name in self.silent:
            at = self.clock.seconds() + self.patience
            self.clock.run_at(at, deliver, receiver.resolutionComplete)
        else:
            answer = partial(self._answer, receiver, name)
            self.clock.callLater(self.delay, deliver, answer)
        return resolution

    def _answer(self, receiver: Receiver, name: str) -> None:
        for host in self.table.get(name, ()):
            kind = IPv6Address if ":" in host else IPv4Address
            receiver.addressResolved(kind("UDP", host, 0))
        receiver.resolutionComplete()


@implementer(IHostnameResolver)
@define(eq=False, repr=False)
class HostNames:
    """The same names as one host asks for them: it hears nothing while it sleeps, or is dead."""

    names: FakeNames
    deliver: Deliver

    def resolveHostName(
        self,
        resolutionReceiver: Receiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See IHostnameResolver."""
        return self.names.ask(resolutionReceiver, hostName, self.deliver)


def _at_once(answer: Callable[[], object]) -> None:
    answer()
