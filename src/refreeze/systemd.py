"""What systemd wants to hear: READY, STOPPING, the watchdog's pings (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from attrs import define, field


@define(eq=False, repr=False)
class Notifier:
    """Sends to NOTIFY_SOCKET; silent without one. The variables are read once and removed."""

    address: str | None = None
    watchdog_seconds: float | None = None
    _socket: socket.socket | None = field(default=None, init=False)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """The service manager's wishes; meant for this process only when WATCHDOG_PID says so."""
        address = environment.pop("NOTIFY_SOCKET", None)
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = not pid or pid == str(os.getpid())
        # sd_watchdog_enabled(3): 0 and what is no number mean that there is no watchdog.
        valid = usec.isascii() and usec.isdigit() and len(usec) <= 20 and int(usec) > 0
        seconds = int(usec) / 1_000_000 if valid and ours else None
        if address and address.startswith("@"):
            address = "\0" + address[1:]
        return cls(address or None, seconds)

    def send(self, *lines: str) -> None:
        """One datagram; nobody listening is not an error."""
        if self.address is None:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self.address)
        except OSError:
            return

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
