"""Firefox on one LAN with a daemon: DTLS in both roles, restarts of either side, and the end."""

from __future__ import annotations

from tests.lab import firefox
from tests.lab.case import LabCase
from tests.lab.namespaces import Namespace
from tests.lab.protected_peer import Exchanges, Forms, Peer


class FirefoxTests(Exchanges, Forms, LabCase):
    """``connectionState`` of its page, and what the daemon shows."""

    party = "firefox"

    def lacking(self) -> str | None:
        return firefox.lacking()

    def peer_at(self, machine: Namespace) -> Peer:
        return firefox.Firefox(machine)
