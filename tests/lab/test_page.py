"""The page that a daemon serves, in real browsers: it connects, and both ends keep the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.interop.peers import missing
from tests.lab import chromium, firefox
from tests.lab.case import LabCase
from tests.lab.commands import LabError, until
from tests.lab.daemons import Daemon, start_all
from tests.lab.page import Page
from tests.lab.segment import Segment, public4, public6

SESSION, MEDIA = "web", "media"
TOKEN = "0123456789abcdef-lab"
PORT = 8080
GOOD = ("connected", "completed")
SILENCE = """
table inet silence {
  chain in { type filter hook input priority 0; meta l4proto udp drop; }
  chain out { type filter hook output priority 0; meta l4proto udp drop; }
}
"""
CUT = f"""
table inet cut {{
  chain in {{
    type filter hook input priority 0; tcp sport {PORT} reject with tcp reset;
  }}
  chain out {{
    type filter hook output priority 0; tcp dport {PORT} reject with tcp reset;
  }}
}}
"""
FAILS_AFTER = 20.0
"""Seconds: the daemon is `failed` after 7 to 9."""


class PageStory:
    """One daemon, one browser, one session; the story is the same for all browsers."""

    led_out_by = "daemon"
    """Whose restart leads out of failed."""
    browser: Page
    daemon: Daemon
    lab: Any
    segment: Segment

    def begin(self: Any) -> None:
        """The page is connected."""
        what = self.lacking()
        if what is not None:
            missing(what)
        tokens = self.lab.directory / "tokens"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{SESSION} {TOKEN}\n{MEDIA} {TOKEN}\n")
        self.segment = Segment(self.lab)
        self.machine = self.segment.public("browser", 22)
        self.browser = self.browser_at(self.machine)
        self.browser.start()
        self.addCleanup(self.browser.close)
        http = {
            "listen": f"tcp:{public4(21)}:{PORT}",
            "behind_proxy": True,
            "tokens": str(tokens),
            "page": True,
        }
        session = {
            "peer": "browser",
            "protect": "dtls",
            "signaling": "http",
            "listen": "127.0.0.1:7001",
        }
        self.daemon = Daemon(
            self.lab,
            self.segment.public("alice", 21),
            "alice",
            {
                "http": http,
                "sessions": {SESSION: session, MEDIA: {**session, "listen": "127.0.0.1:7002"}},
                "watchdog": {"operator_interval": 0.1},
            },
        )
        start_all(self.daemon)
        self.visit()
        self.until_connected()

    def visit(self) -> None:
        """The page with session and token in its fragment."""
        place = f"http://{public4(21)}:{PORT}/#session={SESSION}&token={TOKEN}"
        self.browser.visit(place)

    # What the page shows

    def text(self, name: str) -> str:
        """Of one of its elements."""
        return str(self.browser.run(f"return document.getElementById('{name}').textContent"))

    def restarts(self) -> list[list[str]]:
        """By, why and outcome, the latest first."""
        rows: list[list[str]] = self.browser.run(
            "return [...document.querySelectorAll('#restarts tr')]"
            ".map((row) => [...row.cells].slice(1).map((cell) => cell.textContent))"
        )
        return rows

    def click(self, name: str) -> None:
        """A button."""
        self.browser.run(f"document.getElementById('{name}').click()")

    def operator_restarts(self, session: str = SESSION) -> None:
        """As soon as that is allowed: restarts in a row are rate-limited."""

        def asked() -> bool:
            try:
                self.daemon.ask(f"restart {session}")
            except LabError as error:
                if "retry=yes" not in str(error):
                    raise
                return False
            return True

        until(asked, "a restart by the operator")

    def told(self) -> str:
        """For whoever waits in vain."""
        return f"{self.text('state')}, {self.text('problem')}, {self.restarts()}"

    @property
    def protect(self) -> Mapping[str, Any]:
        """What the daemon shows of DTLS."""
        (shown,) = self.daemon.show(SESSION, "protect")
        return shown

    def until_connected(self) -> None:
        """As both sides have it."""
        until(lambda: self.text("state") == "connected", lambda: f"the page: {self.told()}")
        self.daemon.wait_up(SESSION)
        until(lambda: self.protect["state"] == "connected", "our DTLS")

    def until_restarts(self, count: int, seconds: float = FAILS_AFTER) -> None:
        """So many restarts are answered, as the page has it, and over, as the daemon does."""

        def answered() -> bool:
            return [row[2] for row in self.restarts()].count("answered") >= count

        until(answered, lambda: f"restart {count}: {self.told()}", seconds)
        until(lambda: len(self.daemon.rounds(SESSION)) > count, f"round {count + 1}", seconds)

    # The story

    def test_it_connects_and_either_side_restarts_and_both_at_once(self: Any) -> None:
        """Perfect negotiation: the daemon's offer stands, and DTLS goes on all along (rule 30)."""
        until(lambda: self.text("pair") != "none", "the pair")
        self.assertRegex(self.text("pair"), f"({public4(21)}|{public6(21)}):")
        self.assertEqual(self.protect["association"], 1)
        self.assertEqual((self.text("problem"), self.restarts()), ("none", []))

        self.click("restart")
        self.until_restarts(1)
        self.assertEqual(self.restarts()[0], ["us", "asked", "answered"])
        self.until_connected()
        self.operator_restarts()
        self.until_restarts(2)
        self.assertEqual(self.restarts()[0][0], "daemon")
        self.until_connected()
        self.operator_restarts()
        self.click("restart")
        self.until_restarts(3)
        self.until_connected()
        self.assertEqual(self.protect["association"], 1)

    def test_the_watchdog_leads_out_of_failed_and_a_page_comes_back(self: Any) -> None:
        """Packets are dropped for as long as it takes; nobody touches anything. A page that is
        loaded again takes the session's place, and one whose daemon was killed finds the next.
        """
        self.machine.nft(SILENCE)
        until(lambda: self.daemon.state(SESSION) == "failed", "the daemon to call it", FAILS_AFTER)
        self.machine.nft("delete table inet silence")
        self.daemon.wait_up(SESSION, FAILS_AFTER)
        self.until_connected()
        self.assertIn(self.led_out_by, [row[0] for row in self.restarts()])

        before = self.protect["association"]
        self.visit()
        self.until_connected()
        until(lambda: self.protect["association"] > before, "another association")
        self.daemon.kill()
        start_all(self.daemon)
        until(lambda: [row[0] for row in self.restarts()] == ["new"], self.told, FAILS_AFTER)
        self.until_connected()

    def test_without_http_the_path_stays_and_restarts_are_made_up_for(self: Any) -> None:
        """The stream and all requests are cut while both sides want a restart."""
        self.machine.nft(CUT)
        self.operator_restarts()
        self.click("restart")
        until(lambda: self.restarts() != [], "the page's try")
        until(lambda: self.text("problem") != "none", "what went wrong")
        self.assertNotIn("answered", [row[2] for row in self.restarts()])
        self.assertEqual(self.text("state"), "connected")
        self.machine.nft("delete table inet cut")
        self.until_restarts(1, 2 * FAILS_AFTER)
        self.until_connected()
        self.assertEqual(self.protect["association"], 1)

        done = [row[2] for row in self.restarts()].count("answered")
        self.operator_restarts()
        self.until_restarts(done + 1)
        self.assertEqual(self.restarts()[0][0], "daemon")


