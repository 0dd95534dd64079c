"""What systemd wants to hear (sd_notify(3)), and the sockets that it opened (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from attrs import define, field

_FIRST = 3
"""SD_LISTEN_FDS_START."""
_MOST = 64
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def initial_environment() -> dict[str, str]:
    """The environment that this process was started with.

    Twisted's endpoints module takes LISTEN_FDS away when it is imported, which twistd may have
    done before us (it depends on the plugin cache); the kernel's copy stays.
    """
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in block.split(b"\0"))
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs if key}


def inherited_sockets(
    environment: MutableMapping[str, str], initial: Mapping[str, str]
) -> list[socket.socket]:
    """The sockets that are meant for this process; the variables are removed.

    Whatever is wrong with the variables means that there are none.
    """
    found = {name: environment.pop(name, initial.get(name, "")) for name in _VARIABLES}
    number = found["LISTEN_FDS"]
    if found["LISTEN_PID"] != str(os.getpid()) or not (number.isascii() and number.isdigit()):
        return []
    sockets = []
    for descriptor in range(_FIRST, _FIRST + min(int(number[:4]), _MOST)):
        try:
            os.set_inheritable(descriptor, False)
            made = socket.socket(fileno=descriptor)
            made.setblocking(False)
        except OSError:
            continue
        sockets.append(made)
    return sockets


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
