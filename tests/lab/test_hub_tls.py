"""The hub on mutual TLS in the public segment: nothing is shared but the network."""

from __future__ import annotations

import sys
from functools import partial

from tests.lab.case import MobilityCase
from tests.lab.commands import run
from tests.lab.daemons import Daemon, Table, merged, start_all
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, Trip
from tests.lab.segment import public4
from tests.lab.world import Machine

HUB = 15
"""Its public number."""
PORT = 7810


class TlsHubTests(MobilityCase):
    """Alice and bob behind NATs of their own, with certificates of one small CA."""

    def setUp(self) -> None:
        super().setUp()
        self.pki("ours", "hub", "alice", "bob", "carol")
        self.pki("foreign", "carol")
        space = self.world.segment.public("tls-hub", HUB, v6=False)
        serve = {"hub": {"serve": f"tls:*:{PORT}", **self.papers("ours", "hub")}}
        self.world.hub = Daemon(self.lab, space, "hub", serve)

    def pki(self, authority: str, *names: str) -> None:
        """A CA and certificates, as an operator makes them; the hub's names its address."""
        words = [sys.executable, "-c", "from refreeze.ctl import main; main()", "pki"]
        directory = str(self.lab.directory / authority)
        run(*words, "init", directory)
        for name in names:
            host = ["--host", public4(HUB)] if name == "hub" else []
            run(*words, "issue", name, *host, "--dir", directory)

    def papers(self, authority: str, name: str) -> dict[str, str]:
        """The keys of the file that say who one is."""
        directory = self.lab.directory / authority
        return {
            "certificate": str(directory / f"{name}.crt"),
            "key": str(directory / f"{name}.key"),
            "ca": str(directory / "ca.crt"),
        }

    def machine(self, name: str, kind: HostKind, authority: str = "ours") -> Machine:
        connect = {"connect": f"tls:{public4(HUB)}:{PORT}"}
        config: Table = {"hub": {**connect, **self.papers(authority, name)}}
        return self.world.machine(name, kind, config)

    def test_sessions_connect_and_recover_with_all_signaling_over_tls(self) -> None:
        alice = self.machine("alice", HostKind.PORT_RESTRICTED)
        bob = self.machine("bob", HostKind.UDP_BLOCKED)
        trip = Trip.begin(self.world, alice, bob)
        self.assertEqual(self.world.verdict(LINE), "relay")
        self.world.hub.kill()
        start_all(self.world.hub)
        for each in (alice.daemon, bob.daemon):
            each.wait(partial(self.is_up_again, each), "the hub")
        cost = trip.suffer(lambda: alice.daemon.ask(f"restart {LINE} wait=10", 15.0), 5.0)
        self.assertEqual((cost.lost, cost.restarts), (0, 1))

    def is_up_again(self, daemon: Daemon) -> bool:
        return daemon.log().count("signaling is up") == 2

    def test_a_foreign_certificate_is_refused_and_both_logs_name_it(self) -> None:
        carol = self.machine("carol", HostKind.NONE, "foreign")
        # She trusts the hub, so that it is the hub that refuses.
        trust = {"hub": {"ca": self.papers("ours", "carol")["ca"]}}
        carol.daemon.config = merged(carol.daemon.config, trust)
        start_all(self.world.hub, carol.daemon)
        refused = "refused: its certificate for carol comes from a CA that is not ours"
        told = "it does not trust the CA of our certificate"
        for each, words in ((self.world.hub, refused), (carol.daemon, told)):
            each.wait(partial(self.says, each, words), words)

    def says(self, daemon: Daemon, words: str) -> bool:
        return words in daemon.log()
