"""A peer that says anything at any time: no error of ours, nothing unbounded, and a way back."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.session import Session
from refreeze.signaling import CandidateInit, Envelope, EnvelopeKind
from tests.simulation.accounts import leaks, losses
from tests.simulation.scene import Scene

ENVELOPES = 400
CANDIDATES = (
    "candidate:1 1 udp 2130706431 198.51.100.77 5000 typ host",
    "candidate:1 1 udp 2130706431 224.0.0.1 5000 typ host",
    "candidate:1 1 tcp 1 192.0.2.2 9 typ host tcptype active",
    "candidate:1 1 udp 4294967296 192.0.2.2 70000 typ host",
    "candidate:x",
    "",
)


class HostilePeerTests(SynchronousTestCase):
    """Envelopes that passed the hub: well-formed, authenticated, and mad."""

    def play(self, seed: int) -> None:
        scene = Scene(seed)
        scene.flow(10.0)
        dice = random.Random(seed)
        alice, bob = scene.session("alice"), scene.session("bob")
        assert alice is not None
        assert bob is not None
        for number in range(ENVELOPES):
            alice.envelope_received(self.envelope(dice, number, alice, bob))
            if dice.random() < 0.3:
                scene.advance(dice.random() * 2.0)
            transport = alice.connection.iceTransport.transport
            self.assertLessEqual(len(list(transport.generations())), 4)
            self.assertLessEqual(len(transport.tuples()), 400)
        self.assertEqual(alice.counters["internal-errors"], 0)
        # Bob is himself again: a new life of his daemon is believed, whatever went before.
        scene.kill("bob")
        scene.start("bob")
        scene.flow(120.0)
        scene.program.pause()
        scene.advance(10.0)
        self.assertEqual(losses(scene), [])
        self.assertEqual(scene.end(), [])
        scene.advance(10.0)
        self.assertEqual(leaks(scene), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def envelope(self, dice: random.Random, number: int, alice: Session, bob: Session) -> Envelope:
        """One of any kind, of any life and generation, with more or less of a description."""
        kind = dice.choice(list(EnvelopeKind))
        conversation = bob.conversation
        own = Envelope(
            id=f"mad-{number}",
            from_="bob",
            to="alice",
            session="demo",
            # A greater epoch than the wall clock's would shut the honest bob out until he is told.
            epoch=max(1, conversation.epoch + dice.choice([-1000, -1, 0, 0, 0, 0, 1])),
            generation=max(0, conversation.generation + dice.choice([-1, 0, 0, 1, 1, 2, 50])),
            kind=kind,
        )
        fill: dict[EnvelopeKind, Callable[[], dict[str, Any]]] = {
            EnvelopeKind.OFFER: lambda: {"sdp": self.sdp(dice, alice, bob)},
            EnvelopeKind.ANSWER: lambda: {
                "sdp": self.sdp(dice, alice, bob),
                "offer": self.about(dice, alice),
            },
            EnvelopeKind.CANDIDATE: lambda: {"candidate": self.candidate(dice, bob)},
            EnvelopeKind.END_OF_CANDIDATES: lambda: {"candidate": CandidateInit("", "0")},
            EnvelopeKind.ACK: lambda: {"offer": self.about(dice, alice)},
            EnvelopeKind.STALE: lambda: {
                "offer": self.about(dice, alice),
                "known": alice.conversation.epoch + dice.choice([-1, 0, 1]),
            },
            EnvelopeKind.UNDELIVERABLE: lambda: {
                "offer": self.about(dice, alice),
                "reason": dice.choice(["offline", "malformed", "full"]),
            },
        }
        return evolve(own, **fill.get(kind, dict)())

    def about(self, dice: random.Random, alice: Session) -> str:
        """The id of what alice sent last, or of nothing."""
        latest = alice.conversation.resend()
        return latest[-1].id if latest and dice.random() < 0.5 else "nothing"

    def candidate(self, dice: random.Random, bob: Session) -> CandidateInit:
        """Of some generation, or of none."""
        ufrags = [g.ufrag for g in bob.connection.iceTransport.transport.generations()]
        return CandidateInit(
            dice.choice(CANDIDATES),
            sdp_mid=dice.choice(["0", "0", "7", None]),
            sdp_mline_index=dice.choice([0, None, 9]),
            username_fragment=dice.choice([*ufrags, "else", None]),
        )

    def sdp(self, dice: random.Random, alice: Session, bob: Session) -> str:
        """Somebody's description, with lines lost, doubled, mixed up and bent."""
        description = dice.choice([alice, bob]).connection.localDescription
        lines = description.sdp.split("\r\n") if description is not None else ["v=0"]
        for _ in range(dice.choice([0, 0, 1, 1, 2, 5])):
            at = dice.randrange(len(lines))
            what = dice.randrange(5)
            if what == 0:
                del lines[at]
            elif what == 1:
                lines.insert(at, lines[at])
            elif what == 2:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            elif what == 3:
                lines[at] = lines[at].replace("a=ice-ufrag:", f"a=ice-ufrag:{dice.randrange(9)}x")
            else:
                lines[at] += chr(dice.randrange(32, 1000))
            lines = lines or ["v=0"]
        return "\r\n".join(lines)

    def test_whatever_it_says_we_make_no_error_and_it_can_come_back(self) -> None:
        first = int(os.environ.get("REFREEZE_SEED") or random.SystemRandom().randrange(1 << 30))
        print(f"seeds {first} to {first + 9}", file=sys.stderr)
        for seed in range(first, first + 10):
            self.play(seed)
