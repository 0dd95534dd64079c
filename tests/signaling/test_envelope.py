"""The envelope: what is read, what is refused, and that no secret shows."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.envelope import (
    MAX_EPOCH,
    MAX_LINE,
    CandidateInit,
    Envelope,
    EnvelopeError,
    EnvelopeKind,
    format_envelope,
    load_object,
    parse_envelope,
)

OFFER: dict[str, Any] = {
    "v": 1,
    "id": "o1",
    "from": "alice",
    "to": "bob",
    "session": "demo",
    "epoch": 1700000000000,
    "generation": 3,
    "kind": "offer",
    "sdp": "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:hushhushhushhushhushhush\r\n",
}
CANDIDATE = {
    "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
    "usernameFragment": "abcd",
}
EXTRAS: dict[str, dict[str, Any]] = {
    "offer": {"sdp": "v=0"},
    "answer": {"sdp": "v=0", "offer": "o1"},
    "candidate": {"candidate": CANDIDATE},
    "end-of-candidates": {"candidate": {"candidate": "", "usernameFragment": "abcd"}},
    "restart-please": {"reason": "core switch replaced"},
    "bye": {},
    "ack": {"offer": "o1"},
    "stale": {"known": 9, "offer": "o1"},
    "undeliverable": {"offer": "o1", "reason": "offline"},
}


def line(**changes: Any) -> bytes:
    """The offer as a line, with members changed; None removes one."""
    members = {name: value for name, value in {**OFFER, **changes}.items() if value is not None}
    return json.dumps(members).encode()


def of_kind(kind: str, **changes: Any) -> bytes:
    return line(kind=kind, **{"sdp": None, **EXTRAS[kind], **changes})


class ReadingTests(SynchronousTestCase):
    def test_every_kind_survives_the_round_trip(self) -> None:
        for kind in EnvelopeKind:
            envelope = parse_envelope(of_kind(kind))
            self.assertIs(envelope.kind, kind)
            self.assertEqual(parse_envelope(format_envelope(envelope)), envelope)

    def test_the_formatted_envelope_is_one_line(self) -> None:
        formatted = format_envelope(parse_envelope(line()))
        self.assertTrue(formatted.endswith(b"\n"))
        self.assertEqual(formatted.count(b"\n"), 1)

    def test_unknown_members_are_dropped(self) -> None:
        self.assertEqual(parse_envelope(line(colour="red")), parse_envelope(line()))

    def test_members_of_another_kind_are_dropped(self) -> None:
        envelope = parse_envelope(of_kind("bye", sdp="v=0", offer="o1", known=3))
        self.assertEqual((envelope.sdp, envelope.offer, envelope.known), (None, None, None))

    def test_a_candidate_is_read_as_w3c_writes_it(self) -> None:
        self.assertEqual(
            parse_envelope(of_kind("candidate")).candidate,
            CandidateInit(CANDIDATE["candidate"], "0", 0, "abcd"),  # type: ignore[arg-type]
        )

    def test_the_hub_does_not_believe_from(self) -> None:
        self.assertEqual(parse_envelope(line(), sender="mallory").from_, "mallory")
        self.assertEqual(parse_envelope(line(**{"from": None}), sender="carol").from_, "carol")

    def test_a_string_is_read_like_bytes(self) -> None:
        self.assertEqual(parse_envelope(line().decode() + "\r\n"), parse_envelope(line()))

    def test_the_repr_hides_the_sdp(self) -> None:
        envelope = parse_envelope(line())
        self.assertNotIn("hush", repr(envelope))
        self.assertIn("characters", repr(envelope))
        self.assertNotIn("hush", str([envelope]))


class RefusalTests(SynchronousTestCase):
    def refused(self, data: bytes, about: str) -> None:
        with self.assertRaises(EnvelopeError) as caught:
            parse_envelope(data)
        self.assertTrue(caught.exception.reason.startswith(about), caught.exception.reason)
        self.assertNotIn("\n", caught.exception.reason)
        self.assertNotIn("hush", caught.exception.reason)

    def test_wrong_members_are_named(self) -> None:
        wrong: list[tuple[str, Any]] = [
            ("v", 2),
            ("v", True),
            ("v", "1"),
            ("id", ""),
            ("id", "a b"),
            ("id", "x" * 65),
            ("id", 7),
            ("from", None),
            ("from", "-"),
            ("to", "bob\n"),
            ("to", ["bob"]),
            ("session", None),
            ("session", "../x"),
            ("epoch", 0),
            ("epoch", MAX_EPOCH + 1),
            ("epoch", 1.0),
            ("epoch", True),
            ("generation", -1),
            ("generation", 2**31),
            ("kind", "restart"),
            ("kind", None),
            ("kind", {}),
            ("sdp", None),
            ("sdp", 1),
            ("sdp", "a\0b"),
            ("sdp", "\ud800"),
        ]
        for name, value in wrong:
            self.refused(line(**{name: value}), name)

    def test_what_a_kind_needs_must_be_there(self) -> None:
        for kind, extras in EXTRAS.items():
            for name in extras:
                if (kind, name) in {("restart-please", "reason")}:
                    continue
                self.refused(of_kind(kind, **{name: None}), name)

    def test_wrong_candidates(self) -> None:
        for value in (
            "candidate:1",
            {},
            {"candidate": ""},
            {"candidate": "x" * 1025},
            {"candidate": "a\r\nb"},
            {**CANDIDATE, "sdpMLineIndex": -1},
            {**CANDIDATE, "sdpMLineIndex": True},
            {**CANDIDATE, "sdpMid": 0},
            {**CANDIDATE, "usernameFragment": "x\n"},
        ):
            with self.assertRaises(EnvelopeError):
                parse_envelope(of_kind("candidate", candidate=value))

    def test_an_end_of_candidates_has_no_candidate(self) -> None:
        self.refused(of_kind("end-of-candidates", candidate=CANDIDATE), "candidate")

    def test_a_reason_is_one_short_printable_line(self) -> None:
        self.refused(of_kind("bye", reason="a\nb"), "reason")
        self.refused(of_kind("bye", reason="x" * 201), "reason")

    def test_what_is_no_json_object(self) -> None:
        for data in (b"", b"[]", b"1", b"{", b"\xff", b'{"v":NaN}', b"null", b'{"a":1}x'):
            with self.assertRaises(EnvelopeError):
                parse_envelope(data)

    def test_deep_nesting_and_huge_numbers_are_only_refused(self) -> None:
        for data in (b"[" * 60000, b'{"a":' * 12000, b'{"v":' + b"9" * 60000 + b"}"):
            with self.assertRaises(EnvelopeError):
                parse_envelope(data)

    def test_a_member_must_not_appear_twice(self) -> None:
        self.refused(line()[:-1] + b',"to":"carol"}', "a member")

    def test_too_long_a_line_is_neither_read_nor_written(self) -> None:
        self.refused(line(sdp="x" * MAX_LINE), "longer")
        envelope = evolve(parse_envelope(line()), sdp="x" * MAX_LINE)
        with self.assertRaises(EnvelopeError):
            format_envelope(envelope)

    def test_random_damage_gives_an_envelope_or_an_envelope_error(self) -> None:
        seed = 20231115
        print("seed", seed)
        random = Random(seed)
        for kind in EXTRAS:
            whole = of_kind(kind)
            for _ in range(300):
                data = bytearray(whole)
                for _ in range(random.randint(1, 4)):
                    data[random.randrange(len(data))] = random.getrandbits(8)
                try:
                    envelope = parse_envelope(bytes(data[: random.randint(1, len(data))]))
                except EnvelopeError:
                    continue
                self.assertIsInstance(envelope, Envelope)

    def test_load_object_keeps_what_envelopes_do_not_know(self) -> None:
        self.assertEqual(load_object(b'{"v":1,"ping":7}'), {"v": 1, "ping": 7})
