"""Which local addresses are offered: by interface name or network, in and out."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeAlias

import ifaddr
from attrs import Attribute, field, frozen

from refreeze.basics import canonical_host

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_SYS_CLASS_NET: Final = Path("/sys/class/net")
_IF_INET6: Final = Path("/proc/net/if_inet6")
_DAD_FAILED, _OPTIMISTIC, _DEPRECATED, _TENTATIVE = 0x08, 0x04, 0x20, 0x40
"""IFA_F_* (linux/if_addr.h)."""
_NO_LINK: Final = frozenset({"down", "lowerlayerdown", "notpresent", "dormant"})


def _each(check: Callable[[str], object]) -> Any:
    """An attrs validator: *check* raises ValueError for none of the strings, or with the key."""

    def check_all(_self: object, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
        for each in value:
            try:
                check(each)
            except ValueError as error:
                raise ValueError(f"{attribute.name}: {error}") from None

    return check_all


def check_pattern(pattern: str) -> None:
    """ValueError, one line, when *pattern* names neither interfaces nor a network."""
    if not pattern:
        raise ValueError("an empty pattern matches nothing")
    if "/" in pattern:
        try:
            ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            raise ValueError(f"not a network: {pattern!r}") from None


@frozen(kw_only=True)
class AddressSettings:
    """*addresses* given by hand win; else every address that *include* has and *exclude* not.

    A pattern is an interface glob (``eth*``), an address or a network (``10.0.0.0/8``); an empty
    *include* has all. ValueError, one line, for what is neither.
    """

    addresses: tuple[str, ...] = field(default=(), validator=_each(canonical_host))
    include: tuple[str, ...] = field(default=(), validator=_each(check_pattern))
    exclude: tuple[str, ...] = field(default=(), validator=_each(check_pattern))
    loopback: bool = False
    link_local: bool = False
    """Link-local addresses reach one link only; a socket bound to one implies its scope."""


def choose_hosts(settings: AddressSettings, found: Iterable[tuple[str, str]]) -> Sequence[str]:
    """The hosts to bind, in order, each once; *found* is (interface, address)."""
    if settings.addresses:
        return list(dict.fromkeys(canonical_host(host) for host in settings.addresses))
    hosts: dict[str, None] = {}
    for interface, host in found:
        address = ipaddress.ip_address(host.partition("%")[0])
        if (
            _offerable(address, settings)
            and (not settings.include or _matches(settings.include, interface, address))
            and not _matches(settings.exclude, interface, address)
        ):
            hosts[host] = None
    return list(hosts)


def present_hosts(hosts: Iterable[str], found: Iterable[tuple[str, str]]) -> Sequence[str]:
    """Those of *hosts* that the machine has now: given by hand, an address may be away.

    All of 127.0.0.0/8 is always there, though no interface names it.
    """
    there = {host for _interface, host in found}
    return [
        host
        for host in hosts
        if host in there or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    ]


def _offerable(address: _IP, settings: AddressSettings) -> bool:
    """RFC 8445 section 5.1.1.1: what a host candidate may be."""
    if address.is_loopback:
        return settings.loopback
    if address.is_link_local:
        return settings.link_local
    if address.is_unspecified or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # Site-local, IPv4-mapped and the deprecated IPv4-compatible addresses (::/96).
        return not (address.is_site_local or address.ipv4_mapped or int(address) < 1 << 32)
    return True


def _matches(patterns: Iterable[str], interface: str, address: _IP) -> bool:
    return any(_matches_one(pattern, interface, address) for pattern in patterns)


def _matches_one(pattern: str, interface: str, address: _IP) -> bool:
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return fnmatchcase(interface, pattern)
    return address.version == network.version and address in network


def system_hosts() -> Sequence[tuple[str, str]]:
    """(interface, address) of every address of an interface with a link, as the kernel has them.

    An interface that lost its link keeps its addresses; to offer them would be to wait for them.
    An IPv6 address that cannot be used (yet) is left out, and a deprecated one comes last.
    """
    hosts, flags = [], six_flags()
    for adapter in ifaddr.get_adapters():
        if not has_link(adapter.name):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                hosts.append((adapter.name, ip.ip))
                continue
            bare, _flow, _scope = ip.ip
            bare = bare.partition("%")[0]
            link_local = ipaddress.ip_address(bare).is_link_local
            zone = f"%{adapter.name}" if link_local else ""
            hosts.append((adapter.name, canonical_host(bare + zone)))
    return usable_first(hosts, flags)


def usable_first(
    hosts: Iterable[tuple[str, str]], flags: Mapping[tuple[str, str], int]
) -> Sequence[tuple[str, str]]:
    """*hosts* without those that duplicate address detection holds back (RFC 4862 section 5.4).

    An optimistic one may be used meanwhile (RFC 4429). Deprecated ones come last: nothing new
    should begin there (RFC 4862 section 5.5.4).
    """
    kept = []
    for interface, host in hosts:
        of = flags.get((interface, host.partition("%")[0]), 0)
        if of & _DAD_FAILED or (of & _TENTATIVE and not of & _OPTIMISTIC):
            continue
        kept.append((bool(of & _DEPRECATED), interface, host))
    return [(interface, host) for _, interface, host in sorted(kept, key=lambda each: each[0])]


def six_flags(path: Path = _IF_INET6) -> Mapping[tuple[str, str], int]:
    """The flags of every IPv6 address by (interface, address); empty where nobody tells."""
    found = {}
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        words = line.split()
        if len(words) != 6 or len(words[0]) != 32:
            continue
        with contextlib.suppress(ValueError):
            address = ipaddress.IPv6Address(int(words[0], 16))
            found[words[5], address.compressed] = int(words[4], 16)
    return found


def has_link(interface: str, root: Path = _SYS_CLASS_NET) -> bool:
    """Whether *interface* is up and has a carrier; True where the kernel does not say."""
    directory = root / interface.partition(":")[0]
    try:
        up = int((directory / "flags").read_text(), 16) & 1
        return bool(up) and (directory / "operstate").read_text().strip() not in _NO_LINK
    except (OSError, ValueError):
        return True
