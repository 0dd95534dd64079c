"""The story of a daemon and somebody else's stack on one LAN, with DTLS between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from tests.interop.peers import missing
from tests.lab.carried import SESSION, Carried, Foreign
from tests.lab.daemons import Daemon, start_all
from tests.lab.namespaces import Namespace
from tests.lab.segment import Segment


class Peer(Foreign, Protocol):
    """The other end: connectionState, and its last word."""

    @property
    def connection(self) -> str: ...

    def hang_up(self) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class ProtectedPeer(ABC):
    """Tests for a :class:`~tests.lab.case.LabCase` that says who the peer is."""

    restarts = True
    """Whether it can restart ICE."""

    @abstractmethod
    def lacking(self) -> str | None:
        """What is missing, in words."""

    @abstractmethod
    def peer_at(self, machine: Namespace) -> Peer:
        """It, not started."""

    def setUp(self) -> None:
        what = self.lacking()
        if what is not None:
            missing(what)
        case: Any = self
        super().setUp()  # type: ignore[misc]  # of the case that this is mixed into
        self.segment = Segment(case.lab)
        self.peer = self.peer_at(self.segment.public("peer", 22))
        self.peer.start()
        case.addCleanup(self.peer.close)

    def connect(self, *, offerer: str) -> None:
        """Until both sides say so."""
        case: Any = self
        machine = self.segment.public("alice", 21)
        config = {"watchdog": {"operator_interval": 0.1}}
        self.daemon = Daemon(case.lab, machine, "alice", config)
        start_all(self.daemon)
        self.carried = Carried(self.daemon, "peer", self.peer)
        case.addCleanup(self.carried.close)
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
        case: Any = self
        self.carried.until(lambda: self.protect["state"] == "connected", "our DTLS")
        self.carried.until(self.has_dtls, "its DTLS")
        case.assertEqual(self.protect["association"], 1)
        case.assertEqual(self.protect["protocol"], "DTLSv1.2")

    def has_dtls(self) -> bool:
        """As it says."""
        return self.peer.connection == "connected"

    def restart_both(self) -> None:
        """It restarts, and then we do: the association goes on (rule 30)."""
        if self.restarts:
            self.carried.offer(restart=True)
            self.carried.until_round(2)
            self.check_connected()
            self.daemon.ask(f"restart {SESSION}")
            self.carried.until_round(3)
            self.check_connected()

    def hang_up(self) -> None:
        """Its close_notify is a bye."""
        case: Any = self
        self.peer.hang_up()
        self.carried.until(lambda: self.protect["state"] == "closed", "its close_notify")
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        case.assertEqual(watchdog["held"], "peer-closed:dtls-close")

    def test_we_offer(self) -> None:
        self.connect(offerer="alice")
        self.restart_both()

    def test_it_offers_and_hangs_up(self) -> None:
        self.connect(offerer="peer")
        self.restart_both()
        self.hang_up()
