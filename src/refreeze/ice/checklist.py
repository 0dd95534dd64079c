"""The checklist: pairing, pruning, freezing, and which check comes next (RFC 8445 6.1.2)."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.candidate import Candidate, CandidateType
from refreeze.ice.hostile import is_private
from refreeze.ice.pair import Pair, make_pair
from refreeze.ice.states import IceRole, PairState

_ACTIVE = frozenset({PairState.WAITING, PairState.IN_PROGRESS})
_IDLE = frozenset({PairState.FROZEN, PairState.WAITING})


def _order(pair: Pair) -> int:
    return -pair.priority


@define(eq=False)
class Checklist:
    """All pairs of one generation, best first; failed ones too: they explain a failure (T40)."""

    max_pairs: int
    pairs: list[Pair] = field(factory=list)
    triggered: deque[Pair] = field(factory=deque)
    dropped: int = 0
    """Pairs that were not formed, or were given up, because the list was full."""
    _by_tuple: dict[tuple[Address, Address], Pair] = field(factory=dict)

    def find(self, base: Address, remote: Address) -> Pair | None:
        """The pair of that 5-tuple."""
        return self._by_tuple.get((base, remote))

    # Pairing

    def pair_local(self, local: Candidate, remotes: Iterable[Candidate], role: IceRole) -> None:
        """Pair a new local candidate with every remote one of its family."""
        for remote in remotes:
            self._pair(local, remote, role)

    def pair_remote(self, locals_: Iterable[Candidate], remote: Candidate, role: IceRole) -> None:
        """Pair a new remote candidate with every local one of its family."""
        for local in locals_:
            self._pair(local, remote, role)

    def _pair(self, local: Candidate, remote: Candidate, role: IceRole) -> None:
        """A reflexive local candidate stands for its base, so most often the pair is there.

        Of two redundant pairs the one with the higher priority stays (RFC 8445 6.1.2.4).
        """
        if not _pairable(local, remote):
            return
        pair = make_pair(local, remote, role)
        known = self.find(pair.base, pair.remote_address)
        if known is None:
            self.add(pair)
        elif known.state in _IDLE and known.local_priority < pair.local_priority:
            known.local, known.local_priority = local, pair.local_priority
            known.foundation = (local.foundation, known.foundation[1])
            known.rank(role)
            self.pairs.sort(key=_order)

    def add(self, pair: Pair, *, proven: bool = False) -> bool:
        """One pair more; False when the list is full of better ones.

        *proven*: a check came in on it, so it is worth more than any that only might work.
        """
        if len(self.pairs) >= self.max_pairs and not self._make_room(pair.priority, proven):
            self.dropped += 1
            return False
        if self._foundation_is_open(pair):
            pair.state = PairState.WAITING
        self._by_tuple[pair.base, pair.remote_address] = pair
        insort(self.pairs, pair, key=_order)
        return True

    def _foundation_is_open(self, pair: Pair) -> bool:
        """RFC 8838 section 12: Waiting if it is its foundation's first, or one has succeeded."""
        first = True
        for other in self.pairs:
            if other.foundation == pair.foundation:
                if other.state is PairState.SUCCEEDED:
                    return True
                first = False
        return first

    def _make_room(self, priority: int, proven: bool) -> bool:
        """Drop a failed pair, or else the least of those not begun (RFC 8838 section 10)."""
        for pair in reversed(self.pairs):
            if pair.state is PairState.FAILED and not pair.nominated:
                break
        else:
            for pair in reversed(self.pairs):
                if pair.state in _IDLE and (proven or pair.priority < priority):
                    break
            else:
                return False
        self.remove(pair)
        self.dropped += 1
        return True

    def remove(self, pair: Pair) -> None:
        """Forget a pair."""
        self.pairs.remove(pair)
        del self._by_tuple[pair.base, pair.remote_address]
        if pair in self.triggered:
            self.triggered.remove(pair)

    def reprioritize(self, role: IceRole) -> None:
        """After a change of role (RFC 8445 section 7.3.1.1)."""
        for pair in self.pairs:
            pair.rank(role)
        self.pairs.sort(key=_order)

    # The order of checks

    def trigger(self, pair: Pair) -> None:
        """Check *pair* before ordinary ones, first come first served (RFC 8445 6.1.4.1)."""
        pair.state = PairState.WAITING
        if pair not in self.triggered:
            self.triggered.append(pair)

    def next_triggered(self) -> Pair | None:
        """The oldest trigger; the pair leaves the queue."""
        while self.triggered:
            pair = self.triggered.popleft()
            if pair.state is PairState.WAITING:
                return pair
        return None

    def next_ordinary(self) -> Pair | None:
        """The best waiting pair, or else the best frozen one whose foundation is idle (6.1.4.2)."""
        frozen = False
        for pair in self.pairs:
            if pair.state is PairState.WAITING:
                return pair
            frozen = frozen or pair.state is PairState.FROZEN
        if not frozen:
            return None
        busy = {p.foundation for p in self.pairs if p.state in _ACTIVE}
        for pair in self.pairs:
            if pair.state is PairState.FROZEN and pair.foundation not in busy:
                return pair
        return None

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """A pair of this foundation succeeded: its siblings are worth a check now (7.2.5.3.3)."""
        for pair in self.pairs:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def stop(self, selected: Pair) -> None:
        """After the nomination no other check goes on (RFC 8445 section 8.1.2)."""
        self.triggered.clear()
        for pair in self.pairs:
            if pair is not selected and pair.state in _ACTIVE:
                pair.state = PairState.FROZEN

    # What is known

    def active_count(self) -> int:
        """Pairs waiting or in progress: they stretch the RTO (RFC 8445 section 14.3)."""
        return sum(pair.state in _ACTIVE for pair in self.pairs)

    def exhausted(self) -> bool:
        """True when every pair has failed (or there is none)."""
        return all(pair.state is PairState.FAILED for pair in self.pairs)

    def valid(self) -> Iterator[Pair]:
        """Valid pairs, best first."""
        return (pair for pair in self.pairs if pair.valid)


def _pairable(local: Candidate, remote: Candidate) -> bool:
    """Same family; link-local only with link-local (RFC 8445 section 6.1.2.2).

    A public server's relay reaches no private address of another network, and some servers end
    the whole allocation when they have no route there.
    """
    host = (local.base or local.address)[0]
    other = remote.address[0]
    if (":" in host) != (":" in other):
        return False
    if host.startswith("fe80:") != other.startswith("fe80:"):
        return False
    return local.type is not CandidateType.RELAY or is_private(host) or not is_private(other)
