"""What everything that carries datagrams has in common: a socket now, a TURN allocation later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from attrs import define

from refreeze.basics import Address, is_ipv6

MAX_UDP_PAYLOAD_IPV4: Final = 65_507
MAX_UDP_PAYLOAD_IPV6: Final = 65_527

Datagram: TypeAlias = tuple[bytes, Address, int]
"""Payload, remote address, TOS byte (DSCP and ECN). As received: the source; to send: the
destination."""

Batch: TypeAlias = Sequence[Datagram]

BatchReceiver: TypeAlias = Callable[["Port", Batch], None]
"""Called with the port and what one turn of its reader found, in order of arrival."""


@define
class PortCounters:
    """What a port counts; ``metrics`` reads the numbers."""

    received: int = 0
    received_bytes: int = 0
    truncated: int = 0
    sent: int = 0
    sent_bytes: int = 0
    send_errors: int = 0
    would_block: int = 0
    too_long: int = 0
    receive_errors: int = 0
    last_send_error: str | None = None
    """The errno's name of the latest datagram that the machine itself did not let go."""


def max_udp_payload(host: str) -> int:
    """The longest payload of a UDP datagram from or to *host*, in bytes."""
    return MAX_UDP_PAYLOAD_IPV6 if is_ipv6(host) else MAX_UDP_PAYLOAD_IPV4


class Port(Protocol):
    """Carries datagrams between one local address and any remote one.

    A port never raises out of :meth:`send`, and nothing that its receiver raises leaves it.
    """

    @property
    def local(self) -> Address:
        """The bound address: the base of the candidates that use this port. Unique in a mux."""
        ...

    @property
    def counters(self) -> PortCounters: ...

    @property
    def max_payload(self) -> int:
        """The longest datagram it can carry, in bytes; the way there may take less."""
        ...

    @property
    def broken(self) -> str | None:
        """Why the port can no longer carry anything (an errno's name), or None."""
        ...

    def send(self, batch: Batch) -> int:
        """Hand *batch* to the network in order; returns how many datagrams it took.

        The others were counted with their reason in :attr:`counters`.
        """
        ...

    def on_batch(self, receiver: BatchReceiver) -> None:
        """Set the one receiver of this port."""
        ...

    def close(self) -> None:
        """Release the address at once. Idempotent; a closed port takes and gives nothing."""
        ...


class PortFactory(Protocol):
    """Makes ports; ``net.udp`` in production, the fake network in virtual time."""

    def open_udp(self, host: str, port: int = 0) -> Port:
        """A UDP port bound to *host* (a numeric address of this machine); OSError when refused."""
        ...

    def open_unix(self, path: str) -> Port:
        """A UNIX datagram port bound to *path*; its remote addresses are ``(path, 0)``."""
        ...

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """(interface name, numeric address) of every usable address, link-local ones with zone."""
        ...

    def source_host(self, remote_host: str) -> str | None:
        """Which of this machine's addresses a datagram to *remote_host* would leave from.

        None without a route there, or when *remote_host* is no numeric address. Nothing is sent.
        """
        ...
