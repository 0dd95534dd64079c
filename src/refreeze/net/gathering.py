"""What gathering is: its settings, who asks for candidates, and who is told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from attrs import define, field, frozen

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.ice import Candidate, CandidateType, candidate_foundation, candidate_priority
from refreeze.ice.hostile import refused_address
from refreeze.net.port import Port
from refreeze.net.servers import ServerProblem, ServerUrl

POLICIES: Final = ("all", "relay", "nohost")
"""W3C's iceTransportPolicy, and libwebrtc's third word for it."""


class Relay(Protocol):
    """One wish for an allocation at one URL (:class:`refreeze.net.relays.RelayPool`)."""

    @property
    def url(self) -> ServerUrl: ...

    @property
    def rtt(self) -> float | None:
        """Seconds to the server and back."""
        ...

    @property
    def ports(self) -> Sequence[Port]:
        """In the mux; none unless there is an allocation."""
        ...

    @property
    def leaving(self) -> Sequence[Address]:
        """Bases that have a successor, and go when nobody needs them any more."""
        ...

    @property
    def mapped(self) -> Address | None:
        """How the server sees our end of the allocation."""
        ...

    @property
    def settled(self) -> bool:
        """Whether the latest attempt is over, well or not."""
        ...

    @property
    def problem(self) -> ServerProblem | None: ...

    def verify(self) -> None:
        """See whether the allocation is still there; it is lost when nobody answers."""
        ...


class Relays(Protocol):
    """A session's."""

    @property
    def relays(self) -> Sequence[Relay]: ...

    def refresh(self) -> None:
        """Read credentials and resolve names again, at every restart."""
        ...

    def release(self) -> None:
        """Give them back."""
        ...


def _check_policy(_: object, __: object, value: str) -> None:
    if value not in POLICIES:
        raise ValueError(f"policy: one of {', '.join(POLICIES)}, not {value!r}")


def _canonical(value: Mapping[str, str]) -> dict[str, str]:
    """As sockets spell their addresses."""
    try:
        return {canonical_host(inside): canonical_host(value[inside]) for inside in value}
    except ValueError as error:
        raise ValueError(f"external: {error}") from None


def _check_external(_: object, __: object, value: Mapping[str, str]) -> None:
    for inside, outside in value.items():
        if is_ipv6(inside) is not is_ipv6(outside):
            raise ValueError(f"external: {inside!r} and {outside!r} are of two families")
        wrong = refused_address((outside, 1), False)
        if wrong is not None:
            raise ValueError(f"external: {outside!r} is nobody's address out there ({wrong})")


@frozen(kw_only=True)
class GatherSettings:
    """*policy*: ``all``, only ``relay``, or ``nohost``: all but host candidates.

    *external*: public addresses of a 1:1 NAT by the local address behind each. *hide_related*
    leaves out of candidates which local address is behind them (raddr); the other policies do
    it anyway (rule 16). *share_allocations*: sessions to different peers use one allocation.
    ValueError, one line, that begins with the key.
    """

    policy: str = field(default="all", validator=_check_policy)
    external: dict[str, str] = field(factory=dict, converter=_canonical, validator=_check_external)
    hide_related: bool = False
    share_allocations: bool = True
    resolve_mdns: bool = True
    """``.local`` names of the peer's candidates are asked for on our links."""
    mdns: bool = False
    """Host candidates have ``.local`` names of ours instead of addresses."""

    @property
    def hides(self) -> bool:
        """Whether no candidate tells what is behind it."""
        return self.hide_related or self.mdns or self.policy != "all"


class GatherReceiver(Protocol):
    """Who wants candidates; what it raises harms no other session."""

    def candidate_found(self, candidate: Candidate, signaled: Candidate) -> None:
        """*candidate* is for the agent; *signaled* is what the peer may know of it."""
        ...

    def server_failed(self, problem: ServerProblem) -> None:
        """A server gave nothing; told for each once a gathering."""
        ...

    def gathering_ended(self) -> None:
        """Nothing more will be found; told once."""
        ...


class Gathering(Protocol):
    """One generation's."""

    def finish(self) -> None:
        """Tell the end now: what is still asked for is for the next generation. Idempotent."""
        ...

    def cancel(self) -> None:
        """Tell nothing any more. Idempotent."""
        ...


class Gatherer(Protocol):
    """Where a connection's candidates come from."""

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """Begin; what is known is told before this returns, the end included if that is all."""
        ...


def host_candidate(base: Address, index: int, ufrag: str) -> Candidate:
    """The *index*-th of the bases, best first (RFC 8445 section 5.1.2.1)."""
    return Candidate(
        type=CandidateType.HOST,
        address=base,
        priority=candidate_priority(CandidateType.HOST, 65535 - index),
        foundation=candidate_foundation(CandidateType.HOST, base[0]),
        base=base,
        ufrag=ufrag,
    )


@define(eq=False, repr=False)
class HostGatherer:
    """Host candidates only, of whatever *bases* returns, best first: for use without servers."""

    bases: Callable[[], Sequence[Address]]

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """See :class:`Gatherer`."""
        for index, base in enumerate(self.bases()):
            candidate = host_candidate(base, index, ufrag)
            receiver.candidate_found(candidate, candidate)
        receiver.gathering_ended()
        return _Ended()


@define(eq=False, repr=False)
class _Ended:
    def finish(self) -> None:
        """It is over."""

    def cancel(self) -> None:
        """It is over."""


@frozen
class ServerReport:
    """One URL: what it said of us and gave us, or why it gave nothing; *rtt* in seconds.

    Neither means that it is still being asked.
    """

    url: ServerUrl
    mapped: Sequence[Address]
    relayed: Sequence[Address]
    rtt: float | None
    problem: ServerProblem | None

    @property
    def gave(self) -> bool:
        """Whether it did what it is there for: a TURN server that only reflects did not."""
        return bool(self.relayed if self.url.relays else self.mapped)


class GatherWatcher(Protocol):
    """The session: what comes and goes between gatherings is its watchdog's business."""

    def paths_came(self) -> None:
        """There is more to offer than the last generation had: a relay is there (again)."""
        ...

    def bases_leaving(self, bases: Sequence[Address]) -> None:
        """These go soon, and others are there in their place: a path over one moves."""
        ...

    def bases_gone(self, bases: Sequence[Address]) -> None:
        """Nothing leaves from these any more."""
        ...
