"""Associations that follow each other over one path, and which of them a datagram is for.

Records carry no name, and a new association may come over the 5-tuple of the old one (RFC 8842
section 4). So while one handshakes, what is under keys goes to the old one first; for a while after
the change, to the new one first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define

from refreeze.peer.dtls.association import Association, AssociationState
from refreeze.peer.dtls.records import ALERT, APPLICATION

DRAIN: Final = 3.0
"""Seconds for which records of the old association may still arrive."""


@define(eq=False, repr=False)
class Succession:
    """*current* carries the data, *coming* handshakes, *leaving* is only listened to."""

    dropped: Counter[str]
    """What none of them could use, by reason: each datagram once."""
    current: Association | None = None
    coming: Association | None = None
    leaving: Association | None = None
    leaving_until: float = 0.0
    number: int = 0
    """Of the association that came last, counted from 1."""

    def associations(self) -> Iterator[Association]:
        """All that there are."""
        for each in (self.current, self.coming, self.leaving):
            if each is not None:
                yield each

    def replace(self, association: Association) -> None:
        """*association* is to come; one that did not get ready is dropped."""
        if self.coming is not None:
            self._forget(self.coming)
        self.coming = association
        self.number += 1

    def promote(self, now: float) -> None:
        """The one that came is connected."""
        if self.leaving is not None:
            self._forget(self.leaving)
        if self.current is not None:
            self.leaving, self.leaving_until = self.current, now + DRAIN
        self.current, self.coming = self.coming, None

    def clear(self) -> None:
        """None is left."""
        for association in self.associations():
            self._forget(association)
        self.current = self.coming = self.leaving = None

    def receive(self, datagrams: Sequence[bytes], now: float) -> list[bytes]:
        """The payloads for us."""
        current = self.current
        plain: list[bytes] = []
        if current is not None and self.coming is None and self.leaving is None:
            plain = current.receive(datagrams, now)
            if current.dropped:
                self._count(current)
            return plain
        for datagram in datagrams:
            plain += self._receive_one(datagram, now)
        return plain

    def _forget(self, association: Association) -> None:
        association.abandon()
        self._count(association)

    def _count(self, association: Association) -> None:
        self.dropped.update(association.dropped)
        association.dropped.clear()

    def _receive_one(self, datagram: bytes, now: float) -> list[bytes]:
        refused: Counter[str] = Counter()
        asked = self._order(datagram)
        if not asked:
            refused["no-association"] = 1
        for association in asked:
            plain = association.receive([datagram], now)
            if plain or not association.dropped:
                self._count(association)
                return plain
            refused = refused or Counter(association.dropped)
            association.dropped.clear()
        self.dropped.update(refused)
        return []

    def _order(self, datagram: bytes) -> list[Association]:
        """Who is asked, one after the other, until one of them can read it."""
        kind = datagram[0] if datagram else 0
        encrypted = datagram[3:5] != b"\0\0"
        if self.coming is None:
            return [each for each in (self.current, self.leaving) if each is not None]
        if encrypted and kind in {APPLICATION, ALERT}:
            return [each for each in (self.current, self.coming) if each is not None]
        return [self.coming]

    # Time

    def next_deadline(self) -> float | None:
        """The nearest of all."""
        times = [each.next_deadline() for each in self.associations()]
        if self.leaving is not None:
            times.append(self.leaving_until)
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Whose time has come."""
        for association in list(self.associations()):
            due = association.next_deadline()
            if due is not None and now >= due:
                association.handle_timeout(now)
                self._count(association)
        if self.leaving is not None and now >= self.leaving_until:
            self._forget(self.leaving)
            self.leaving = None

    def take_transmits(self) -> list[bytes]:
        """Of all of them."""
        return [datagram for each in self.associations() for datagram in each.take_transmits()]

    @property
    def restless(self) -> bool:
        """Whether there is more than one that carries data and has nothing else to say."""
        current = self.current
        alone = self.coming is None and self.leaving is None
        return not alone or (current is not None and current.restless)

    @property
    def usable(self) -> Association | None:
        """The one that payload may leave by."""
        current = self.current
        good = current is not None and current.state is AssociationState.CONNECTED
        return current if good else None
