"""aiortc, libdatachannel and pion on one LAN with a daemon: both roles, restarts, the end."""

from __future__ import annotations

from tests.lab.carried import SESSION
from tests.lab.case import LabCase
from tests.lab.commands import LabError
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent, Stack
from tests.lab.namespaces import Namespace
from tests.lab.protected_peer import Exchanges, Forms, Peer, ProtectedPeer
from tests.lab.unrestartable import Unrestartable


class _StackTests(ProtectedPeer):
    """``connectionState`` of a program's connection, and what the daemon shows."""

    stack: Stack

    @property
    def party(self) -> str:  # type: ignore[override]  # it is the stack's
        return self.stack.name

    def lacking(self) -> str | None:
        return self.stack.lacking()

    def peer_at(self, machine: Namespace) -> Peer:
        return Agent(machine, self.stack)


class AiortcTests(Unrestartable, _StackTests, LabCase):
    """It answers a restart with the old credentials."""

    stack = AIORTC
    bundled_gap = "refuses an answer that rejects a section"

    def test_it_offers_audio_video_and_data_in_one_bundle(self) -> None:
        """It looks for the DTLS role of what is rejected."""
        with self.cell("bundled", gap=self.bundled_gap):
            self.peer.add_media()
            with self.assertRaisesRegex(LabError, "no attribute 'role'"):
                self.connect(offerer="peer")

    def check_refusal(self) -> None:
        """The round is over with our refusal of its answer."""
        self.carried.until_round(2, "failed")
        self.assertEqual(self.daemon.rounds(SESSION)[1]["why"], "peer-cannot-restart")


class LibdatachannelTests(Unrestartable, _StackTests, LabCase):
    """It refuses an offer that restarts.

    It is ``connected`` when SCTP is, which nobody answers: its DTLS is judged by itself.
    """

    stack = LIBDATACHANNEL

    def has_dtls(self) -> bool:
        """It has found our certificate, and SCTP is what it waits for."""
        assert isinstance(self.peer, Agent)
        ours = str(self.protect["local_fingerprint"])
        return self.peer.peer.upper() == ours.removeprefix("sha-256 ")

    def hang_up(self) -> None:
        """Its close_notify comes, or it is gone before that leaves."""
        self.peer.hang_up()
        self.carried.until(lambda: not self.daemon.is_up(SESSION), "its end")

    def check_refusal(self) -> None:
        """Its application answers with another connection, when it gets the offer again."""
        assert isinstance(self.peer, Agent)
        self.carried.until(lambda: self.carried.refusals, "its refusal")
        self.peer.begin_again(keep=True)
        self.carried.begin_again()
        self.association += 1
        self.carried.until_round(2)

    def repeat_offer(self) -> None:
        """It took its offer back before it refused ours."""
        self.carried.offer(restart=True)


class PionTests(Exchanges, Forms, _StackTests, LabCase):
    """It has no rollback of an offer of its own."""

    stack = PION
    at_once_gap = "ours has to give way: it takes back no offer"

    def ours_stands(self) -> None:
        """It does not answer ours, nor has its own an answer: the old path goes on."""
        self.carried.refusals = refusals = list[str]()
        self.daemon.ask(f"restart {SESSION}")
        self.carried.offer(restart=True)
        self.carried.until(lambda: refusals, "its refusal")
        self.assertIn("have-local-offer->SetRemote(offer)", refusals[0])
        self.daemon.ask(f"cancel {SESSION}")
        self.carried.offer_again()
        self.carried.until_round(5)
        self.check_connected()

    def restart_bundled(self) -> None:
        """Rejected sections have to be inactive, or its next descriptions leave them out."""
        super().restart_bundled()
        self.carried.offer(restart=True)
        self.carried.until_round(3)
        self.check_connected()
