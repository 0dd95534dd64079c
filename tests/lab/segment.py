"""The public segment of a lab, the routers and machines on it, and the wires between.

Everything is plugged into one namespace, the cable room: it holds the bridge of the public
segment, a bridge for the network behind each router, and no address. There a wire can be led
through the shim, and a router be taken out while the network behind it stays up.

    203.0.113.0/24, 2001:db8::/64   public; .254 and ::fe are the provider, where all default
                                    routes go: it passes IPv6 on to the networks behind routers,
                                    and swallows everything else
    10.N.0.0/24, 2001:db8:N::/64    behind router N; .1 and ::1 are the router

Without a default route a send to a foreign private address is ENETUNREACH at once, which makes
coturn drop the whole session of its client.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.lab import shim
from tests.lab.commands import LabError, until
from tests.lab.namespaces import Lab, Namespace
from tests.lab.nat import NatKind, Router

PROVIDER4, PROVIDER6 = "203.0.113.254", "2001:db8::fe"
_FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
_NO_REDIRECTS = {
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
_ANNOUNCE = {"net/ipv4/conf/lan/arp_notify": "1", "net/ipv6/conf/lan/ndisc_notify": "1"}
"""So that whoever was there before with the same address is forgotten."""

_PROVIDER_RULES = """
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ip6 daddr 2001:db8::/32 accept
  }
}
"""


def public4(number: int) -> str:
    """The IPv4 address of public machine *number*."""
    return f"203.0.113.{number}"


def public6(number: int) -> str:
    """Its IPv6 address, which shows the same number."""
    return f"2001:db8::{number}"


@define(eq=False)
class Segment:
    """I build a lab's network. *shimmed*: every wire on the public segment can be changed."""

    lab: Lab
    shimmed: bool = False
    room: Namespace = field(init=False)
    provider: Namespace = field(init=False)
    _wires: Wires | None = field(default=None, init=False)
    _numbers: Iterator[int] = field(factory=itertools.count, init=False)

    def __attrs_post_init__(self) -> None:
        self.room = self.lab.namespace("room")
        self.room.set({"net/ipv6/conf/all/disable_ipv6": "1"})
        self.room.set({"net/ipv6/conf/default/disable_ipv6": "1"})
        self._bridge("public")
        if self.shimmed:
            self._wires = Wires.start(self.room, self.lab.directory)
        self.provider = self.lab.namespace("provider")
        self.provider.set(_FORWARDING | _NO_REDIRECTS)
        self._plug(self.provider, "eth0", "public", None)
        self.provider.ip(f"addr add {PROVIDER4}/24 dev eth0", f"addr add {PROVIDER6}/64 dev eth0")
        self.provider.nft(_PROVIDER_RULES)

    @property
    def wires(self) -> Wires:
        """To change them; only of a *shimmed* segment."""
        if self._wires is None:
            raise LabError("this segment has no shim")
        return self._wires

    def public(self, name: str, number: int, *, v4: bool = True, v6: bool = True) -> Namespace:
        """A machine on the public segment with the addresses of *number*."""
        made = self.lab.namespace(name)
        self._on_public(made, "eth0", number, v4=v4, v6=v6)
        return made

    def router(self, name: str, kind: NatKind, *, number: int, lan: int) -> Router:
        """A router with the public addresses of *number*, before network *lan*."""
        made = self.lab.namespace(name)
        made.set(_FORWARDING | _NO_REDIRECTS)
        router = Router(made, kind, public4(number))
        router.become(kind)
        self._on_public(made, "wan", number)
        if not self._has_bridge(f"lan{lan}"):
            self._bridge(f"lan{lan}")
        end = self._plug(made, "lan", f"lan{lan}", None)
        made.ip(f"addr add 10.{lan}.0.1/24 dev lan", f"addr add 2001:db8:{lan}::1/64 dev lan")
        # With these settings a changed hardware address is announced, over a port that is open.
        made.set(_ANNOUNCE)
        until(lambda: self._forwards(end), f"the port of {name}")
        made.ip(f"link set lan address 02:00:00:00:{lan:02x}:{number:02x}")
        self.provider.ip(f"route replace 2001:db8:{lan}::/64 via {public6(number)}")
        return router

    def inside(
        self, host: Namespace, lan: int, *, v4: bool = True, v6: bool = False, metric: int = 100
    ) -> str:
        """Plug *host* into network *lan* as .2 and ::2; returns the interface's name.

        Of several defaults the kernel uses the one of the least *metric*, whatever the source.
        """
        interface = f"lan{lan}"
        self._plug(host, interface, f"lan{lan}", None)
        if v4:
            host.ip(
                f"addr add 10.{lan}.0.2/24 dev {interface}",
                f"route add default via 10.{lan}.0.1 metric {metric}",
            )
        if v6:
            host.ip(
                f"addr add 2001:db8:{lan}::2/64 dev {interface}",
                f"route add ::/0 via 2001:db8:{lan}::1 metric {metric}",
            )
        return interface

    def route_by_source(self, host: Namespace, lan: int) -> None:
        """What *host* sends from its address there leaves there, as a careful system has it."""
        host.ip(
            f"route add default via 10.{lan}.0.1 dev lan{lan} table {lan}",
            f"rule add from 10.{lan}.0.2 table {lan}",
        )

    def _on_public(
        self, space: Namespace, interface: str, number: int, *, v4: bool = True, v6: bool = True
    ) -> None:
        self._plug(space, interface, "public", space.name)
        if v4:
            space.ip(
                f"addr add {public4(number)}/24 dev {interface}",
                f"route add default via {PROVIDER4}",
            )
        if v6:
            space.ip(
                f"addr add {public6(number)}/64 dev {interface}",
                f"route add ::/0 via {PROVIDER6}",
            )

    def _plug(self, space: Namespace, interface: str, bridge: str, wire: str | None) -> str:
        """A cable into a bridge of the room; a named *wire* goes through the shim, if there is.

        Returns the bridge's port.
        """
        number = next(self._numbers)
        end = f"end{number}"
        self.lab.cable(space, interface, self.room, end)
        if wire is not None and self._wires is not None:
            near, far = f"near{number}", f"far{number}"
            self.lab.cable(self.room, near, self.room, far)
            self._wires.add(wire, end, near)
            end = far
        self.room.ip(f"link set {end} master {bridge}")
        return end

    def _forwards(self, end: str) -> bool:
        (port,) = json.loads(self.room.run("bridge", "-j", "link", "show", "dev", end))
        return bool(port["state"] == "forwarding")

    def _bridge(self, name: str) -> None:
        self.room.ip(f"link add {name} type bridge", f"link set {name} up")

    def _has_bridge(self, name: str) -> bool:
        with self.room.entered():
            return name in {known for _, known in socket.if_nameindex()}


