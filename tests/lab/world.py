"""A public segment with coturn and a hub, and machines with daemons on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from tests.lab.certificates import Authority
from tests.lab.coturn import TurnServer
from tests.lab.daemons import UP, Daemon, Table, merged, start_all
from tests.lab.kinds import HostKind
from tests.lab.namespaces import Lab, Namespace
from tests.lab.nat import NatKind, Router
from tests.lab.segment import Segment
from tests.lab.traffic import USUAL_RATE, Flow, Traffic

USER, PASSWORD = "lab", "a password of the lab"
LINK = 0.010
"""Seconds on each wire, so 20 ms one way between any two."""
_FIRST = 20
"""The public number of the first machine or router."""


@frozen
class Machine:
    """One machine, its router if it has one, and its daemon."""

    name: str
    kind: HostKind
    namespace: Namespace
    number: int
    """Of its public address, or of its router's and of the network behind that."""
    router: Router | None
    daemon: Daemon

    def nat(self) -> Router:
        """The router that it certainly has."""
        assert self.router is not None
        return self.router


@frozen
class Uplink:
    """One more network that a machine hangs on."""

    address: str
    number: int


@define(eq=False)
class World:
    """I build machines and sessions between them; :meth:`start` runs everything."""

    lab: Lab
    delay: float | None = None
    """Seconds on each wire; None: there is no shim."""
    segment: Segment = field(init=False)
    authority: Authority = field(init=False)
    turn: TurnServer = field(init=False)
    hub: Daemon = field(init=False)
    traffic: Traffic = field(factory=Traffic, init=False)
    machines: dict[str, Machine] = field(factory=dict, init=False)
    _sessions: dict[str, tuple[Machine, Machine]] = field(factory=dict, init=False)
    _ports: int = field(default=20000, init=False)
    _numbers: int = field(default=_FIRST, init=False)

    def __attrs_post_init__(self) -> None:
        self.segment = Segment(self.lab, shimmed=self.delay is not None)
        if self.delay is not None:
            self.segment.wires.change_all(delay=self.delay)
        self.authority = Authority(self.lab.directory / "ca.pem")
        self.turn = TurnServer(self.segment, self.authority)
        place = f"unix:{self.lab.directory}/hub.sock"
        self.hub = Daemon(self.lab, self.lab.namespace("hub"), "hub", {"hub": {"serve": place}})

    def close(self) -> None:
        """End the traffic; the lab ends the rest."""
        self.traffic.stop()

    # Building

    def number(self) -> int:
        """Of the next public machine or router, and of the network behind it."""
        self._numbers += 1
        return self._numbers

    def machine(self, name: str, kind: HostKind, config: Table | None = None) -> Machine:
        """A machine of that kind; *config* counts more than the usual file."""
        number = self.number()
        if kind.nat is None:
            router, space = None, self.segment.public(name, number, v6=False)
        else:
            router = self.segment.router(f"{name}-nat", kind.nat, number=number, lan=number)
            space = self.lab.namespace(name)
            self.segment.inside(space, number, v4=kind.v4, v6=kind.v6)
        usual = {
            "hub": {"connect": f"unix:{self.lab.directory}/hub.sock"},
            "servers": {"lab": self.server()},
        }
        daemon = Daemon(self.lab, space, name, merged(usual, config or {}))
        made = self.machines[name] = Machine(name, kind, space, number, router, daemon)
        return made

    def uplink(self, machine: Machine, kind: NatKind, *, metric: int) -> Uplink:
        """One more network for a machine, behind a router of its own; IPv4 only."""
        number = self.number()
        self.segment.router(f"{machine.name}-nat{number}", kind, number=number, lan=number)
        self.segment.inside(machine.namespace, number, metric=metric)
        return Uplink(f"10.{number}.0.2", number)

    def replace_router(self, machine: Machine) -> Router:
        """Another one of the same kind, with another public address, in the old one's place."""
        old = machine.nat()
        self.lab.remove(old.namespace.name)
        number = self.number()
        return self.segment.router(
            f"{machine.name}-nat{number}", old.kind, number=number, lan=machine.number
        )

    def server(self, *forms: str) -> dict[str, Any]:
        """A section of the file; *forms* are URIs with ``{}`` for the server's name."""
        usual = ("turn:{}", "turn:{}?transport=tcp", "turns:{}")
        return {
            "urls": [each.format(self.turn.host_name) for each in forms or usual],
            "username": USER,
            "credential": PASSWORD,
            "ca": str(self.authority.path),
        }

    def session(self, name: str, one: Machine, two: Machine, **settings: Any) -> None:
        """The same session in both files; what arrives at *two* goes to a port of its own."""
        self._ports += 1
        usual = {"protect": "none", **settings}
        for me, peer, deliver in (
            (one, two, {}),
            (two, one, {"deliver": f"127.0.0.1:{self._ports}"}),
        ):
            table = {"peer": peer.name, **usual, **deliver}
            me.daemon.config = merged(me.daemon.config, {"sessions": {name: table}})
        self._sessions[name] = (one, two)

    def start(self) -> None:
        """The server, the hub, and all daemons."""
        self.turn.start()
        self.turn.add_user(USER, PASSWORD)
        start_all(self.hub)
        start_all(*self.daemons)

    @property
    def daemons(self) -> Sequence[Daemon]:
        """Of all machines."""
        return [each.daemon for each in self.machines.values()]

    def close_session(self, name: str) -> None:
        """Both ends, by their operators."""
        for each in self._sessions[name]:
            each.daemon.ask(f"close {name}")

    # Looking

    def connected(self) -> set[str]:
        """The sessions that both ends call connected."""
        ends = Counter(
            record["id"]
            for daemon in self.daemons
            for record in daemon.ask("list limit=200")
            if record["state"] in UP
        )
        return {name for name in self._sessions if ends[name] == 2}

    def flow(self, name: str, rate: float = USUAL_RATE) -> Flow:
        """Numbered packets both ways through a session, from now on."""
        one, two = self._sessions[name]
        port = int(str(two.daemon.show(name, "forward")[0]["deliver"]).rpartition(":")[2])
        return Flow(
            self.traffic.program(one.namespace, target=one.daemon.listens(name), rate=rate),
            self.traffic.program(
                two.namespace, port=port, target=two.daemon.listens(name), rate=rate
            ),
        )

    def verdict(self, name: str) -> str:
        """``direct`` or ``relay``: what carries the data of a session, as both ends say."""
        kinds = set()
        for each in self._sessions[name]:
            types = str(each.daemon.pair(name)["types"])
            kinds.add("relay" if "relay" in types else "direct")
        return kinds.pop() if len(kinds) == 1 else "disputed"
