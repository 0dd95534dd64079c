"""`doctor` tells every NAT of the lab for what it is, with coturn as the server."""

from __future__ import annotations

from typing import Any

from refreeze.ctl.wire import Record
from tests.lab.case import LabCase
from tests.lab.certificates import Authority
from tests.lab.coturn import TurnServer
from tests.lab.daemons import Daemon, start_all
from tests.lab.nat import Behavior, NatKind
from tests.lab.segment import Segment

PATIENCE = 12.0
"""An examination takes 8 s at most."""


class DoctorTests(LabCase):
    """One server with two addresses, and one daemon without any session."""

    def setUp(self) -> None:
        super().setUp()
        self.segment = Segment(self.lab)
        self.authority = Authority(self.lab.directory / "ca.pem")
        self.turn = TurnServer(self.segment, self.authority)
        self.turn.start()

    def daemon(self, host: Any) -> Daemon:
        urls = [f"stun:{self.turn.host_name}"]
        return Daemon(self.lab, host, "alice", {"servers": {"lab": {"urls": urls}}})

    def examine(self, daemon: Daemon) -> dict[str, list[Record]]:
        """The records by their part."""
        parts: dict[str, list[Record]] = {}
        for record in daemon.ask("doctor", PATIENCE):
            parts.setdefault(str(record["part"]), []).append(record)
        return parts

    def test_every_nat_is_told_for_what_it_is(self) -> None:
        router = self.segment.router("router", NatKind.FULL_CONE, number=31, lan=1)
        host = self.lab.namespace("host")
        self.segment.inside(host, 1)
        daemon = self.daemon(host)
        start_all(daemon)
        for kind in NatKind:
            router.become(kind)
            router.flush()
            parts = self.examine(daemon)
            (nat,) = parts["nat"]
            blocked = kind.mapping is Behavior.BLOCKED
            self.assertEqual(
                (nat["mapping"], nat["filtering"], nat["kind"]),
                (
                    "unknown" if blocked else kind.mapping.value,
                    "unknown" if blocked else kind.filtering.value,
                    [kind.value],
                ),
                parts,
            )
            self.assertIs(parts["reach"][0]["udp"], not blocked)

    def test_a_host_in_public_is_told_by_both_families(self) -> None:
        daemon = self.daemon(self.segment.public("host", 21))
        start_all(daemon)
        parts = self.examine(daemon)
        self.assertEqual(
            [(nat["mapping"], nat["filtering"]) for nat in parts["nat"]],
            [("none", "endpoint-independent")] * 2,
            parts,
        )
        self.assertEqual([reach["udp"] for reach in parts["reach"]], [True, True])
