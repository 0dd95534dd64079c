"""The table of verdicts, walked through pair by pair: every kind in every standing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.acceptance import TABLE, Standing, Verdict
from refreeze.signaling.conversation import Apply, Conversation, Dropped, Outcome, Reply, Resend
from refreeze.signaling.envelope import CandidateInit, Envelope, EnvelopeKind
from tests.signaling.talk import ALICE_EPOCH, BOB_EPOCH, pair

Want: TypeAlias = list[str]

KINDS = EnvelopeKind
S = Standing


def words(outcomes: list[Outcome]) -> Want:
    """Outcomes as short words, to be compared with the expected ones."""
    found = []
    for outcome in outcomes:
        match outcome:
            case Apply(envelope):
                found.append(f"apply {envelope.kind}")
            case Reply(envelope):
                found.append(f"reply {envelope.kind}")
            case Dropped(reason):
                found.append(f"drop {reason}")
            case Resend():
                found.append("resend")
    return found


def alice_waits() -> Conversation:
    """Alice knows bob's epoch and generation 5, and has an offer "ours" outstanding."""
    alice, _ = pair()
    alice.receive(message(KINDS.OFFER, generation=5, id="base"))
    alice.make_offer("v=0")
    return alice


def message(
    kind: EnvelopeKind,
    *,
    epoch: int = BOB_EPOCH,
    generation: int = 5,
    id: str = "m",
    offer: str | None = None,
) -> Envelope:
    """Something bob says."""
    return Envelope(
        id=id,
        from_="bob",
        to="alice",
        session="demo",
        epoch=epoch,
        generation=generation,
        kind=kind,
        offer=offer,
        sdp="v=0" if kind in (KINDS.OFFER, KINDS.ANSWER) else None,
        candidate=CandidateInit("candidate:1") if kind is KINDS.CANDIDATE else None,
        known=ALICE_EPOCH + 7 if kind is KINDS.STALE else None,
    )


STANDINGS: dict[Standing, Callable[[Envelope], Envelope]] = {
    S.NEW_EPOCH: lambda e: evolve(e, epoch=BOB_EPOCH + 1, generation=1),
    S.OLD_EPOCH: lambda e: evolve(e, epoch=BOB_EPOCH - 1, generation=9),
    S.PAST: lambda e: evolve(e, generation=4),
    S.PRESENT: lambda e: evolve(e, generation=5),
    S.FUTURE: lambda e: evolve(e, generation=6),
}

TOLD = ["reply stale", "drop old-epoch"]
LATE = ["drop old-generation"]
OLD = ["drop old-epoch"]
UNKNOWN = ["drop unknown-epoch"]

WANTED: dict[EnvelopeKind, dict[Standing, Want]] = {
    KINDS.OFFER: {
        S.NEW_EPOCH: ["reply ack", "apply offer"],
        S.OLD_EPOCH: TOLD,
        S.PAST: LATE,
        S.PRESENT: LATE,
        S.FUTURE: ["reply ack", "apply offer"],
    },
    KINDS.RESTART_PLEASE: {
        S.NEW_EPOCH: ["reply ack", "apply restart-please"],
        S.OLD_EPOCH: TOLD,
        S.PAST: LATE,
        S.PRESENT: LATE,
        S.FUTURE: ["reply ack", "apply restart-please"],
    },
    KINDS.ANSWER: {
        S.NEW_EPOCH: ["apply answer"],
        S.OLD_EPOCH: TOLD,
        S.PAST: LATE,
        S.PRESENT: LATE,
        S.FUTURE: ["apply answer"],
    },
    KINDS.CANDIDATE: {
        S.NEW_EPOCH: UNKNOWN,
        S.OLD_EPOCH: OLD,
        S.PAST: LATE,
        S.PRESENT: ["apply candidate"],
        S.FUTURE: [],
    },
    KINDS.END_OF_CANDIDATES: {
        S.NEW_EPOCH: UNKNOWN,
        S.OLD_EPOCH: OLD,
        S.PAST: LATE,
        S.PRESENT: ["apply end-of-candidates"],
        S.FUTURE: [],
    },
    KINDS.BYE: {
        S.NEW_EPOCH: UNKNOWN,
        S.OLD_EPOCH: OLD,
        S.PAST: LATE,
        S.PRESENT: ["apply bye"],
        S.FUTURE: ["apply bye"],
    },
    KINDS.ACK: {
        S.NEW_EPOCH: [],
        S.OLD_EPOCH: OLD,
        S.PAST: [],
        S.PRESENT: [],
        S.FUTURE: [],
    },
    KINDS.STALE: {s: ["resend"] for s in S},
    KINDS.UNDELIVERABLE: {s: ["apply undeliverable"] for s in S},
}
"""With every message that is about an offer naming alice's outstanding one."""