class ChromiumPageTests(PageStory, LabCase):
    """In Chromium."""

    def another(self, session: str, options: str = "") -> None:
        """Another link, by the module alone."""
        given = f"url: '/sessions/{session}', token: '{TOKEN}', {options}"
        self.browser.run(
            "const {Refreeze} = await import('/refreeze.js');"
            f"globalThis.other = new Refreeze({{{given}}});"
            "await other.connect();"
        )

    def other_restarts(self) -> list[list[str]]:
        """By and outcome, the earliest first."""
        shown: list[list[str]] = self.browser.run(
            "return other.restarts.map(({by, outcome}) => [by, outcome])"
        )
        return shown

    def test_a_bundle_with_audio_and_video_restarts_from_either_side(self) -> None:
        """Rule 69: the fragments are those of one section."""
        kinds = "['audio', 'video'].forEach((kind) => pc.addTransceiver(kind))"
        self.another(MEDIA, f"prepare: (pc) => {{ {kinds}; pc.createDataChannel('x'); }}")
        until(lambda: self.browser.run("return other.state") == "connected", "the other one")
        self.browser.run("other.restart()")
        until(lambda: self.other_restarts() == [["us", "answered"]], self.other_told)
        self.daemon.wait_up(MEDIA)
        self.operator_restarts(MEDIA)
        wanted = [["us", "answered"], ["daemon", "answered"]]
        until(lambda: self.other_restarts() == wanted, self.other_told)
        self.browser.run("other.restart()")
        until(lambda: self.other_restarts() == [*wanted, wanted[0]], self.other_told)
        self.daemon.wait_up(MEDIA)
        self.assertEqual(self.browser.run("return other.state"), "connected")
        (protect,) = self.daemon.show(MEDIA, "protect")
        self.assertEqual(protect["state"], "connected")

    def other_told(self) -> str:
        return str(self.other_restarts())

    def test_a_page_leaves_the_session_to_another_that_takes_it(self) -> None:
        self.another(SESSION)
        until(lambda: self.text("state") == "closed", self.told)
        self.assertEqual(self.text("problem"), "gone: replaced")
        until(lambda: self.browser.run("return other.state") == "connected", "the other one")
        self.daemon.wait_up(SESSION)
        self.assertEqual(self.text("state"), "closed")

        self.click("connect")
        self.until_connected()
        until(lambda: self.browser.run("return other.state") == "closed", "the other one's end")

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def lacking(self) -> str | None:
        return chromium.lacking()

    def browser_at(self, machine: Any) -> Page:
        return chromium.Chromium(machine)


class FirefoxPageTests(PageStory, LabCase):
    """In Firefox, which gives DTLS up with the path: only a new session helps then."""

    led_out_by = "new"

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def lacking(self) -> str | None:
        return firefox.lacking()

    def browser_at(self, machine: Any) -> Page:
        return firefox.Firefox(machine)
