"""`doctor` as people read it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl.examined import examined
from tests.control.fakes import EXAMINED

RECORDS: list[dict[str, Any]] = [
    {
        "part": "address", "address": "10.0.0.2", "interface": "eth0", "family": "ipv4",
        "scope": "private", "used": True, "default": True,
    },
    *EXAMINED[0],
    {
        "part": "nat", "local": "10.0.0.2:4000", "mapped": ["203.0.113.1:4000"],
        "mapping": "unknown", "filtering": "unknown", "kind": ["full-cone", "symmetric"],
        "server": None, "why": "no second address",
    },
]  # fmt: skip


class SectionTests(SynchronousTestCase):
    """Sections, in their order."""

    def test_a_section_per_part(self) -> None:
        self.assertEqual(
            examined(RECORDS).splitlines(),
            [
                "local addresses",
                "  ADDRESS   INTERFACE  SCOPE    USED  DEFAULT",
                "  10.0.0.2  eth0       private  yes   yes",
                "",
                "servers",
                "  SERVER  URL             CHECK     ADDRESS         RESULT        CODE  RTT_MS",
                "  lab     turn:192.0.2.1  allocate  192.0.2.1:3478  unauthorized   401    20.0",
                "  lab turn:192.0.2.1: wrong credentials",
                "",
                "between this host and the servers",
                "  LOCAL          MAPPED            MAPPING  FILTERING  KIND",
                "  10.0.0.2:4000  203.0.113.1:4000  unknown  unknown    full-cone,symmetric",
                "  10.0.0.2:4000: no second address",
                "",
                "ways out",
                "  FAMILY  UDP  TCP  TLS",
                "  ipv4    yes  -    no",
                "",
                "what to expect",
                "  IPv4: directly with peers",
                "        by relay with others",
                "",
                "notes",
                "  lab: turn:192.0.2.1 does not serve",
            ],
        )

    def test_nothing_and_what_no_daemon_of_today_says_are_survived(self) -> None:
        self.assertEqual(examined([]), "")
        odd = [{"part": part} for part in ("server", "nat", "expect", "note", "address", "reach")]
        self.assertIn("ways out", examined(odd))

    def test_a_server_does_not_move_the_cursor(self) -> None:
        self.assertNotIn("\x1b", examined([{"part": "note", "text": "a\x1b[2J"}]))
        self.assertNotIn("\x1b", examined([{"part": "nat", "local": "x", "why": "\x1b[2J"}]))
