"""`doctor` tells every NAT of the lab for what it is, with coturn as the server."""

from __future__ import annotations

from typing import Any

from refreeze.ctl.wire import Record
from tests.lab.case import LabCase
from tests.lab.certificates import Authority
from tests.lab.commands import until
from tests.lab.coturn import TurnServer
from tests.lab.daemons import Daemon, start_all
from tests.lab.namespaces import Namespace
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
        self.turn.add_user("alice", "secret")

    def daemon(self, host: Namespace, **server: Any) -> Daemon:
        name = self.turn.host_name
        whole = {
            "urls": [f"stun:{name}", f"turn:{name}", f"turn:{name}?transport=tcp", f"turns:{name}"],
            "username": "alice",
            "credential": "secret",
            "ca": str(self.authority.path),
        }
        return Daemon(self.lab, host, "alice", {"servers": {"lab": whole | server}})

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
            self.check_ways_out(parts, blocked)

    def check_ways_out(self, parts: dict[str, list[Record]], blocked: bool) -> None:
        """UDP or not, TCP and TLS pass, and so there is a relay."""
        reach = parts["reach"][0]
        self.assertEqual((reach["udp"], reach["tcp"], reach["tls"]), (not blocked, True, True))
        given = {r["url"]: r["result"] for r in parts["server"] if r["check"] == "allocate"}
        udp = "unreachable" if blocked else "ok"
        name = self.turn.host_name
        self.assertEqual(
            given,
            {f"turn:{name}": udp, f"turn:{name}?transport=tcp": "ok", f"turns:{name}": "ok"},
        )
        expected = {r["outcome"]: r["peers"] for r in parts["expect"] if r["family"] == "ipv4"}
        self.assertEqual(expected["peer-relay"], ["udp-blocked"])
        self.assertEqual("direct" in expected, not blocked)

    def test_what_is_wrong_with_a_server_is_named_and_nothing_stays_allocated(self) -> None:
        daemon = self.daemon(self.segment.public("host", 21))
        start_all(daemon)
        self.examine(daemon)
        self.turn.add_user("alice", "another")
        Authority(self.authority.path)  # which did not issue the server's certificate
        records = self.examine(daemon)["server"]
        results = {r["url"]: r["result"] for r in records if r["check"] == "allocate"}
        name = self.turn.host_name
        self.assertEqual(results[f"turn:{name}"], "unauthorized")
        self.assertEqual(results[f"turns:{name}"], "untrusted-certificate")
        until(lambda: not self.turn.allocations(), lambda: f"an end: {self.turn.log()}")
        self.assertGreater(self.turn.allocated(), 0)

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
