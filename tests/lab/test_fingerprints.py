"""Somebody changes the fingerprints on their way between a daemon and each of the real peers.

Whoever reads the wrong ones refuses the certificate, and the session is held: what a restart would
agree on goes the same way.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import define

from tests.interop.forged import forged
from tests.interop.peers import missing
from tests.lab import chromium, firefox
from tests.lab.carried import SESSION, Carried, Foreign
from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent, Stack
from tests.lab.namespaces import Namespace
from tests.lab.page import Page
from tests.lab.segment import Segment


@define(eq=False)
class Forger:
    """I change the fingerprints of *other* on their way to us, or else ours on their way to it."""

    other: Foreign
    theirs: bool

    def offer(self, *, restart: bool) -> str:
        return self._from(self.other.offer(restart=restart))

    def answer(self, sdp: str) -> str:
        """To an offer of ours."""
        return self._from(self.other.answer(self._to(sdp)))

    def answered(self, sdp: str) -> None:
        self.other.answered(self._to(sdp))

    def candidate(self, line: str, mid: str) -> None:
        """One that we trickled."""
        self.other.candidate(line, mid)

    def _from(self, sdp: str) -> str:
        return forged(sdp) if self.theirs else sdp

    def _to(self, sdp: str) -> str:
        return sdp if self.theirs else forged(sdp)


class Shown(NamedTuple):
    """What the daemon shows of the session."""

    dtls: str
    problem: str | None
    held: str | None
    session: str


MISMATCH = Shown("failed", "dtls-fingerprint", "dtls-fingerprint", "failed")
ALERT = Shown("failed", "dtls-alert", "dtls-alert", "failed")
CLOSED = Shown("closed", None, "peer-closed:dtls-close", "disconnected")
CONNECTED = Shown("connected", None, None, "completed")


class _FingerprintTests:
    """Both directions, and each side as the offerer, whose DTLS is the server's."""

    refusal = ALERT
    """What becomes of us when it refuses our certificate."""
    ends = "failed"
    """Its own connectionState then."""

    def lacking(self) -> str | None:
        raise NotImplementedError

    def peer(self, namespace: Namespace) -> Agent | Page:
        raise NotImplementedError

    def setUp(self) -> None:
        what = self.lacking()
        if what is not None:
            missing(what)
        super().setUp()  # type: ignore[misc]  # of the case that this is mixed into
        self.segment = Segment(self.lab)
        self.other = self.peer(self.segment.public("other", 22))
        self.other.start()
        self.addCleanup(self.other.close)

    def check(self, expected: Shown, *, offerer: str, theirs: bool) -> None:
        """That is what comes of it, and the other end gives up, too."""
        self.daemon = Daemon(self.lab, self.segment.public("alice", 21), "alice", {})
        start_all(self.daemon)
        carried = Carried(self.daemon, "other", Forger(self.other, theirs))
        self.addCleanup(carried.close)
        carried.open(offerer=offerer, protect="dtls")
        carried.until(lambda: self.shown() == expected, str(expected))
        carried.until(lambda: self.other.connection == self.ends, "its end")
        self.assertEqual(self.shown(), expected)

    def shown(self) -> Shown:
        """Now."""
        (session,), (protect,), (watchdog,) = (
            self.daemon.show(SESSION, part) for part in ("session", "protect", "watchdog")
        )
        return Shown(protect["state"], protect["problem"], watchdog["held"], session["state"])

    def test_its_answer_is_changed(self) -> None:
        self.check(MISMATCH, offerer="alice", theirs=True)

    def test_its_offer_is_changed(self) -> None:
        self.check(MISMATCH, offerer="other", theirs=True)

    def test_our_offer_is_changed(self) -> None:
        self.check(self.refusal, offerer="alice", theirs=False)

    def test_our_answer_is_changed(self) -> None:
        self.check(self.refusal, offerer="other", theirs=False)


class _StackTests(_FingerprintTests):
    stack: Stack

    def lacking(self) -> str | None:
        return self.stack.lacking()

    def peer(self, namespace: Namespace) -> Agent:
        return Agent(namespace, self.stack)


class ChromiumTests(_FingerprintTests, LabCase):
    def lacking(self) -> str | None:
        return chromium.lacking()

    def peer(self, namespace: Namespace) -> Page:
        return chromium.Chromium(namespace)


class FirefoxTests(_FingerprintTests, LabCase):
    def lacking(self) -> str | None:
        return firefox.lacking()

    def peer(self, namespace: Namespace) -> Page:
        return firefox.Firefox(namespace)


class AiortcTests(_StackTests, LabCase):
    """It finds out when the handshake is over, and says nothing to us."""

    stack = AIORTC
    refusal = CONNECTED


class LibdatachannelTests(_StackTests, LabCase):
    stack = LIBDATACHANNEL
    ends = "closed"


class PionTests(_StackTests, LabCase):
    """It finds out when the handshake is over, and closes."""

    stack = PION
    refusal = CLOSED
