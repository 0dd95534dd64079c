"""Packets as tcpdump takes them, and what tshark makes of them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from tests.lab.commands import PATIENCE, run, until
from tests.lab.namespaces import Namespace

_WARNING = 0x600000
_MALFORMED = (
    f"(stun && _ws.expert.severity >= {_WARNING}) || "
    "(!stun && !icmp && !icmpv6 && (udp.port in {3478, 3479} || udp[12:4] == 21:12:a4:42))"
)
_UNPROTECTED = "!(stun || dtls || arp || icmp || icmpv6 || igmp || tcp)"
_RELAYED = "udp && stun.channel"
_LOOKS_FIRST = ("-o", "udp.try_heuristic_first:TRUE")
"""A relayed port may be some other protocol's by its number: what it carries tells."""


@define(eq=False)
class Capture:
    """I record what passes one interface of a machine, from :meth:`start` to :meth:`stop`."""

    namespace: Namespace
    interface: str
    file: Path = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Nothing is missed after this."""
        name = f"{self.namespace.name}.{self.interface}"
        self.file = self.namespace.directory / f"{name}.pcap"
        log = self.namespace.directory / f"{name}.tcpdump"
        # Immediate: otherwise the last second is lost at the end.
        words = ["tcpdump", "--immediate-mode", "-U", "-Z", "root", "-s", "0"]
        self._process = self.namespace.start(
            [*words, "-i", self.interface, "-w", str(self.file)], log
        )
        until(lambda: log.exists() and "listening on" in log.read_text(), "tcpdump")

    def stop(self) -> None:
        """The file is whole after this."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE)

    def count(self, display_filter: str) -> int:
        """How many packets match a filter of tshark's."""
        return len(self.lines(display_filter, "frame.number"))

    def lines(self, display_filter: str, *names: str, options: Sequence[str] = ()) -> list[str]:
        """Fields of the packets that match, separated by tabs, a line each."""
        wanted = [word for name in names for word in ("-e", name)]
        return run(
            *("tshark", "-n", *options, "-r", str(self.file), "-Y", display_filter),
            *("-T", "fields", *wanted),
        ).splitlines()

    def malformed(self) -> list[str]:
        """STUN, TURN and ChannelData that is not as it should be, with tshark's reasons.

        What it takes for no STUN at all is seen by its port or its magic cookie.
        """
        return self.lines(_MALFORMED, "frame.number", "_ws.expert.message", options=_LOOKS_FIRST)

    def unprotected(self) -> list[str]:
        """What is neither STUN (TURN among it) nor DTLS, nor the network's own, nor a stream."""
        names = ("frame.number", "frame.protocols", "udp.payload")
        return self.lines(_UNPROTECTED, *names, options=_LOOKS_FIRST)

    def records(self, content_type: int) -> int:
        """How many packets have DTLS records of that type."""
        wanted = f"dtls.record.content_type == {content_type}"
        return len(self.lines(wanted, "frame.number", options=_LOOKS_FIRST))

    def relayed(self) -> list[bytes]:
        """What ChannelData over UDP carries, which tshark leaves as it is."""
        packets = map(bytes.fromhex, self.lines(_RELAYED, "udp.payload", options=_LOOKS_FIRST))
        return [packet[4 : 4 + int.from_bytes(packet[2:4], "big")] for packet in packets]

    def holds(self, words: bytes) -> bool:
        """Whether these bytes are in some packet, whatever tshark takes it for."""
        return words in self.file.read_bytes()
