"""All relays of a daemon: one allocation of a server serves many sessions.

The k-th session to a peer takes the k-th allocation of every URL, as it takes the k-th socket:
two sessions to one peer never share one, because data carries no name (rule 3 of the house).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from attrs import define, field
from twisted.internet.defer import Deferred

from refreeze.net.mux import Mux
from refreeze.net.relay import Relay, RelayListener
from refreeze.net.relayattempt import RelayTools
from refreeze.net.servers import IceServer, ServerUrl
from refreeze.net.tls import ServerTrust

MAX_CLOSING_SECONDS: Final = 2.0
"""For all servers to hear of the end, before the sockets are closed anyway."""

_Key: TypeAlias = tuple[str, ServerUrl, str]
"""Server's name, URL, and who shares it."""


@define(eq=False, repr=False)
class RelayLease:
    """One session's relays: one for each TURN URL, in the order of the configuration."""

    _pool: RelayPool
    peer: str
    slot: str
    """Whose allocations they are: a number for all that share it, or a session's own."""
    listener: RelayListener
    relays: list[Relay] = field(factory=list, init=False)
    held: bool = field(default=True, init=False)

    def refresh(self) -> None:
        """At every restart: the servers as they are configured now, their credentials read
        again, and those that are waited for tried again, with their names resolved anew."""
        if self.held:
            self._pool.refresh(self)

    def release(self) -> None:
        """The session is over; what nobody else uses ends at its server. Idempotent."""
        if self.held:
            self.held = False
            self._pool.released(self)


@define(eq=False, repr=False, kw_only=True)
class RelayPool:
    """I make relays when they are first leased, and end them with their last lease."""

    tools: RelayTools
    mux: Mux
    wall: Callable[[], float]
    servers: Callable[[], Mapping[str, IceServer]]
    """As configured now, by name."""
    _relays: dict[_Key, Relay] = field(factory=dict, init=False)
    _taken: dict[str, dict[int, RelayLease]] = field(factory=dict, init=False)
    _trusts: dict[str | None, ServerTrust] = field(factory=dict, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def relays(self) -> list[Relay]:
        """All there are."""
        return list(self._relays.values())

    def lease(self, *, peer: str, session: str, listener: RelayListener) -> RelayLease:
        """Relays for one more session to *peer*; what they find is told to *listener*, later."""
        taken = self._taken.setdefault(peer, {})
        index = next(number for number in range(len(taken) + 1) if number not in taken)
        shared = self.tools.settings.share_allocations
        slot = f"#{index}" if shared else f"session {session}"
        lease = taken[index] = RelayLease(self, peer, slot, listener)
        self.refresh(lease)
        return lease

    def refresh(self, lease: RelayLease) -> None:
        """See :meth:`RelayLease.refresh`."""
        if self._closed:
            return
        before, servers = lease.relays, self.servers()
        now = lease.relays = [
            self._relay((name, url, lease.slot), server)
            for name, server in servers.items()
            for url in server.parsed
            if url.relays
        ]
        for relay in now:
            if relay not in before:
                relay.join(lease.listener)
        for relay in before:
            if relay not in now:
                self._leave(relay, lease)

    def released(self, lease: RelayLease) -> None:
        """For leases."""
        relays, lease.relays = lease.relays, []
        for relay in relays:
            self._leave(relay, lease)
        taken = self._taken.get(lease.peer, {})
        for index in [index for index, held in taken.items() if held is lease]:
            del taken[index]
        if not taken:
            self._taken.pop(lease.peer, None)

    def reconfigured(self) -> None:
        """Credentials and CAs may be others: relays that stay use them from now on.

        What comes and goes with the servers' URLs does so with each lease's next refresh.
        """
        servers = self.servers()
        for (name, url, _slot), relay in list(self._relays.items()):
            server = servers.get(name)
            if server is not None and url in server.parsed:
                relay.refresh(server, self._trust(server))

    def slept(self, seconds: float) -> None:
        """The machine was suspended for so long."""
        for relay in self.relays:
            relay.slept(seconds)

    def look(self) -> None:
        """The machine's addresses may have changed."""
        hosts = self.tools.opener.hosts()
        for relay in self.relays:
            relay.look(hosts)

    def close(self) -> Deferred[None]:
        """End everything at its server; fires after two seconds at most, with every socket closed.

        Whatever is under way is cancelled (T34).
        """
        self._closed = True
        for taken in list(self._taken.values()):
            for lease in list(taken.values()):
                lease.release()
        releases, scheduler = self.tools.releases, self.tools.scheduler
        limit = scheduler.call_at(scheduler.now() + MAX_CLOSING_SECONDS, releases.abort)
        done = releases.done()
        done.addCallback(lambda _: limit.remove())
        return done

    def _relay(self, key: _Key, server: IceServer) -> Relay:
        relay = self._relays.get(key)
        if relay is not None:
            relay.refresh(server, self._trust(server))
        else:
            relay = self._relays[key] = Relay(
                server=server,
                url=key[1],
                tools=self.tools,
                trust=self._trust(server),
                mux=self.mux,
                wall=self.wall,
            )
        return relay

    def _trust(self, server: IceServer) -> ServerTrust:
        return self._trusts.setdefault(server.ca, ServerTrust(server.ca))

    def _leave(self, relay: Relay, lease: RelayLease) -> None:
        if relay.leave(lease.listener):
            for key in [key for key, each in self._relays.items() if each is relay]:
                del self._relays[key]
