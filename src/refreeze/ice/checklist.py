"""The checklist: pairing, pruning, freezing, and which check comes next (RFC 8445 6.1.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.candidate import Candidate, CandidateType, pair_priority
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, PairState

_ACTIVE = frozenset({PairState.WAITING, PairState.IN_PROGRESS})
_REPLACEABLE = frozenset({PairState.FROZEN, PairState.WAITING})


@define(eq=False, repr=False)
class Checklist:
    """All pairs of one generation, failed ones too: they explain a failure (T40)."""

    max_pairs: int
    pairs: list[Pair] = field(factory=list)
    triggered: deque[Pair] = field(factory=deque)
    _by_tuple: dict[tuple[Address, Address], Pair] = field(factory=dict)

    def find(self, base: Address, remote: Address) -> Pair | None:
        """The pair of that 5-tuple."""
        return self._by_tuple.get((base, remote))

    def pair_up(
        self, locals_: Iterable[Candidate], remotes: Iterable[Candidate], role: IceRole
    ) -> None:
        """Form the missing pairs of the same family; redundant ones are not formed.

        A reflexive local candidate stands for its base, so the base's own pair covers it
        (RFC 8445 section 6.1.2.4).
        """
        remotes = list(remotes)
        for local in locals_:
            if local.type in (CandidateType.SRFLX, CandidateType.PRFLX) or local.base is None:
                continue
            for remote in remotes:
                if _pairable(local, remote) and self.find(local.base, remote.address) is None:
                    self.add(local, remote, role)

    def add(self, local: Candidate, remote: Candidate, role: IceRole) -> Pair | None:
        """One pair more; None when the list is full of better ones."""
        assert local.base is not None
        pair = Pair(local, remote, local.base, _priority(local, remote, role))
        if len(self.pairs) >= self.max_pairs and not self._make_room(pair.priority):
            return None
        self._by_tuple[pair.base, pair.remote_address] = pair
        self.pairs.append(pair)
        self.pairs.sort(key=lambda each: -each.priority)
        return pair

    def _make_room(self, priority: int) -> bool:
        """Drop a failed pair, or else the least of those not begun (RFC 8838 section 10)."""
        failed = [pair for pair in self.pairs if pair.state is PairState.FAILED]
        idle = [p for p in self.pairs if p.state in _REPLACEABLE and p.priority < priority]
        if not failed and not idle:
            return False
        self.remove((failed or idle)[-1])
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
            pair.priority = _priority(pair.local, pair.remote, role)
            pair.template = None
        self.pairs.sort(key=lambda each: -each.priority)

    def trigger(self, pair: Pair) -> None:
        """Check *pair* before ordinary ones, first come first served."""
        if pair.state in _REPLACEABLE or pair.state is PairState.FAILED:
            pair.state = PairState.WAITING
        if pair not in self.triggered:
            self.triggered.append(pair)

    def next_ordinary(self) -> Pair | None:
        """The best waiting pair, or else the best frozen one whose foundation is idle."""
        waiting = next((p for p in self.pairs if p.state is PairState.WAITING), None)
        if waiting is not None:
            return waiting
        busy = {p.foundation for p in self.pairs if p.state in _ACTIVE}
        return next(
            (p for p in self.pairs if p.state is PairState.FROZEN and p.foundation not in busy),
            None,
        )

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """A pair of this foundation succeeded: its siblings are worth a check now."""
        for pair in self.pairs:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def active_count(self) -> int:
        """Pairs waiting or in progress: they stretch the RTO (RFC 8445 section 14.3)."""
        return sum(pair.state in _ACTIVE for pair in self.pairs)

    def exhausted(self) -> bool:
        """True when every pair has failed (or there is none)."""
        return all(pair.state is PairState.FAILED for pair in self.pairs)

    def valid(self) -> Iterator[Pair]:
        """Valid pairs, best first."""
        return (pair for pair in self.pairs if pair.valid)


def _priority(local: Candidate, remote: Candidate, role: IceRole) -> int:
    if role is IceRole.CONTROLLING:
        return pair_priority(local.priority, remote.priority)
    return pair_priority(remote.priority, local.priority)


def _pairable(local: Candidate, remote: Candidate) -> bool:
    """Same family; link-local only with link-local (RFC 8445 section 6.1.2.2)."""
    if local.is_ipv6 != remote.is_ipv6:
        return False
    return _link_local(local) == _link_local(remote)


def _link_local(candidate: Candidate) -> bool:
    return candidate.is_ipv6 and candidate.address[0].startswith("fe80:")
