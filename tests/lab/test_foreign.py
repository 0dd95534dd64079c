"""aiortc, libdatachannel and pion on one LAN with a daemon: both roles, restarts, the end."""

from __future__ import annotations

from tests.lab.carried import SESSION
from tests.lab.case import LabCase
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent, Stack
from tests.lab.namespaces import Namespace
from tests.lab.protected_peer import Peer, ProtectedPeer


class _StackTests(ProtectedPeer):
    """``connectionState`` of a program's connection, and what the daemon shows."""

    stack: Stack

    @property
    def restarts(self) -> bool:  # type: ignore[override]  # it is the stack's
        return self.stack.restarts

    def lacking(self) -> str | None:
        return self.stack.lacking()

    def peer_at(self, machine: Namespace) -> Peer:
        return Agent(machine, self.stack)


class AiortcTests(_StackTests, LabCase):
    stack = AIORTC


class LibdatachannelTests(_StackTests, LabCase):
    """It is ``connected`` when SCTP is, which nobody answers: its DTLS is judged by itself."""

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


class PionTests(_StackTests, LabCase):
    stack = PION
