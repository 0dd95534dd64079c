"""A daemon's multicast DNS: the peers' ``.local`` names, and our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from refreeze.basics import Randomness
from refreeze.net.gathering import GatherSettings
from refreeze.net.mdns import MdnsResolver
from refreeze.net.mdnsgroup import LinkOpener, MdnsGroup
from refreeze.net.mdnsresponder import MdnsResponder
from refreeze.net.resolve import ResolveError


@define(eq=False, repr=False, kw_only=True)
class MulticastNames:
    """I follow the settings as they are at each name; without a name of either I open nothing."""

    opener: LinkOpener
    hosts: Callable[[], Sequence[tuple[str, str]]]
    """(interface, address) of what may be known on its link."""
    clock: IReactorTime
    random: Randomness
    settings: Callable[[], GatherSettings]
    group: MdnsGroup = field(init=False)
    resolver: MdnsResolver = field(init=False)
    responder: MdnsResponder = field(init=False)
    _published: dict[str, str] = field(factory=dict, init=False)
    """Our names by the local host behind each."""

    def __attrs_post_init__(self) -> None:
        self.group = MdnsGroup(opener=self.opener, hosts=self.hosts, clock=self.clock)
        self.resolver = MdnsResolver(group=self.group, clock=self.clock)
        self.responder = MdnsResponder(group=self.group, clock=self.clock, random=self.random)

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """See :meth:`MdnsResolver.resolve`.

        Where only relays may be used a question would tell the link who is asked for, and its
        answer could not be (rule 55k): ResolveError at once, as where the settings forbid it.
        """
        settings = self.settings()
        if settings.policy == "relay" or not settings.resolve_mdns:
            return fail(ResolveError("unresolved", "names of multicast DNS are not asked for"))
        return self.resolver.resolve(name)

    def name_of(self, host: str) -> str:
        """The name that is told instead of *host*; the same while *host* stays."""
        name = self._published.get(host)
        if name is None or name not in self.responder.published:
            name = self._published[host] = self.responder.publish([host])
        return name

    def forget(self, host: str) -> None:
        """It is gone, or its sockets are: its name goes too."""
        name = self._published.pop(host, None)
        if name is not None:
            self.responder.withdraw(name)

    def stop(self) -> None:
        """Take everything back, and ask for nothing more."""
        self.resolver.stop()
        self.responder.stop()

    def close(self) -> None:
        """Close every socket."""
        self.group.close()
