"""Where UDP is blocked: TURN over TCP, over TLS, and a server that cannot be trusted."""

from __future__ import annotations

from tests.lab.case import MobilityCase
from tests.lab.certificates import Authority
from tests.lab.daemons import Table
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE
from tests.lab.world import Machine


class BlockedTests(MobilityCase):
    """Alice behind such a network, bob in public with no server at all."""

    def alice(self, *forms: str, **more: str) -> Machine:
        """With these forms of the server's URI."""
        section = self.world.server(*forms) | more
        return self.world.machine("alice", HostKind.UDP_BLOCKED, {"servers": {"lab": section}})

    def connect(self, alice: Machine) -> None:
        """To bob; packets pass both ways."""
        bob = self.world.machine("bob", HostKind.NONE)
        self.world.session(LINE, alice, bob)
        self.world.start()
        alice.daemon.wait_up(LINE, 20.0)
        self.world.flow(LINE).wait(5.0)

    def test_turn_over_tcp_is_enough(self) -> None:
        alice = self.alice("turn:{}?transport=tcp")
        self.connect(alice)
        pair = alice.daemon.pair(LINE)
        self.assertEqual(str(pair["types"]).split("/")[0], "relay")
        self.assertEqual(pair["server"], f"turn:{self.world.turn.host_name}?transport=tcp")

    def test_turn_over_tls_is_enough(self) -> None:
        alice = self.alice("turns:{}")
        self.connect(alice)
        pair = alice.daemon.pair(LINE)
        self.assertEqual(str(pair["types"]).split("/")[0], "relay")
        self.assertEqual(pair["server"], f"turns:{self.world.turn.host_name}")

    def servers(self, alice: Machine) -> dict[str, Table]:
        """What `show` tells of each URI."""
        return {str(each["url"]): each for each in alice.daemon.show(LINE, "server")}

    def test_a_certificate_of_a_foreign_authority_is_named_and_the_session_uses_tcp(self) -> None:
        foreign = Authority(self.lab.directory / "foreign.pem", "another world")
        alice = self.alice("turns:{}", "turn:{}?transport=tcp", ca=str(foreign.path))
        self.connect(alice)
        tls = self.servers(alice)[f"turns:{self.world.turn.host_name}"]
        self.assertEqual((tls["status"], tls["relayed"]), ("untrusted-certificate", None), tls)

    def test_wrong_credentials_are_named(self) -> None:
        alice = self.alice("turn:{}?transport=tcp", credential="wrong")
        bob = self.world.machine("bob", HostKind.NONE)
        self.world.session(LINE, alice, bob)
        self.world.start()
        url = f"turn:{self.world.turn.host_name}?transport=tcp"
        alice.daemon.wait(
            lambda: self.servers(alice)[url]["status"] == "unauthorized", "what is wrong", 15.0
        )
        self.assertEqual(self.servers(alice)[url]["code"], 401)
        self.assertFalse(alice.daemon.is_up(LINE))
