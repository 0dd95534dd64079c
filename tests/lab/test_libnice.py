"""libnice behind a symmetric NAT, with a TURN server, against a daemon behind another NAT."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from tests.interop.matrix import cell
from tests.interop.peers import missing
from tests.lab import nice
from tests.lab.carried import SESSION, Carried
from tests.lab.case import LabCase
from tests.lab.certificates import Authority
from tests.lab.coturn import PORT, TurnServer
from tests.lab.daemons import Daemon, start_all
from tests.lab.namespaces import Namespace
from tests.lab.nat import NatKind, Router
from tests.lab.protected_peer import Exchanges, Forms, Peer
from tests.lab.segment import Segment
from tests.lab.traffic import Flow, Traffic

SETTLED = 0.5
"""Seconds after which a packet that has not come back is lost."""
HALF_OPEN = 10.0
"""Seconds without data at most, when only one side can notice."""


class LibniceTests(LabCase):
    """Nothing but a relay connects the two."""

    def setUp(self) -> None:
        what = nice.lacking()
        if what is not None:
            missing(what)
        super().setUp()
        self.segment = Segment(self.lab)
        self.routers: dict[str, Router] = {}
        self.turn = TurnServer(self.segment, Authority(self.lab.directory / "ca.pem"))
        self.turn.start()
        for user in ("alice", "nice"):
            self.turn.add_user(user, "secret")

    def connect(self, kind: NatKind, scheme: str, offerer: str) -> Flow:
        """Both behind their NATs; packets go round: ours go there and come back."""
        for name, lan, its in (("alice", 1, kind), ("nice", 2, NatKind.SYMMETRIC)):
            self.routers[name] = self.segment.router(f"{name}-nat", its, number=30 + lan, lan=lan)
            self.segment.inside(self.lab.namespace(name), lan)
        server: dict[str, object] = {"urls": [f"{scheme}:{self.turn.address4}"]}
        if scheme == "turn":
            server |= {"username": "alice", "credential": "secret"}
        self.daemon = Daemon(
            self.lab, self.lab.namespaces["alice"], "alice", {"servers": {"lab": server}}
        )
        start_all(self.daemon)
        self.agent = nice.NiceAgent(
            self.lab.namespaces["nice"], (self.turn.address4, PORT, "nice", "secret")
        )
        self.agent.start()
        self.addCleanup(self.agent.close)
        self.carried = Carried(self.daemon, "nice", self.agent)
        with self.cell("we-offer" if offerer == "alice" else "they-offer"):
            self.carried.open(listen="127.0.0.1:7001", offerer=offerer)
            self.addCleanup(self.carried.close)
            self.carried.until(lambda: self.daemon.is_up(SESSION), "a path")
        traffic = Traffic()
        self.addCleanup(traffic.stop)
        program = traffic.program(self.daemon.namespace, target=self.daemon.listens(SESSION))
        flow = Flow(program, program)
        flow.wait(5.0)
        return flow

    def cell(self, case: str) -> AbstractContextManager[None]:
        """What is tried inside is that case of the matrix."""
        return cell("libnice", self.agent.version, case)

    def check_restarts(self, flow: Flow) -> None:
        """libnice restarts, and then we do: not one packet is lost, and a relay carries them."""
        done = len(self.daemon.rounds(SESSION))
        began = time.monotonic()
        with self.cell("they-restart"):
            self.carried.offer(restart=True)
            self.carried.until_round(done + 1)
            flow.wait(5.0)
        with self.cell("we-restart"):
            self.daemon.ask(f"restart {SESSION}")
            self.carried.until_round(done + 2)
            flow.wait(5.0)
        ended = time.monotonic()
        time.sleep(SETTLED)
        self.assertEqual(flow.there.lost(began, ended), [])
        self.assertNotIn("failed", self.agent.states)
        self.check_relayed()

    def check_relayed(self) -> None:
        """As both sides have it."""
        for types in (str(self.daemon.pair(SESSION)["types"]), self.agent.types):
            self.assertIn("relay", types.split("/"))

    def test_a_relay_connects_us_behind_a_symmetric_nat_too(self) -> None:
        """Both sides have a relay; ours offers first, and controls."""
        flow = self.connect(NatKind.SYMMETRIC, "turn", "alice")
        self.check_relayed()
        self.check_restarts(flow)

    def test_its_relay_is_enough_for_us_behind_a_port_restricted_nat(self) -> None:
        """We have none; libnice offers first, and controls."""
        flow = self.connect(NatKind.PORT_RESTRICTED, "stun", "nice")
        self.check_relayed()
        self.check_restarts(flow)

    def test_each_nat_forgets_and_our_relay_is_found(self) -> None:
        """libnice's relay is gone with its NAT's mapping, for good; ours comes back by itself.

        Our NAT forgets last: our relay has to be another one than before.
        """
        flow = self.connect(NatKind.SYMMETRIC, "turn", "alice")
        for router in (self.routers["nice"], self.routers["alice"]):
            done = len(self.daemon.rounds(SESSION))
            forgot = time.monotonic()
            router.flush()
            self.carried.until_round(done + 1)
            flow.wait(5.0)
            self.assertLess(flow.there.gap(forgot), HALF_OPEN)
            self.assertTrue(str(self.daemon.pair(SESSION)["types"]).startswith("relay/"))


class LanTests(Exchanges, Forms, LabCase):
    """What the tests above leave out of the matrix; nothing but ICE is between the two."""

    party = "libnice"
    protection = "none"

    def lacking(self) -> str | None:
        return nice.lacking()

    def peer_at(self, machine: Namespace) -> Peer:
        return nice.NiceAgent(machine)

    def check_connected(self) -> None:
        """As both sides have it."""
        self.carried.until(lambda: self.daemon.is_up(SESSION), "our path")
        self.carried.until(lambda: self.peer.connection == "connected", "its path")

    def hang_up(self) -> None:
        """It has no word for it."""
