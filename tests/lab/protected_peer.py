"""The story of a daemon and somebody else's stack on one LAN, case by case of the matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tests.interop.matrix import cell
from tests.interop.peers import missing
from tests.lab.carried import SESSION, Carried, Foreign
from tests.lab.daemons import Daemon, start_all
from tests.lab.late import Disorder
from tests.lab.namespaces import Namespace
from tests.lab.segment import Segment


class Peer(Foreign, Protocol):
    """The other end: connectionState, and its last word."""

    @property
    def connection(self) -> str: ...

    @property
    def version(self) -> str: ...

    def add_media(self) -> None: ...

    def begin_again(self) -> None: ...

    def hang_up(self) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class ProtectedPeer(ABC):
    """For a :class:`~tests.lab.case.LabCase` that says who the peer is; the stories are below."""

    party: str
    """Its name in the matrix."""
    protection = "dtls"
    association = 0
    """How many there have been."""

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

    def connect(self, *, offerer: str, carried: type[Carried] = Carried) -> None:
        """Until both sides say so."""
        case: Any = self
        machine = self.segment.public("alice", 21)
        config = {"watchdog": {"operator_interval": 0.01}}
        self.daemon = Daemon(case.lab, machine, "alice", config)
        start_all(self.daemon)
        self.carried = carried(self.daemon, "peer", self.peer)
        case.addCleanup(self.carried.close)
        self.carried.open(offerer=offerer, protect=self.protection)
        self.carried.until_round(1)
        self.association = 1
        self.check_connected()

    def begin_again(self) -> None:
        """Its application makes another connection, which is another life of the session's."""
        self.peer.begin_again()
        self.carried.begin_again()
        self.association += 1

    @property
    def protect(self) -> Mapping[str, object]:
        """What the daemon shows of it."""
        (shown,) = self.daemon.show(SESSION, "protect")
        return shown

    def check_connected(self) -> None:
        """As both sides have it, with the association that there was."""
        case: Any = self
        self.carried.until(lambda: self.protect["state"] == "connected", "our DTLS")
        self.carried.until(self.has_dtls, "its DTLS")
        case.assertEqual(self.protect["association"], self.association)
        case.assertEqual(self.protect["protocol"], "DTLSv1.2")

    def has_dtls(self) -> bool:
        """As it says."""
        return self.peer.connection == "connected"

    def cell(self, *cases: str, gap: str = "") -> AbstractContextManager[None]:
        """What is tried inside is these cases of the matrix."""
        return cell(self.party, self.peer.version, *cases, gap=gap)


class Exchanges(ProtectedPeer):
    """Who offers, who restarts."""

    at_once_gap = ""
    """What it cannot when both restart at once, in words."""

    def restart_each(self) -> None:
        """It restarts, and then we do: the association goes on (rule 30)."""
        with self.cell("they-restart"):
            self.carried.offer(restart=True)
            self.carried.until_round(2)
            self.check_connected()
        with self.cell("we-restart"):
            self.daemon.ask(f"restart {SESSION}")
            self.carried.until_round(3)
            self.check_connected()

    def restart_at_once(self, *outcomes: str) -> None:
        """T11: both offer, and one gives way; our next rounds end with these *outcomes*."""
        case: Any = self
        rounds = len(self.daemon.rounds(SESSION))
        self.daemon.ask(f"restart {SESSION}")
        self.carried.offer(restart=True)
        for number, outcome in enumerate(outcomes, rounds + 1):
            self.carried.until_round(number, outcome)
        case.assertEqual(len(self.daemon.rounds(SESSION)), rounds + len(outcomes))
        self.check_connected()

    def hang_up(self) -> None:
        """Its close_notify is a bye."""
        case: Any = self
        self.peer.hang_up()
        self.carried.until(lambda: self.protect["state"] == "closed", "its close_notify")
        (watchdog,) = self.daemon.show(SESSION, "watchdog")
        case.assertEqual(watchdog["held"], "peer-closed:dtls-close")

    def ours_stands(self) -> None:
        """Both restart at once, and we are the session's offerer: it rolls back."""
        with self.cell("at-once", gap=self.at_once_gap):
            self.restart_at_once("succeeded")

    def theirs_stands(self) -> None:
        """Both restart at once, and it is the session's offerer: we roll back."""
        with self.cell("at-once", gap=self.at_once_gap):
            self.restart_at_once("superseded", "succeeded")

    def test_we_offer(self) -> None:
        with self.cell("we-offer"):
            self.connect(offerer="alice")
        self.restart_each()
        self.ours_stands()

    def test_it_offers_and_hangs_up(self) -> None:
        with self.cell("they-offer"):
            self.connect(offerer="peer")
        self.restart_each()
        self.theirs_stands()
        self.hang_up()


class Forms(ProtectedPeer):
    """How descriptions and candidates come."""

    bundled_gap = ""
    """What it cannot with sections that were rejected, in words."""

    def test_candidates_come_late_and_in_disorder(self) -> None:
        """T2: also before the description that they belong to."""
        case: Any = self
        with self.cell("trickled"):
            self.connect(offerer="peer", carried=Disorder)
            assert isinstance(self.carried, Disorder)
            case.assertEqual(self.carried.early, 1)
            case.assertGreater(self.carried.late, 1)

    def test_it_offers_audio_video_and_data_in_one_bundle(self) -> None:
        """A daemon rejects media, and takes data, whose section is not the one that is tagged."""
        case: Any = self
        with self.cell("bundled", gap=self.bundled_gap):
            self.peer.add_media()
            self.connect(offerer="peer")
            answer = next(each for each in self.carried.said if "m=" in each)
            lines = [line.split() for line in answer.splitlines() if line.startswith("m=")]
            ports = {kind: port for kind, port, *_ in lines}
            case.assertEqual(set(ports), {"m=audio", "m=video", "m=application"})
            case.assertEqual((ports["m=audio"], ports["m=video"]), ("0", "0"))
            case.assertNotEqual(ports["m=application"], "0")
            self.restart_bundled()

    def restart_bundled(self) -> None:
        """Our offer repeats what was rejected."""
        self.daemon.ask(f"restart {SESSION}")
        self.carried.until_round(2)
        self.check_connected()