@define(eq=False)
class Wires:
    """My end of the shim: wires by the name of the machine that hangs on them."""

    _socket: socket.socket = field(repr=False)
    _log: Path
    names: list[str] = field(factory=list, init=False)
    _usual: dict[str, Any] = field(factory=dict, init=False)

    @classmethod
    def start(cls, room: Namespace, directory: Path) -> Wires:
        """Run the shim in *room*."""
        path, own = directory / "shim.sock", directory / "shim-client.sock"
        program = str(Path(shim.__file__))
        log = directory / "shim.log"
        room.start([sys.executable, program, str(path)], log)
        until(path.exists, "the shim")
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        client.bind(str(own))
        client.settimeout(2.0)
        client.connect(str(path))
        return cls(client, log)

    def add(self, name: str, machine_end: str, segment_end: str) -> None:
        """Join two interfaces of the room."""
        self._ask({"add": name, "ends": [machine_end, segment_end]})
        self.change(name, **self._usual)
        self.names.append(name)

    def change(self, name: str, *, way: str = "both", **settings: Any) -> dict[str, Any]:
        """Delay, jitter (seconds), loss (0 to 1), rate (bit/s), up; the counters so far.

        *way* is ``out`` of the machine, ``in`` to it, or ``both``.
        """
        return self._ask({"wire": name, "way": way, **settings})

    def change_all(self, **settings: Any) -> None:
        """The same for every wire, also for those that come later."""
        self._usual |= settings
        for name in self.names:
            self.change(name, **settings)

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        try:
            self._socket.send(json.dumps(wish).encode())
            answer: dict[str, Any] = json.loads(self._socket.recv(4096))
        except OSError as error:
            raise LabError(f"shim: {error}; it said:\n{self._log.read_text()}") from None
        if "error" in answer:
            raise LabError(f"shim: {answer['error']}")
        return answer
