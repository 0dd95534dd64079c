"""Two daemons in two namespaces, a hub between them, and numbered packets through their session."""

from __future__ import annotations

import signal
import time

from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.segment import Segment
from tests.lab.traffic import Flow, Traffic

SETTLED = 0.3
"""Seconds after which a packet that has not arrived is lost, with 20 ms of delay."""


class DaemonTests(LabCase):
    """Both on the public segment, so that host candidates are enough."""

    def setUp(self) -> None:
        super().setUp()
        self.segment = Segment(self.lab, shimmed=True)
        self.segment.wires.change_all(delay=0.010)
        hub = f"unix:{self.lab.directory}/hub.sock"
        hub_host = self.lab.namespace("hub")
        self.hub = Daemon(self.lab, hub_host, "hub", {"hub": {"serve": hub}})
        self.daemons = {}
        for name, peer, number in (("alice", "bob", 21), ("bob", "alice", 22)):
            session = {"peer": peer, "protect": "none", "listen": "127.0.0.1:7001"}
            if name == "bob":
                session["deliver"] = "127.0.0.1:7100"
            self.daemons[name] = Daemon(
                self.lab,
                self.segment.public(name, number),
                name,
                {"hub": {"connect": hub}, "sessions": {"link": session}},
            )
        start_all(self.hub, *self.daemons.values())
        for each in self.daemons.values():
            each.wait_up("link")
        self.traffic = Traffic()
        self.addCleanup(self.traffic.stop)

    def flow(self) -> Flow:
        """Packets both ways, which arrive."""
        alice, bob = self.daemons.values()
        flow = Flow(
            self.traffic.program(alice.namespace, target=alice.listens("link")),
            self.traffic.program(bob.namespace, port=7100, target=bob.listens("link")),
        )
        flow.wait(5.0)
        return flow

    def test_numbered_packets_pass_both_ways_with_the_delay_of_the_wires(self) -> None:
        flow, began = self.flow(), time.monotonic()
        time.sleep(1.0)
        ended = time.monotonic()
        time.sleep(SETTLED)
        for stream in (flow.there, flow.back):
            self.assertEqual(stream.lost(began, ended), [])
            self.assertEqual(stream.duplicates(), [])
            transit = [at - stream.sent[number] for number, at in stream.arrivals]
            self.assertTrue(0.020 <= min(transit) < 0.040, min(transit))
        for name in self.daemons:
            self.assertEqual(self.daemons[name].pair("link")["types"], "host/host")

    def test_a_restart_loses_no_packet(self) -> None:
        """T17, across a real network."""
        flow, began = self.flow(), time.monotonic()
        alice, bob = self.daemons["alice"], self.daemons["bob"]
        for each in (alice, bob):
            each.wait_settled("link")
        before = len(bob.rounds("link"))
        alice.ask("restart link wait=10", 15.0)
        ended = time.monotonic()
        time.sleep(SETTLED)
        self.assertEqual((flow.there.lost(began, ended), flow.back.lost(began, ended)), ([], []))
        self.assertEqual(len(bob.rounds("link")), before + 1)

    def test_a_wire_that_is_cut_is_a_gap_and_then_data_again(self) -> None:
        flow, began = self.flow(), time.monotonic()
        self.segment.wires.change("bob", up=False)
        self.daemons["alice"].wait(
            lambda: self.daemons["alice"].state("link") == "failed", "the end of the path", 12.0
        )
        self.segment.wires.change("bob", up=True)
        flow.wait(15.0)
        self.assertGreater(flow.there.gap(began), 6.0)
        self.assertNotEqual(flow.there.lost(began), [])

    def test_a_stopped_daemon_and_a_killed_one_come_back(self) -> None:
        flow = self.flow()
        code = self.daemons["alice"].stop()
        self.assertEqual(code, -signal.SIGTERM, self.daemons["alice"].log())  # Twisted passes it on
        self.daemons["bob"].kill()
        start_all(*self.daemons.values())
        flow.wait(15.0)
