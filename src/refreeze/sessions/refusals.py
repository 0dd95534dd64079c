"""Sockets that the machine itself lets nothing leave from (EPERM): when to open one again."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from refreeze.basics import Address

REFUSALS: Final = frozenset({"EPERM", "EACCES"})
STORM: Final = 5.0
"""Seconds in which nothing may have left before it is a storm. A firewall that is reloaded takes
less, and so does a check of the peer's that gets through (T36)."""
GAP: Final = 3.0
"""Seconds without a refusal that end a storm."""
REBIND_EVERY: Final = 60.0
"""Seconds between two new sockets: mostly a firewall means it, and no socket helps."""


@define(eq=False)
class _Storm:
    began: float
    latest: float
    sent: int
    """What had left when it began."""


@define(eq=False, repr=False)
class Refusals:
    """I tell a storm from the refusal of one destination."""

    _storms: dict[Address, _Storm] = field(factory=dict, init=False)
    _rebound: dict[Address, float] = field(factory=dict, init=False)

    def refused(self, base: Address, sent: int, now: float) -> bool:
        """Sending from *base*, whence *sent* datagrams left so far, was refused.

        True when its socket is to be opened again.
        """
        storm = self._storms.get(base)
        if storm is None or sent != storm.sent or now > storm.latest + GAP:
            storm = self._storms[base] = _Storm(now, now, sent)
        storm.latest = now
        rebound = self._rebound.get(base)
        if now < storm.began + STORM or (rebound is not None and now < rebound + REBIND_EVERY):
            return False
        del self._storms[base]
        self._rebound[base] = now
        return True

    def forget(self, base: Address) -> None:
        """It is gone."""
        self._storms.pop(base, None)
        self._rebound.pop(base, None)
