"""Two conversations that talk to each other, by hand."""

from __future__ import annotations

from itertools import count

from refreeze.signaling.conversation import Apply, Conversation, Outcome, Reply, Resend
from refreeze.signaling.envelope import CandidateInit, Envelope

ALICE_EPOCH = 1000
BOB_EPOCH = 2000


def life(me: str, *, epoch: int, offerer: bool) -> Conversation:
    """One side of session "demo" between alice and bob, with ids of its own."""
    numbers = count(1)
    return Conversation(
        me=me,
        peer={"alice": "bob", "bob": "alice"}[me],
        session="demo",
        epoch=epoch,
        offerer=offerer,
        new_id=lambda: f"{me}-{epoch}-{next(numbers)}",
    )


def pair() -> tuple[Conversation, Conversation]:
    """Alice is the offerer."""
    return (
        life("alice", epoch=ALICE_EPOCH, offerer=True),
        life("bob", epoch=BOB_EPOCH, offerer=False),
    )


def sdp(ufrag: str) -> str:
    return f"v=0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{'p' * 24}\r\n"


def candidate(ufrag: str | None) -> CandidateInit:
    return CandidateInit("candidate:1 1 udp 1 192.0.2.1 9 typ host", "0", 0, ufrag)


def applied(outcomes: list[Outcome]) -> list[Envelope]:
    return [outcome.envelope for outcome in outcomes if isinstance(outcome, Apply)]


def replies(outcomes: list[Outcome]) -> list[Envelope]:
    return [outcome.envelope for outcome in outcomes if isinstance(outcome, Reply)]


def carry(envelope: Envelope | None, to: Conversation, back: Conversation) -> list[Envelope]:
    """Deliver *envelope*, then every reply and resending it leads to; what *to* applied."""
    assert envelope is not None
    found: list[Envelope] = []
    waiting = [(envelope, to, back)]
    while waiting:
        message, there, here = waiting.pop(0)
        outcomes = there.receive(message)
        if there is to:
            found += applied(outcomes)
        waiting += [(reply, here, there) for reply in replies(outcomes)]
        if Resend() in outcomes:
            waiting += [(again, here, there) for again in there.resend()]
    return found


def round_of(offerer: Conversation, answerer: Conversation, name: str) -> None:
    """A whole round: offer, answer, no candidates."""
    offer = offerer.make_offer(sdp(f"{name}A"))
    assert carry(offer, answerer, offerer) == [offer]
    answer = answerer.make_answer(sdp(f"{name}B"), offer.id)
    assert answer is not None
    assert carry(answer, offerer, answerer) == [answer]