NOT_OURS = ["drop not-current-offer"]

WANTED_OF_ANOTHER_OFFER: dict[EnvelopeKind, dict[Standing, Want]] = {
    KINDS.ANSWER: {**WANTED[KINDS.ANSWER], S.NEW_EPOCH: NOT_OURS, S.FUTURE: NOT_OURS},
    KINDS.ACK: {**dict.fromkeys(S, NOT_OURS), S.OLD_EPOCH: OLD},
    KINDS.UNDELIVERABLE: dict.fromkeys(S, NOT_OURS),
}


class TableTests(SynchronousTestCase):
    def test_the_table_has_every_pair(self) -> None:
        self.assertEqual(set(TABLE), set(EnvelopeKind))
        for row in TABLE.values():
            self.assertEqual(set(row), set(Standing))
        self.assertEqual({v for row in TABLE.values() for v in row.values()}, set(Verdict))

    def test_every_kind_in_every_standing_about_our_offer(self) -> None:
        for kind, row in WANTED.items():
            for standing, want in row.items():
                alice = alice_waits()
                envelope = STANDINGS[standing](message(kind, offer=alice.offer_id))
                self.assertIs(alice.standing(envelope), standing)
                self.assertEqual(words(alice.receive(envelope)), want, (kind, standing))

    def test_every_kind_in_every_standing_about_an_offer_that_is_not_ours(self) -> None:
        for kind, row in WANTED_OF_ANOTHER_OFFER.items():
            for standing, want in row.items():
                alice = alice_waits()
                envelope = STANDINGS[standing](message(kind, offer="another"))
                self.assertEqual(words(alice.receive(envelope)), want, (kind, standing))
                self.assertEqual(alice.peer_epoch, BOB_EPOCH, (kind, standing))

    def test_every_kind_before_anything_is_known_of_the_peer(self) -> None:
        for kind in EnvelopeKind:
            alice, _ = pair()
            want = {
                KINDS.OFFER: ["reply ack", "apply offer"],
                KINDS.RESTART_PLEASE: ["reply ack", "apply restart-please"],
                KINDS.STALE: ["resend"],
                KINDS.ANSWER: NOT_OURS,
                KINDS.ACK: NOT_OURS,
                KINDS.UNDELIVERABLE: NOT_OURS,
            }.get(kind, UNKNOWN)
            self.assertEqual(words(alice.receive(message(kind, offer="x"))), want, kind)

    def test_every_message_is_counted_once(self) -> None:
        for kind in EnvelopeKind:
            for move in STANDINGS.values():
                alice = alice_waits()
                before = sum(alice.counters.values()) - alice.counters["replied"]
                outcomes = alice.receive(move(message(kind, offer=alice.offer_id)))
                after = sum(alice.counters.values()) - alice.counters["replied"]
                raised = outcomes == [Resend()]
                self.assertEqual(after - before, 0 if raised else 1, (kind, outcomes))

    def test_nothing_is_replied_to_a_reply(self) -> None:
        for kind in (KINDS.ACK, KINDS.STALE, KINDS.UNDELIVERABLE):
            for move in STANDINGS.values():
                alice = alice_waits()
                outcomes = alice.receive(move(message(kind, offer=alice.offer_id)))
                self.assertFalse([o for o in outcomes if isinstance(o, Reply)])
