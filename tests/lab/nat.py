"""NAT routers of every kind, as nftables rules, and what happens to them."""

from __future__ import annotations

from enum import Enum

from attrs import define, frozen

from tests.lab.namespaces import Namespace


class Behavior(Enum):
    """How mappings and filters depend on the remote end (RFC 4787 sections 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    BLOCKED = "blocked"


class NatKind(Enum):
    """By the old names (RFC 3489 section 5), which say both behaviours in one word."""

    FULL_CONE = "full-cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "udp-blocked"

    @property
    def mapping(self) -> Behavior:
        """Of UDP."""
        return _BEHAVIOR[self][0]

    @property
    def filtering(self) -> Behavior:
        """Of UDP."""
        return _BEHAVIOR[self][1]


_EI, _AD, _APD = (
    Behavior.ENDPOINT_INDEPENDENT,
    Behavior.ADDRESS_DEPENDENT,
    Behavior.ADDRESS_AND_PORT_DEPENDENT,
)
_BEHAVIOR = {
    NatKind.FULL_CONE: (_EI, _EI),
    NatKind.ADDRESS_RESTRICTED: (_EI, _AD),
    NatKind.PORT_RESTRICTED: (_EI, _APD),
    NatKind.SYMMETRIC: (_APD, _APD),
    NatKind.UDP_BLOCKED: (Behavior.BLOCKED, Behavior.BLOCKED),
}

# Linux keeps the port while it is free, and filters by address and port. What lets others in as
# well is learnt from the packets that go out.
_LEARNT = {
    NatKind.FULL_CONE: """
  map inside { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s; }
  chain learn {
    type filter hook forward priority -10;
    iifname "lan" oifname "wan" meta l4proto udp update @inside { udp sport : ip saddr }
  }
  chain in {
    type nat hook prerouting priority -100;
    iifname "wan" dnat to udp dport map @inside
  }
""",
    NatKind.ADDRESS_RESTRICTED: """
  map inside { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s; }
  set known { type inet_service . ipv4_addr; flags dynamic,timeout; timeout 300s; }
  chain learn {
    type filter hook forward priority -10;
    iifname "lan" oifname "wan" meta l4proto udp update @inside { udp sport : ip saddr } \
update @known { udp sport . ip daddr }
  }
  chain in {
    type nat hook prerouting priority -100;
    iifname "wan" meta l4proto udp udp dport . ip saddr @known dnat to udp dport map @inside
  }
""",
}

_LEARNT_SETS = {
    NatKind.FULL_CONE: ("map ip nat inside",),
    NatKind.ADDRESS_RESTRICTED: ("map ip nat inside", "set ip nat known"),
}


@frozen
class PortRange:
    """The UDP ports that mappings come from."""

    first: int
    last: int


def rules(kind: NatKind, ports: PortRange | None = None) -> str:
    """The whole ruleset of a router with the interfaces ``lan`` and ``wan``.

    Packets from outside that belong to no mapping are dropped before they leave a conntrack
    entry: with such an entry masquerade gives the inside host another port towards that very
    peer, and a port-restricted NAT turns symmetric by chance.
    """
    how = "fully-random" if kind is NatKind.SYMMETRIC else ""
    masquerade = f"masquerade {how}"
    if ports is not None:
        masquerade = (
            f"meta l4proto udp masquerade to :{ports.first}-{ports.last} {how}\n"
            f'    oifname "wan" {masquerade}'
        )
    blocked = "meta l4proto udp drop" if kind is NatKind.UDP_BLOCKED else ""
    return f"""
flush ruleset
table ip nat {{
{_LEARNT.get(kind, "")}
  chain out {{
    type nat hook postrouting priority 100;
    oifname "wan" {masquerade}
  }}
}}
table inet filter {{
  chain input {{
    type filter hook input priority 0; policy drop;
    iifname {{ "lan", "lo" }} accept
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    {blocked}
    ct state established,related accept
    iifname "lan" accept
    ct status dnat accept
  }}
}}
"""


@define(eq=False)
class Router:
    """One NAT router: IPv4 is translated, IPv6 only filtered by address and port."""

    namespace: Namespace
    kind: NatKind
    wan4: str

    def become(self, kind: NatKind, ports: PortRange | None = None) -> None:
        """Load the rules. What is mapped stays as it is until :meth:`flush`."""
        self.namespace.nft(rules(kind, ports))
        self.kind = kind

    def flush(self) -> None:
        """Forget every mapping, as a router that was switched off and on."""
        for words in _LEARNT_SETS.get(self.kind, ()):
            self.namespace.run("nft", "flush", *words.split())
        self.namespace.run("conntrack", "-F")

    def new_port_range(self, ports: PortRange) -> None:
        """Every mapping is another one from now on."""
        self.become(self.kind, ports)
        self.flush()
