"""The hub on mutual TLS in the public segment: nothing is shared but the network."""

from __future__ import annotations

from functools import partial

from tests.lab.case import MobilityCase
from tests.lab.daemons import Daemon, merged, start_all
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, Trip
from tests.lab.tlshub import OURS, TlsHub


class TlsHubTests(MobilityCase):
    """Alice and bob behind NATs of their own, with certificates of one small CA."""

    def setUp(self) -> None:
        super().setUp()
        self.tls = TlsHub(self.world)

    def test_sessions_connect_and_recover_with_all_signaling_over_tls(self) -> None:
        alice = self.tls.machine("alice", HostKind.PORT_RESTRICTED)
        bob = self.tls.machine("bob", HostKind.UDP_BLOCKED)
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
        carol = self.tls.machine("carol", HostKind.NONE, authority="foreign")
        # She trusts the hub, so that it is the hub that refuses.
        trust = {"hub": {"ca": self.tls.papers(OURS, "carol")["ca"]}}
        carol.daemon.config = merged(carol.daemon.config, trust)
        start_all(self.world.hub, carol.daemon)
        refused = "refused: its certificate for carol comes from a CA that is not ours"
        told = "it does not trust the CA of our certificate"
        for each, words in ((self.world.hub, refused), (carol.daemon, told)):
            each.wait(partial(self.says, each, words), words)

    def says(self, daemon: Daemon, words: str) -> bool:
        return words in daemon.log()
