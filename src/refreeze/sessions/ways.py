"""Which way every local address reaches the rest of the world, as it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import define, field

from refreeze.basics import is_ipv6
from refreeze.net.routes import ANYWHERE

RouteVia: TypeAlias = Callable[[str, str], str | None]
"""Way of a datagram from the first host to the second: interface and next hop, to be compared;
None: it does not leave, or nobody knows."""


@define(eq=False, repr=False)
class Ways:
    """I remember the default way of every local host, and find whose is another now.

    A way that only went, where no other host has one, is no change: nothing could be done, and
    mostly it comes back the same.
    """

    via: RouteVia
    _now: dict[str, str | None] = field(factory=dict, init=False)
    _last: dict[str, str] = field(factory=dict, init=False)
    """The latest there was."""

    def look(self, hosts: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
        """The hosts whose way is another, and those who have one again after a time without.

        A host that was not there before has no way that could have changed.
        """
        before, self._now = self._now, {host: self.via(host, _anywhere(host)) for host in hosts}
        reaching = {host for host, way in self._now.items() if way is not None}
        moved, back = list[str](), list[str]()
        for host, way in self._now.items():
            if host not in before or way == before[host]:
                continue
            if way is None:
                if reaching:
                    moved.append(host)
            elif self._last.get(host, way) != way:
                moved.append(host)
            else:
                back.append(host)
        known = {host: way for host, way in self._now.items() if way is not None}
        self._last = {host: way for host, way in self._last.items() if host in self._now} | known
        return moved, back

    def by_default(self, host: str, remote: str) -> bool:
        """Whether *remote* is reached from *host* the default way, and not on a link of its own."""
        return self.via(host, remote) == self._now.get(host)


def _anywhere(host: str) -> str:
    return ANYWHERE[1] if is_ipv6(host) else ANYWHERE[0]
