"""A hub on mutual TLS on the public segment, and the papers of everybody who speaks with it."""

from __future__ import annotations

import sys

from attrs import define

from tests.lab.commands import run
from tests.lab.daemons import Daemon, Table, merged
from tests.lab.kinds import HostKind
from tests.lab.segment import public4
from tests.lab.world import Machine, World

HUB = 15
"""Its public number."""
PORT = 7810
OURS = "ours"
"""The authority that the hub believes."""


@define(eq=False)
class TlsHub:
    """I put the hub of a world on a machine of its own, where nothing is shared but the network."""

    world: World

    def __attrs_post_init__(self) -> None:
        self.pki(OURS, "hub")
        space = self.world.segment.public("tls-hub", HUB, v6=False)
        serve = {"hub": {"serve": f"tls:*:{PORT}", **self.papers(OURS, "hub")}}
        self.world.hub = Daemon(self.world.lab, space, "hub", serve)

    def pki(self, authority: str, *names: str) -> None:
        """A CA, if it is new, and certificates, as an operator makes them; the hub's names
        its address."""
        directory = self.world.lab.directory / authority
        words = [sys.executable, "-c", "from refreeze.ctl import main; main()", "pki"]
        if not directory.exists():
            run(*words, "init", str(directory))
        for name in names:
            host = ["--host", public4(HUB)] if name == "hub" else []
            run(*words, "issue", name, *host, "--dir", str(directory))

    def papers(self, authority: str, name: str) -> dict[str, str]:
        """The keys of the file that say who one is."""
        directory = self.world.lab.directory / authority
        return {
            "certificate": str(directory / f"{name}.crt"),
            "key": str(directory / f"{name}.key"),
            "ca": str(directory / "ca.crt"),
        }

    def machine(
        self, name: str, kind: HostKind, config: Table | None = None, *, authority: str = OURS
    ) -> Machine:
        """One that finds the hub here, with a certificate of that authority."""
        self.pki(authority, name)
        connect = {"connect": f"tls:{public4(HUB)}:{PORT}"}
        usual: Table = {"hub": {**connect, **self.papers(authority, name)}}
        return self.world.machine(name, kind, merged(usual, config or {}))
