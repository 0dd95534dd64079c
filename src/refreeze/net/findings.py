"""What an examination of the network found, as records: addresses, servers, NATs, ways out, words.

A record's ``part`` says what it is about: ``address`` ``server`` ``nat`` ``reach`` ``expect``
``note``. No secret is among them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from refreeze.basics import Address, format_address, is_ipv6
from refreeze.net.behavior import NatBehavior
from refreeze.net.expectations import Kind, best_of, expect, kinds_of
from refreeze.net.servers import UNREACHABLE, ServerProblem, ServerUrl

Record: TypeAlias = dict[str, Any]
Check: TypeAlias = Literal["resolve", "binding", "allocate"]
CHECKS: Final[tuple[Check, ...]] = ("resolve", "binding", "allocate")

FAMILIES: Final = (4, 6)


@frozen(kw_only=True)
class Answer:
    """What one server gave at one address, or why it gave nothing.

    *server* is its name in the configuration; *rtt* in seconds.
    """

    server: str
    url: ServerUrl
    check: Check
    address: Address | None = None
    problem: ServerProblem | None = None
    local: Address | None = None
    """From where it was asked."""
    rtt: float | None = None
    mapped: tuple[Address, ...] = ()
    relayed: tuple[Address, ...] = ()
    software: str | None = None

    @property
    def reached(self) -> bool:
        """Whether the server answered at all, if only with a refusal."""
        return self.problem is None or self.problem.code not in (None, UNREACHABLE)

    def record(self) -> Record:
        """For operators."""
        problem = self.problem
        record: Record = {
            "part": "server",
            "server": self.server,
            "url": str(self.url),
            "check": self.check,
            "address": None if self.address is None else format_address(self.address),
            "result": "ok" if problem is None else problem.reason,
            "code": None if problem is None else problem.code,
            "rtt_ms": None if self.rtt is None else round(self.rtt * 1000, 2),
            "mapped": [format_address(each) for each in self.mapped],
            "relayed": [format_address(each) for each in self.relayed],
            "local": None if self.local is None else format_address(self.local),
        }
        if self.software is not None:
            record["software"] = self.software
        if problem is not None:
            record["why"] = problem.text.removeprefix(f"{self.url}: ")
        return record


@frozen(kw_only=True)
class LocalAddress:
    """One address of this machine; *used*: whether sessions have sockets there; *default*:
    whether the kernel sends from it to the world."""

    interface: str
    host: str
    used: bool
    default: bool

    def record(self) -> Record:
        """For operators."""
        return {
            "part": "address",
            "address": self.host,
            "interface": self.interface,
            "family": f"ipv{family_of(self.host)}",
            "scope": scope_of(self.host),
            "used": self.used,
            "default": self.default,
        }


@frozen(kw_only=True)
class Findings:
    """Everything that was found out. *urls*: what is configured, by the server's name.

    *relay_only*: sessions offer relayed candidates alone, as if there was no other way.
    """

    addresses: Sequence[LocalAddress] = ()
    answers: Sequence[Answer] = ()
    nats: Sequence[NatBehavior] = ()
    urls: Sequence[tuple[str, ServerUrl]] = ()
    relay_only: bool = False

    def failed(self) -> list[tuple[str, ServerUrl]]:
        """The URIs that something is wrong with: no address of theirs did what it is for."""
        return [(name, url) for name, url in self.urls if not self._serves(name, url)]

    def _serves(self, name: str, url: ServerUrl) -> bool:
        mine = [each for each in self.answers if (each.server, each.url) == (name, url)]
        checks = {each.check for each in mine}
        return bool(mine) and all(
            any(each.problem is None for each in mine if each.check == check) for check in checks
        )

    def records(self) -> list[Record]:
        """All of it, in the order in which people want to read it."""
        return [
            *(address.record() for address in self.addresses),
            *(answer.record() for answer in self.answers),
            *(self._nat_record(nat) for nat in self.nats),
            *(self._reach(family) for family in FAMILIES),
            *(record for family in FAMILIES for record in self._expectations(family)),
            *({"part": "note", "text": text} for text in self._notes()),
        ]

    def final(self) -> Record:
        """Counts."""
        return {"servers": len(self.urls), "failed": len(self.failed())}

    def _nat_record(self, nat: NatBehavior) -> Record:
        """For operators."""
        if nat.mapped:
            kinds = kinds_of(nat.mapping, nat.filtering)
        else:
            kinds = self._silent_kinds(family_of(nat.local[0]))
        record: Record = {
            "part": "nat",
            "local": format_address(nat.local),
            "mapped": [format_address(each) for each in nat.mapped],
            "mapping": nat.mapping.value,
            "filtering": nat.filtering.value,
            "kind": [kind.value for kind in Kind if kind in kinds and len(kinds) < len(Kind)],
            "server": None if nat.server is None else format_address(nat.server),
        }
        if nat.why is not None:
            record["why"] = nat.why
        return record

    # Ways out

    def _asked(self, family: int) -> list[Answer]:
        return [
            each
            for each in self.answers
            if each.address is not None and family_of(each.address[0]) == family
        ]

    def _reach(self, family: int) -> Record:
        """Of each transport: whether a server was reached; None when none was asked."""
        ways: dict[str, bool | None] = {"udp": None, "tcp": None, "tls": None}
        for answer in self._asked(family):
            way = answer.url.transport
            ways[way] = bool(ways[way]) or answer.reached
        return {"part": "reach", "family": f"ipv{family}", **ways}

    # What to expect

    def _expectations(self, family: int) -> list[Record]:
        kinds = best_of(()) if self.relay_only else self._kinds(family)
        relay = any(
            family_of(relayed[0]) == family for each in self.answers for relayed in each.relayed
        )
        return [
            {
                "part": "expect",
                "family": f"ipv{family}",
                "outcome": expectation.outcome.value,
                "peers": [peer.value for peer in expectation.peers],
                "text": expectation.text,
            }
            for expectation in expect(kinds, relay=relay)
        ]

    def _kinds(self, family: int) -> frozenset[Kind]:
        mapped = [
            kinds_of(nat.mapping, nat.filtering)
            for nat in self.nats
            if nat.mapped and family_of(nat.local[0]) == family
        ]
        return best_of(mapped) if mapped else self._silent_kinds(family)

    def _silent_kinds(self, family: int) -> frozenset[Kind]:
        """When no server told a mapped address: a silent one may be dead, two are not, nor is
        one when another way got through; and a refusal got through."""
        asked = self._asked(family)
        datagrams = [each for each in asked if each.url.transport == "udp"]
        if any(each.reached for each in datagrams):
            return frozenset(Kind) - {Kind.BLOCKED}
        streams = any(each.reached for each in asked if each.url.transport != "udp")
        witnesses = len({each.address for each in datagrams}) + streams
        blocked = bool(datagrams) and witnesses > 1
        return best_of(()) if blocked or not self._has(family) else frozenset(Kind)

    def _has(self, family: int) -> bool:
        return any(
            each.used and family_of(each.host) == family and scope_of(each.host) != "link-local"
            for each in self.addresses
        )

    def _notes(self) -> Iterable[str]:
        if not self.urls:
            yield "no server is configured: what is between this host and others is not known"
        elif not any(url.relays for _name, url in self.urls):
            yield "no TURN server is configured: this host has no relay for those who need one"
        if self.relay_only:
            yield "gathering.policy is relay: sessions offer this host's relay alone"
        for family in FAMILIES:
            asked = [each for each in self._asked(family) if each.url.transport == "udp"]
            if not self._has(family):
                yield f"this host has no IPv{family} address to use"
            elif asked and not any(each.reached for each in asked):
                yield f"UDP does not get out over IPv{family}, or every server there is dead"
        for name, url in self.failed():
            yield f"{name}: {url} does not serve"


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if is_ipv6(host) else 4


def scope_of(host: str) -> str:
    """``loopback`` ``link-local`` ``private`` or ``global``."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    return "global" if address.is_global else "private"


def usable_pairs(
    hosts: Collection[str], servers: Iterable[Address]
) -> list[tuple[str, list[Address]]]:
    """Each of *hosts* with the servers that it can talk to, those without any left out."""
    listed = list(dict.fromkeys(servers))
    pairs = [(host, [each for each in listed if _fit(host, each[0])]) for host in hosts]
    return [(host, fitting) for host, fitting in pairs if fitting]


def _fit(host: str, server: str) -> bool:
    """One family; loopback talks to loopback only, and a link to nobody beyond it."""
    mine, theirs = scope_of(host), scope_of(server)
    if family_of(host) != family_of(server) or "link-local" in (mine, theirs):
        return False
    return (mine == "loopback") == (theirs == "loopback")
