"""Chromium on one LAN with a daemon: each hides its addresses behind names of multicast DNS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from tests.interop.matrix import cell
from tests.interop.peers import missing
from tests.lab import chromium
from tests.lab.carried import SESSION, Carried
from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.namespaces import Namespace
from tests.lab.protected_peer import Forms, Peer
from tests.lab.segment import Segment, public4, public6

GOOD = ("connected", "completed")


class ChromiumTests(LabCase):
    """Its path is protected: it is one association from the first round to the last."""

    def setUp(self) -> None:
        what = chromium.lacking()
        if what is not None:
            missing(what)
        super().setUp()
        self.segment = Segment(self.lab, shimmed=True)
        self.browser = chromium.Chromium(self.segment.public("browser", 22))
        self.browser.start()
        self.addCleanup(self.browser.close)

    def connect(
        self, gathering: Mapping[str, object], *, offerer: str, tells_addresses: bool = True
    ) -> None:
        """Until both sides say so."""
        self.daemon = Daemon(
            self.lab,
            self.segment.public("alice", 21),
            "alice",
            {"gathering": gathering, "watchdog": {"operator_interval": 0.1}},
        )
        start_all(self.daemon)
        self.carried = Carried(self.daemon, "browser", self.browser, tells_addresses)
        self.addCleanup(self.carried.close)
        with self.cell("we-offer" if offerer == "alice" else "they-offer"):
            self.carried.open(offerer=offerer, protect="dtls")
            self.carried.until_round(1)
            self.check_connected()

    def cell(self, case: str) -> AbstractContextManager[None]:
        """What is tried inside is that case of the matrix."""
        return cell("chromium", self.browser.version, case)

    def check_connected(self, *others: str) -> None:
        """As both sides have it; the browser has shown nothing worse but *others*, and has
        only names for candidates.
        """
        self.carried.until(lambda: self.browser.state in GOOD, "the browser's path")
        self.carried.until(lambda: self.browser.connection == "connected", "its DTLS")
        self.carried.until(lambda: self.protect["state"] == "connected", "our DTLS")
        self.assertEqual(self.protect["association"], 1)
        self.assertTrue(self.daemon.is_up(SESSION))
        self.assertLessEqual(set(self.browser.states), {"checking", *GOOD, *others})
        names = [line.split()[4] for line in self.browser.candidates]
        self.assertEqual([name for name in names if not name.endswith(".local")], [])
        self.assertNotEqual(names, [])

    @property
    def protect(self) -> Mapping[str, object]:
        """What the daemon shows of it."""
        (shown,) = self.daemon.show(SESSION, "protect")
        return shown

    def restart_both(self) -> None:
        """Chromium restarts, and then we do: another pair each time, and connected all along."""
        pairs = [self.browser.pair["id"]]
        with self.cell("they-restart"):
            self.carried.offer(restart=True)
            self.carried.until_round(2)
            pairs.append(self.another_pair(pairs))
        with self.cell("we-restart"):
            self.daemon.ask(f"restart {SESSION}")
            self.carried.until_round(3)
            pairs.append(self.another_pair(pairs))
            self.check_connected()

    def restart_at_once(self, *outcomes: str) -> None:
        """T11: both offer, and one gives way; our next rounds end with these *outcomes*."""
        rounds = len(self.daemon.rounds(SESSION))
        pair = self.browser.pair["id"]
        with self.cell("at-once"):
            self.daemon.ask(f"restart {SESSION}")
            self.carried.offer(restart=True)
            self.carried.until_round(rounds + len(outcomes))
            ended = [each["outcome"] for each in self.daemon.rounds(SESSION)[rounds:]]
            self.assertEqual(ended, list(outcomes))
            self.another_pair([pair])
            self.check_connected()

    def another_pair(self, pairs: Sequence[str]) -> str:
        """Until the browser's data has a pair that is none of these."""
        self.carried.until(lambda: self.browser.pair["id"] not in pairs, "its next pair")
        return self.browser.pair["id"]

    def check_hidden(self) -> None:
        """Nothing that we signaled has an address of ours."""
        told = "\n".join(self.carried.said)
        self.assertIn(".local ", told)
        for address in (public4(21), public6(21)):
            self.assertNotIn(address, told)

    def test_we_resolve_its_names(self) -> None:
        """Only our checks can begin: it is told no address of ours.

        In glare it gives way.
        """
        self.connect({}, offerer="alice", tells_addresses=False)
        self.assertEqual(self.daemon.pair(SESSION)["types"], "host/host")
        self.restart_both()
        self.restart_at_once("succeeded")
        # Its SCTP is for nobody here.
        self.assertGreater(self.protect["dropped_in"], 0)
        (forward,) = self.daemon.show(SESSION, "forward")
        self.assertEqual(forward["received"], 0)

    def test_it_resolves_our_names(self) -> None:
        """Only its checks can begin: we resolve no name of its. Ours gives way in glare."""
        self.connect({"mdns": True, "resolve_mdns": False}, offerer="browser")
        self.assertEqual(self.daemon.pair(SESSION)["types"], "host/prflx")
        self.restart_both()
        # Meanwhile it checks from its new sockets, with our old credentials.
        self.carried.answers_after = 0.5
        self.restart_at_once("superseded", "succeeded")
        self.check_hidden()

    def test_both_hide_until_it_hangs_up(self) -> None:
        self.connect({"mdns": True}, offerer="browser")
        self.restart_both()
        self.check_hidden()
        self.browser.hang_up()
        self.carried.until(lambda: self.protect["state"] == "closed", "its close_notify")
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        self.assertEqual(watchdog["held"], "peer-closed:dtls-close")

    def restarting(self) -> bool:
        """Whether our watchdog has a round under way."""
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        return bool(watchdog["state"] == "round")

    def test_a_cut_is_mended(self) -> None:
        """Our watchdog restarts while nothing passes yet, and connects when it does."""
        self.connect({}, offerer="alice")
        self.segment.wires.change("browser", up=False)
        cut = self.browser.pair["id"]
        self.carried.until(self.restarting, "a restart")
        self.segment.wires.change("browser", up=True)
        self.carried.until_round(2)
        self.another_pair([cut])
        self.check_connected("disconnected")


class FormTests(Forms, LabCase):
    """What the tests above leave out of the matrix."""

    party = "chromium"

    def lacking(self) -> str | None:
        return chromium.lacking()

    def peer_at(self, machine: Namespace) -> Peer:
        return chromium.Chromium(machine)
