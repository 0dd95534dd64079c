"""Datagrams of a peer whose path is there before we have its answer.

It checked us, we answered with our credentials, and it may send (RFC 8445 section 12.1), but
which of its checks belong to the answer is not known yet. A first flight that is dropped then comes
again after a second in DTLS, after five in WireGuard; so the latest datagrams wait, a few and small
ones. What they are worth is judged when the answer is here, as if they came only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field

from refreeze.basics import Address

MAX_TUPLES: Final = 4
MAX_DATAGRAMS: Final = 2
"""Of one 5-tuple: a ClientHello may have two fragments."""
MAX_SIZE: Final = 1500
"""Bytes of one."""


@define(eq=False, repr=False)
class EarlyDatagrams:
    """I keep them by base and source. The latest stay: they are what a peer still waits for."""

    _kept: dict[tuple[Address, Address], list[bytes]] = field(factory=dict)

    def keep(self, base: Address, source: Address, payloads: Sequence[bytes]) -> int:
        """Returns how many datagrams were dropped for it, older ones or these."""
        kept = self._kept.get((base, source), [])
        if not kept and len(self._kept) >= MAX_TUPLES:
            return len(payloads)
        small = [payload for payload in payloads if len(payload) <= MAX_SIZE]
        latest = (kept + small)[-MAX_DATAGRAMS:]
        if latest:
            self._kept[base, source] = latest
        return len(kept) + len(payloads) - len(latest)

    def take(self) -> Iterator[tuple[Address, Address, list[bytes]]]:
        """All of them, once, and in order for each 5-tuple."""
        kept, self._kept = self._kept, {}
        for (base, source), payloads in kept.items():
            yield base, source, payloads
