"""aiortc, libdatachannel and pion on one LAN with a daemon: both roles, restarts, the end."""

from __future__ import annotations

from collections.abc import Mapping

from tests.interop.peers import missing
from tests.lab.carried import SESSION, Carried
from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent, Stack
from tests.lab.segment import Segment


class _StackTests:
    """``connectionState`` of the other end, and what the daemon shows."""

    stack: Stack

    def setUp(self) -> None:
        what = self.stack.lacking()
        if what is not None:
            missing(what)
        super().setUp()  # type: ignore[misc]  # of the case that this is mixed into
        self.segment = Segment(self.lab)
        self.agent = Agent(self.segment.public("agent", 22), self.stack)
        self.agent.start()
        self.addCleanup(self.agent.close)

    def connect(self, *, offerer: str) -> None:
        """Until both sides say so."""
        self.daemon = Daemon(
            self.lab,
            self.segment.public("alice", 21),
            "alice",
            {"watchdog": {"operator_interval": 0.1}},
        )
        start_all(self.daemon)
        self.carried = Carried(self.daemon, "agent", self.agent)
        self.addCleanup(self.carried.close)
        self.carried.open(offerer=offerer, protect="dtls")
        self.carried.until_round(1)
        self.check_connected()

    @property
    def protect(self) -> Mapping[str, object]:
        """What the daemon shows of it."""
        (shown,) = self.daemon.show(SESSION, "protect")
        return shown

    def check_connected(self) -> None:
        """As both sides have it, with the first association."""
        self.carried.until(lambda: self.protect["state"] == "connected", "our DTLS")
        self.carried.until(self.has_dtls, "its DTLS")
        self.assertEqual(self.protect["association"], 1)
        self.assertEqual(self.protect["protocol"], "DTLSv1.2")

    def has_dtls(self) -> bool:
        """As it says."""
        return self.agent.connection == "connected"

    def restart_both(self) -> None:
        """The association goes on (rule 30)."""
        if self.stack.restarts:
            self.carried.offer(restart=True)
            self.carried.until_round(2)
            self.check_connected()
            self.daemon.ask(f"restart {SESSION}")
            self.carried.until_round(3)
            self.check_connected()

    def hang_up(self) -> None:
        """Its close_notify is a bye."""
        self.agent.hang_up()
        self.carried.until(lambda: self.protect["state"] == "closed", "its close_notify")
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        self.assertEqual(watchdog["held"], "peer-closed:dtls-close")

    def test_we_offer(self) -> None:
        self.connect(offerer="alice")
        self.restart_both()

    def test_it_offers_and_hangs_up(self) -> None:
        self.connect(offerer="agent")
        self.restart_both()
        self.hang_up()


class AiortcTests(_StackTests, LabCase):
    stack = AIORTC


class LibdatachannelTests(_StackTests, LabCase):
    """It is ``connected`` when SCTP is, which nobody answers: its DTLS is judged by itself."""

    stack = LIBDATACHANNEL

    def hang_up(self) -> None:
        """Its close_notify comes, or it is gone before that leaves."""
        self.agent.hang_up()
        self.carried.until(lambda: not self.daemon.is_up(SESSION), "its end")

    def has_dtls(self) -> bool:
        """It has found our certificate, and SCTP is what it waits for."""
        ours = str(self.protect["local_fingerprint"])
        return self.agent.peer.upper() == ours.removeprefix("sha-256 ")


class PionTests(_StackTests, LabCase):
    stack = PION
