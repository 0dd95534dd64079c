"""Firefox on one LAN with a daemon: DTLS in both roles, restarts of either side, and the end."""

from __future__ import annotations

from collections.abc import Mapping

from tests.interop.peers import missing
from tests.lab import firefox
from tests.lab.carried import SESSION, Carried
from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.segment import Segment


class FirefoxTests(LabCase):
    """``connectionState`` of the page, and what the daemon shows."""

    def setUp(self) -> None:
        what = firefox.lacking()
        if what is not None:
            missing(what)
        super().setUp()
        self.segment = Segment(self.lab, shimmed=True)
        self.browser = firefox.Firefox(self.segment.public("browser", 22))
        self.browser.start()
        self.addCleanup(self.browser.close)

    def connect(self, *, offerer: str) -> None:
        """Until both sides say so."""
        self.daemon = Daemon(
            self.lab,
            self.segment.public("alice", 21),
            "alice",
            {"watchdog": {"operator_interval": 0.1}},
        )
        start_all(self.daemon)
        self.carried = Carried(self.daemon, "browser", self.browser)
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
        """As both sides have it, and with the first association."""
        self.carried.until(lambda: self.browser.connection == "connected", "its DTLS")
        self.carried.until(lambda: self.protect["state"] == "connected", "our DTLS")
        self.assertEqual(self.protect["association"], 1)

    def restart_both(self) -> None:
        """It restarts, and then we do: the association goes on (rule 30)."""
        self.carried.offer(restart=True)
        self.carried.until_round(2)
        self.check_connected()
        self.daemon.ask(f"restart {SESSION}")
        self.carried.until_round(3)
        self.check_connected()

    def test_we_offer(self) -> None:
        self.connect(offerer="alice")
        self.restart_both()

    def test_it_offers_and_hangs_up(self) -> None:
        self.connect(offerer="browser")
        self.restart_both()
        self.browser.hang_up()
        self.carried.until(lambda: self.protect["state"] == "closed", "its close_notify")
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        self.assertEqual(watchdog["held"], "peer-closed:dtls-close")
