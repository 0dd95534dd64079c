"""Which local addresses are offered: by interface name or network, in and out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from refreeze.basics import canonical_host


@frozen(kw_only=True)
class AddressSettings:
    """*addresses* given by hand win; else every address that *include* has and *exclude* not.

    A pattern is an interface glob (``eth*``) or a network (``10.0.0.0/8``).
    """

    addresses: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    loopback: bool = False


def choose_hosts(settings: AddressSettings, found: Iterable[tuple[str, str]]) -> Sequence[str]:
    """The hosts to bind, in order; *found* is (interface, address)."""
    if settings.addresses:
        return [canonical_host(host) for host in settings.addresses]
    hosts = []
    for interface, host in found:
        address = ipaddress.ip_address(host.partition("%")[0])
        if address.is_loopback and not settings.loopback:
            continue
        if settings.include and not _matches(settings.include, interface, address):
            continue
        if not _matches(settings.exclude, interface, address) and host not in hosts:
            hosts.append(host)
    return hosts


def _matches(
    patterns: Iterable[str],
    interface: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> bool:
    for pattern in patterns:
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            if fnmatchcase(interface, pattern):
                return True
            continue
        if address.version == network.version and address in network:
            return True
    return False
