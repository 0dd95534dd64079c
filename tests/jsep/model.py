"""A small model of what webrtc-pc (4.4.1, 4.4.2, 4.7.3) and RFC 9429 say of offer and answer.

It is written from their steps, not from :mod:`refreeze.jsep`, and knows no text: credentials are
numbers, a section is its kind, mid and direction. Two things are decided here where the standards
leave room: a restart that the configuration asked for is still due when its offer was rolled back
or replaced (rule 15), and a candidate that came before, or after the end of its generation, is not
taken (rules 49 and 51).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from attrs import define, evolve, field

from .model_parts import (
    CAN_ANSWER,
    CAN_OFFER,
    CLOSED,
    DATA,
    LOCAL,
    LOCAL_OFFER,
    REMOTE,
    REMOTE_PRANSWER,
    STABLE,
    Flagged,
    Generation,
    Held,
    Line,
    Refused,
    Text,
    Transceiver,
    check_places,
    intersected,
    mirrored,
)


@define(eq=False)
class Peer(Flagged):
    """One RTCPeerConnection that has created a data channel."""

    numbers: Iterator[int] = field(factory=count, kw_only=True)
    """Credentials are drawn from here; both sides share it."""
    current_local: Held | None = None
    pending_local: Held | None = None
    current_remote: Held | None = None
    pending_remote: Held | None = None
    last_offer: Text | None = None
    last_answer: Text | None = None
    unused: set[str] = field(factory=set)
    """Which of them were never applied."""
    slot: set[int] = field(factory=set)
    """[[LocalIceCredentialsToReplace]]"""
    bit: bool = False
    """RFC 9429's needs-ice-restart."""
    bit_before: bool = False
    """As it was when the pending local offer was applied."""
    transceivers: list[Transceiver] = field(factory=list)
    bound: dict[Transceiver, tuple[str | None, int | None]] = field(factory=dict)
    """mid and index in the last stable state."""
    data: int | None = None
    """Where the data section is..."""
    stable_data: int | None = None
    """...and where it was in the last stable state."""
    running: dict[int, int] = field(factory=dict)
    """Generations that check: our credentials to the peer's."""
    staged: set[int] = field(factory=set)
    """Generations of ours that gathered."""
    remotes: dict[int, Generation] = field(factory=dict)

    # Is negotiation needed? (4.7.3)

    def needed(self) -> bool:
        """Is negotiation needed?"""
        description = self.current_local
        lines = description.text.lines if description is not None else ()
        if self.slot or not any(line.kind == DATA for line in lines):
            return True
        return any(self._differs(each) for each in self.transceivers)

    def _differs(self, each: Transceiver) -> bool:
        if each.stopping and not each.stopped:
            return True
        ours, theirs = (
            self._section(self.current_local, each),
            self._section(self.current_remote, each),
        )
        if each.stopped:
            return ours is not None and theirs is not None and not ours.rejected | theirs.rejected
        if ours is None or theirs is None or self.current_local is None:
            return True
        said, heard = ours.direction, mirrored(theirs.direction)
        if self.current_local.type == "offer":
            return each.direction not in {said, heard}
        return said != intersected(each.direction, heard)

    @staticmethod
    def _section(held: Held | None, each: Transceiver) -> Line | None:
        if held is None or each.index is None or each.index >= len(held.text.lines):
            return None
        return held.text.lines[each.index]

    # What is wished

    def _open(self) -> None:
        if self.state == CLOSED:
            raise Refused("InvalidStateError")

    def restart_ice(self) -> None:
        """restartIce()"""
        self.slot = {each.text.ice for each in (self.current_local, self.pending_local) if each}
        self.update_flag()

    def set_configuration(self) -> None:
        """Other servers, or another policy."""
        self._open()
        self.bit = self.bit or self.current_local is not None or self.pending_local is not None

    def add_transceiver(self, kind: str, direction: str) -> None:
        """addTransceiver()"""
        self._open()
        self.transceivers.append(Transceiver(kind, direction))
        self.update_flag()

    def set_direction(self, each: Transceiver, direction: str) -> None:
        """The attribute's setter."""
        self._open()
        if each.stopping:
            raise Refused("InvalidStateError")
        if each.direction != direction:
            each.direction = direction
            self.update_flag()

    def stop(self, each: Transceiver) -> None:
        """stop()"""
        self._open()
        if each.stopping:
            return
        each.stopping = True
        self.update_flag()

    def close(self) -> None:
        """close()"""
        self.state = CLOSED

    # Creating (RFC 9429 5.2, 5.3)

    def create_offer(self, restart: bool) -> Text:
        """createOffer(); mids of new sections are still to be read off the real text."""
        self._open()
        if self.state not in CAN_OFFER:
            raise Refused("InvalidStateError")
        basis = self.current_local or self.pending_local
        fresh = restart or bool(self.slot) or self.bit or basis is None
        ice = next(self.numbers) if fresh or basis is None else basis.text.ice
        lines, owners = self._known_sections()
        waiting = [each for each in self.transceivers if each.index is None and not each.stopping]
        for each in waiting:
            line = Line(each.kind, None, each.direction)
            free = (i for i, owner in enumerate(owners) if owner is None and i != self.data)
            index = next(free, len(lines))
            lines[index : index + 1], owners[index : index + 1] = [line], [each]
        if self.data is None:
            lines, owners = [*lines, Line(DATA, None)], [*owners, None]
        return Text("offer", ice, tuple(lines), tuple(owners), fresh)

    def _known_sections(self) -> tuple[list[Line], list[Transceiver | None]]:
        held = (self.current_local, self.current_remote, self.pending_local, self.pending_remote)
        known = [each.text.lines for each in held if each is not None]
        indexes = [each.index + 1 for each in self.transceivers if each.index is not None]
        size = max([*map(len, known), *indexes, 0 if self.data is None else self.data + 1])
        lines, owners = list[Line](), list[Transceiver | None]()
        for index in range(size):
            there = next(each[index] for each in known if index < len(each))
            owner = next((each for each in self.transceivers if each.index == index), None)
            if owner is not None:
                line = Line(owner.kind, owner.mid, owner.direction, owner.stopping)
            else:
                line = evolve(there, rejected=index != self.data)
            lines.append(line)
            owners.append(owner)
        return lines, owners

    def create_answer(self) -> Text:
        """createAnswer()"""
        self._open()
        offer = self.pending_remote
        if offer is None or self.state not in CAN_ANSWER:
            raise Refused("InvalidStateError")
        basis = self.pending_local or (None if self._restarts(offer.text) else self.current_local)
        fresh = basis is None
        ice = next(self.numbers) if basis is None else basis.text.ice
        owners = [self._at(index) for index in range(len(offer.text.lines))]
        lines = list[Line]()
        for index, (line, owner) in enumerate(zip(offer.text.lines, owners, strict=True)):
            taken = index == self.data or (owner is not None and not owner.stopped)
            said = line.direction
            if owner is not None:
                wished = "inactive" if owner.stopping else owner.direction
                said = intersected(wished, mirrored(line.direction))
            lines.append(Line(line.kind, line.mid, said, line.rejected or not taken))
        return Text("answer", ice, tuple(lines), tuple(owners), fresh)

    def _at(self, index: int) -> Transceiver | None:
        return next((each for each in self.transceivers if each.index == index), None)

    def _restarts(self, remote: Text) -> bool:
        return self.current_remote is None or self.current_remote.text.ice != remote.ice

    # Applying (4.4.1.5, 4.4.2)

    def set_local(self, kind: str, text: Text | None) -> None:
        """setLocalDescription() with one of ours; *text* is None for a rollback."""
        self._open()
        if kind != "rollback" and text is not (
            self.last_offer if kind == "offer" else self.last_answer
        ):
            raise Refused("InvalidModificationError")
        following = LOCAL.get((self.state, kind))
        if following is None:
            raise Refused("InvalidStateError")
        if text is None:
            self._rollback()
        elif kind == "offer":
            self._local_offer(text)
        else:
            self._local_answer(kind, text)
        self.unused -= {text.kind} if text is not None else set()
        self._enter(following)

    def implied(self) -> tuple[Text, bool]:
        """What a call without a description applies; whether that was created before."""
        offering = self.state in {STABLE, LOCAL_OFFER, REMOTE_PRANSWER}
        made = self.create_offer(False) if offering else self.create_answer()
        last = self.last_offer if offering else self.last_answer
        if last is not None and made.kind in self.unused and last.holds(made):
            return last, True
        return made, False

    def _local_offer(self, text: Text) -> None:
        before = self.pending_local
        if before is None:
            self.bit_before = self.bit
        elif before.text.ice != text.ice:
            self._abandon(before.text)
            self.bit = self.bit or self.bit_before
        self.pending_local = Held("offer", text)
        if not self._in_force(text) and (before is None or before.text.ice != text.ice):
            self.bit = False
            self.staged.add(text.ice)
        for each in self.transceivers:
            if each not in text.owners and each not in self.bound:
                each.mid = each.index = None
        for index, (line, owner) in enumerate(zip(text.lines, text.owners, strict=True)):
            if owner is not None:
                owner.mid, owner.index = line.mid, index
            elif line.kind == DATA and not line.rejected:
                self.data = index

    def _in_force(self, ours: Text) -> bool:
        return self.current_local is not None and self.current_local.text.ice == ours.ice

    def _local_answer(self, kind: str, text: Text) -> None:
        offer = self.pending_remote
        assert offer is not None
        self._check_own_answer(text, offer.text)
        if not self._in_force(text) and text.ice not in self.running:
            self.bit = False
            self.staged.add(text.ice)
            self.running[text.ice] = offer.text.ice
        self._agreed([line.direction for line in text.lines], text, offer.text)
        self.pending_local = Held(kind, text)
        if kind == "answer":
            self._complete()

    def _check_own_answer(self, text: Text, offer: Text) -> None:
        """One that was created for an offer that has been replaced may answer nothing."""
        if [(each.kind, each.mid) for each in text.lines] != [
            (each.kind, each.mid) for each in offer.lines
        ]:
            raise Refused("InvalidAccessError")
        for said, offered in zip(text.lines, offer.lines, strict=True):
            if said.rejected:
                continue
            allowed = intersected(said.direction, mirrored(offered.direction))
            if offered.rejected or allowed != said.direction:
                raise Refused("InvalidAccessError")
        if self._in_force(text) == self._restarts(offer):
            raise Refused("InvalidAccessError")

    def set_remote(self, kind: str, text: Text | None) -> None:
        """setRemoteDescription() with one of the peer's."""
        self._open()
        following = REMOTE.get((self.state, kind))
        if following is None:
            raise Refused("InvalidStateError")
        if text is None:
            self._rollback()
        elif kind == "offer":
            self._remote_offer(text)
        else:
            self._remote_answer(kind, text)
        self._enter(following)

    def _remote_offer(self, text: Text) -> None:
        self._check_offer(text)
        self._continue(text)
        held = self.pending_remote = Held("offer", text)
        for each in [*self.transceivers]:
            line = self._section(self.pending_remote, each)
            gone = line is None or (line.kind, line.mid) != (each.kind, each.mid)
            if each.by_peer and each.index is not None and gone:
                self._unmake(each)
        for index, line in enumerate(text.lines):
            owner = self._at(index)
            another = owner is not None and (owner.kind, owner.mid) != (line.kind, line.mid)
            if owner is not None and owner.stopped and another:
                owner.mid = owner.index = None
                owner = None
            if line.kind == DATA:
                self.data = self.data if line.rejected else index
                held.taken |= set() if line.rejected else {index}
                continue
            if owner is None:
                owner = Transceiver(line.kind, "recvonly", by_peer=True, mid=line.mid, index=index)
                self.transceivers.append(owner)
            if line.rejected:
                owner.stop()
            held.taken |= set() if owner.stopped else {index}

    def _check_offer(self, text: Text) -> None:
        """Sections in force stay where they are (RFC 3264 section 8, RFC 9429 5.2.2)."""
        if self.pending_remote is not None:
            # An offer after an offer is looked at as if the first had been answered.
            before, at, data = self.pending_remote.text.lines, self._at, self.data
        elif self.current_remote is not None:
            before, at, data = self.current_remote.text.lines, self._stable_at, self.stable_data
        else:
            return
        owners = [at(index) for index in range(len(before))]
        living = [
            index == data or (each is not None and not each.stopped)
            for index, each in enumerate(owners)
        ]
        check_places(text, before, living)

    def _stable_at(self, index: int) -> Transceiver | None:
        return next((each for each, (_, place) in self.bound.items() if place == index), None)

    def _continue(self, text: Text) -> None:
        """A generation that is known goes on; one of the past that comes back is a new one."""
        applied = (self.pending_remote, self.current_remote)
        if all(each is None or each.text.ice != text.ice for each in applied):
            self.remotes[text.ice] = Generation()

    def _remote_answer(self, kind: str, text: Text) -> None:
        offer = self.pending_local
        assert offer is not None
        self._check_answer(text, offer.text)
        self._continue(text)
        if not self._in_force(offer.text):
            self.running[offer.text.ice] = text.ice
        self._agreed([mirrored(line.direction) for line in text.lines], text, offer.text)
        taken = {index for index, line in enumerate(text.lines) if not line.rejected}
        self.pending_remote = Held(kind, text, taken)
        if kind == "answer":
            self._complete()

    def _check_answer(self, text: Text, offer: Text) -> None:
        """Sections as offered; and it restarts exactly if the offer does (RFC 9429 5.10)."""
        shape = [(line.kind, line.mid) for line in text.lines]
        if shape != [(line.kind, line.mid) for line in offer.lines]:
            raise Refused("InvalidAccessError")
        if text.kind == "offer" and not all(line.rejected for line in text.lines):
            raise Refused("InvalidAccessError")  # its roles are still open
        if self._in_force(offer) == self._restarts(text):
            raise Refused("InvalidAccessError")

    def _agreed(self, directions: Sequence[str], answer: Text, offer: Text) -> None:
        for index, (line, offered) in enumerate(zip(answer.lines, offer.lines, strict=True)):
            each = self._at(index)
            if each is None:
                continue
            if line.rejected or offered.rejected:
                each.stop()
            else:
                each.current = directions[index]

    def _complete(self) -> None:
        """An answer: what was pending is current."""
        local, remote = self.pending_local, self.pending_remote
        assert local is not None
        assert remote is not None
        self.current_local, self.current_remote = local, remote
        self.pending_local = self.pending_remote = None
        self.last_offer = self.last_answer = None
        self.bit_before = False
        if local.text.ice not in self.slot:
            self.slot = set()
        for index, (ours, theirs) in enumerate(
            zip(local.text.lines, remote.text.lines, strict=True)
        ):
            each = self._at(index)
            if ours.rejected or theirs.rejected:
                remote.taken.discard(index)
                if each is not None:
                    each.stop()
                    self.transceivers.remove(each)
        self.transceivers = [
            each for each in self.transceivers if not each.stopped or each.index is not None
        ]
        for each in self.transceivers:
            each.by_peer = False
        self.bound = {each: (each.mid, each.index) for each in self.transceivers}
        self.stable_data = self.data

    def _rollback(self) -> None:
        """As at the last stable state; the wish to restart stays, and what was created last."""
        local = self.pending_local
        if local is not None:
            self._abandon(local.text)
            self.bit = self.bit or self.bit_before
        self.bit_before = False
        self.pending_local = self.pending_remote = None
        for each in [*self.transceivers]:
            if each.by_peer:
                self._unmake(each)
            else:
                each.mid, each.index = self.bound.get(each, (None, None))
        self.data = self.stable_data

    def _unmake(self, each: Transceiver) -> None:
        each.stop()
        each.mid = each.index = None
        self.transceivers.remove(each)

    def _abandon(self, text: Text) -> None:
        if not self._in_force(text):
            self.staged.discard(text.ice)
            self.running.pop(text.ice, None)

    def _enter(self, state: str) -> None:
        self.state = state
        if state == STABLE:
            self.flag = False
            self.update_flag()

    # addIceCandidate (4.4.2)

    def find_candidate(
        self, port: int | None, mid: str | None, index: int | None, ice: int | None
    ) -> tuple[Generation, list[list[str]]] | None:
        """Whose it is and where it shows; None: of a rejected section. *ice* -1: unknown."""
        if port is not None and mid is None and index is None:
            raise Refused("TypeError")
        self._open()
        latest = self.pending_remote or self.current_remote
        if latest is None:
            raise Refused("InvalidStateError")
        lines = latest.text.lines
        if mid is not None:
            index = next((i for i, line in enumerate(lines) if line.mid == mid), -1)
        if index is not None:
            if not 0 <= index < len(lines):
                raise Refused("OperationError")
            owner = self._at(index)
            if index not in latest.taken or (owner is not None and owner.stopped):
                return None
        ice = latest.text.ice if ice is None else ice
        applied = [each for each in (self.pending_remote, self.current_remote) if each]
        found = [
            each.candidates.setdefault(place, [])
            for each in applied
            for place in each.taken
            if each.text.ice == ice and index in {place, None}
        ]
        if not found:
            raise Refused("OperationError")
        return self.remotes[ice], found

    def add_candidate(
        self, port: int | None, mid: str | None, index: int | None, ice: int | None
    ) -> None:
        """*port* None: no more."""
        place = self.find_candidate(port, mid, index, ice)
        if place is None:
            return
        generation, found = place
        if port is None:
            generation.ended = True
        elif generation.ended or port in generation.ports:
            return
        else:
            generation.ports.append(port)
        said = "end" if port is None else str(port)
        for each in found:
            if said not in each:
                each.append(said)
