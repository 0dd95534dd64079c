"""The event stream: what a client is told, and how one is dropped that does not listen."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling import EnvelopeKind
from refreeze.signaling.http.carrier import LINGER
from refreeze.signaling.http.stream import MAX_UNREAD
from tests.signaling.http.kit import CANDIDATE, SESSION, Connection, Kit, fragment, sdp

GONE = ("browser", False)
THERE = ("browser", True)


def init(line: str, ufrag: str) -> dict[str, object]:
    """As W3C has it."""
    return {
        "candidate": line,
        "sdpMid": "0",
        "sdpMLineIndex": None,
        "usernameFragment": ufrag,
    }


class StreamTests(SynchronousTestCase):
    """One client, one session by script."""

    def setUp(self) -> None:
        self.kit = Kit()
        self.place, self.etag = self.kit.begin()

    def stream(self) -> Connection:
        """One that is open."""
        return self.kit.client.stream(self.place)

    def test_what_it_is(self) -> None:
        stream = self.stream()
        assert stream.head is not None
        status, headers = stream.head
        self.assertEqual((status, headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(headers["cache-control"], "no-store")

    def test_offers_candidates_and_wishes_are_told_as_they_come(self) -> None:
        stream, script = self.stream(), self.kit.script
        offer = script.offer(sdp("daemon1"))
        script.trickle(CANDIDATE)
        script.trickle("")
        script.say(EnvelopeKind.RESTART_PLEASE, reason="consent-lost")
        self.kit.advance(0.1)
        self.assertEqual(
            stream.events,
            [
                ("offer", {"id": offer.id, "sdp": offer.sdp}),
                ("candidate", init(CANDIDATE, "daemon1")),
                ("candidate", init("", "daemon1")),
                ("restart-please", {"reason": "consent-lost"}),
            ],
        )

    def test_what_the_stream_took_is_acked_towards_the_session(self) -> None:
        script = self.kit.script
        unheard = script.offer()
        self.kit.advance(0.1)
        self.assertEqual(script.of(EnvelopeKind.ACK), [])
        self.stream()
        self.kit.advance(0.1)
        self.assertEqual([ack.offer for ack in script.of(EnvelopeKind.ACK)], [unheard.id])
        please = script.say(EnvelopeKind.RESTART_PLEASE, reason="x")
        self.assertEqual(len(script.of(EnvelopeKind.ACK)), 1)  # not inside the session's call
        self.kit.advance(0.1)
        self.assertEqual(script.of(EnvelopeKind.ACK)[-1].offer, please.id)

    def test_what_the_session_says_again_is_acked_again_and_told_once(self) -> None:
        stream, script = self.stream(), self.kit.script
        for envelope in (script.offer(), script.trickle(), script.trickle("")):
            for _ in range(3):
                script.carrier.send(envelope)
        please = script.say(EnvelopeKind.RESTART_PLEASE, reason="x")
        script.carrier.send(please)
        self.kit.advance(0.1)
        kinds = [kind for kind, _ in stream.events]
        self.assertEqual(kinds, ["offer", "candidate", "candidate", "restart-please"])
        self.assertEqual(len(script.of(EnvelopeKind.ACK)), 4 + 2)

    def test_a_new_stream_is_told_what_is_outstanding(self) -> None:
        script = self.kit.script
        script.offer()
        script.trickle(ufrag="old")
        offer = script.offer()
        script.trickle(ufrag="new")
        wanted = [
            ("offer", {"id": offer.id, "sdp": offer.sdp}),
            ("candidate", init(CANDIDATE, "new")),
        ]
        for _ in range(2):
            stream = self.stream()
            self.kit.advance(0.1)
            self.assertEqual(stream.events, wanted)

    def test_what_is_answered_is_told_to_nobody_again(self) -> None:
        offer = self.kit.script.offer()
        self.assertEqual(
            self.kit.client.say(self.place, offer.id, sdp("client2", "active")).status, 200
        )
        self.kit.script.trickle(ufrag="late")
        stream = self.stream()
        self.kit.advance(0.1)
        self.assertEqual(stream.events, [("candidate", init(CANDIDATE, "late"))])

    def test_candidates_of_the_answer_to_a_post_wait_for_the_stream(self) -> None:
        for port in range(300):
            self.kit.script.trickle(CANDIDATE.replace("5000", str(port)))
        stream = self.stream()
        self.kit.advance(1.0)
        self.assertEqual(len(stream.events), 128)

    def test_another_stream_takes_the_place_of_the_first(self) -> None:
        first = self.stream()
        second = self.stream()
        self.kit.advance(0.1)
        self.assertEqual(first.events, [("gone", {"reason": "another-stream"})])
        self.kit.script.offer()
        self.kit.advance(0.1)
        self.assertEqual([kind for kind, _ in second.events], ["offer"])
        self.assertNotIn(GONE, self.kit.script.told[2:])

    def test_it_ends_with_the_resource_and_says_why(self) -> None:
        for end, reason in (
            (lambda: self.kit.client.ask("DELETE", self.place), "deleted"),
            (lambda: self.kit.script.say(EnvelopeKind.BYE, reason="session-gone"), "session-gone"),
            (self.kit.script.carrier.detach, "session-closed"),
        ):
            stream = self.stream()
            end()
            self.kit.advance(0.1)
            self.assertEqual(stream.events, [("gone", {"reason": reason})])
            if reason != "session-closed":
                self.place, _ = self.kit.begin()
        self.kit.advance(LINGER)
        self.assertEqual([call.func for call in self.kit.reactor.getDelayedCalls()], [])

    def test_a_comment_every_fifteen_seconds_keeps_it_alive(self) -> None:
        stream = self.stream()
        self.kit.advance(300.0)
        self.assertFalse(stream.lost)
        self.assertEqual(stream.data.count(b":\n\n"), 21)
        self.assertEqual(stream.events, [])
        self.assertNotIn(GONE, self.kit.script.told[2:])

    def test_a_client_is_there_while_its_stream_is_open_and_a_while_longer(self) -> None:
        stream = self.stream()
        self.kit.advance(100.0)
        self.assertEqual(self.kit.script.told[-1], THERE)
        assert stream.transport is not None
        stream.transport.loseConnection()
        self.kit.advance(LINGER - 1.0)
        self.assertEqual(self.kit.script.told[-1], THERE)
        self.kit.client.patch(self.place, fragment(), self.etag)
        self.kit.advance(LINGER - 1.0)
        self.assertEqual(self.kit.script.told[-1], THERE)
        self.kit.advance(2.0)
        self.assertEqual(self.kit.script.told[-1], GONE)
        self.stream()
        self.kit.advance(0.1)
        self.assertEqual(self.kit.script.told[-1], THERE)

    def test_a_client_that_does_not_read_is_closed_and_not_waited_for(self) -> None:
        stream = self.stream()
        assert stream.transport is not None
        stream.transport.pauseProducing()
        long = sdp("daemon1", "actpass", *(f"a=x{n}:{'y' * 900}" for n in range(20)))
        sent = 0
        while self.kit.carrier._stream is not None and sent < 100:
            self.kit.script.offer(long)
            self.kit.advance(0.01)
            sent += 1
        self.assertIsNone(self.kit.carrier._stream)
        self.assertLess(sent * len(long), MAX_UNREAD + 4 * 64 * 1024)
        self.assertGreater(sent * len(long), MAX_UNREAD)

    def test_a_client_that_stopped_reading_is_found_by_the_comments_too(self) -> None:
        stream = self.stream()
        assert stream.transport is not None
        stream.transport.pauseProducing()
        for _ in range(12):
            self.kit.script.offer(sdp("d", "actpass", *(f"a=x{n}:{'y' * 900}" for n in range(20))))
        self.kit.advance(1.0)
        self.assertIsNotNone(self.kit.carrier._stream)
        self.kit.advance(60.0)
        self.assertIsNone(self.kit.carrier._stream)
        self.assertEqual(self.kit.site.connections, 0)

    def test_a_slow_client_that_reads_keeps_its_stream(self) -> None:
        stream = self.stream()
        assert stream.transport is not None
        long = sdp("d", "actpass", *(f"a=x{n}:{'y' * 900}" for n in range(20)))
        for _ in range(6):
            stream.transport.pauseProducing()
            for _ in range(12):
                self.kit.script.offer(long)
            self.kit.advance(0.5)
            stream.transport.resumeProducing()
            self.kit.advance(0.5)
        self.assertGreater(72 * len(long), 4 * MAX_UNREAD)
        self.assertIsNotNone(self.kit.carrier._stream)
        self.assertEqual(len(stream.events), 72)

    def test_when_all_ends_a_client_that_does_not_read_is_waited_for_a_second(self) -> None:
        stream = self.stream()
        assert stream.transport is not None
        stream.transport.pauseProducing()
        long = sdp("d", "actpass", *(f"a=x{n}:{'y' * 900}" for n in range(20)))
        for _ in range(12):
            self.kit.script.offer(long)
        self.kit.advance(0.1)
        closed: list[object] = []
        self.kit.site.close().addCallback(closed.append)
        self.kit.advance(0.9)
        self.assertEqual((closed, self.kit.site.connections), ([], 1))
        self.kit.advance(0.2)
        self.assertEqual((closed, self.kit.site.connections), ([None], 0))

    def test_another_resources_stream_is_404(self) -> None:
        reply = self.kit.client.ask("GET", f"/sessions/{SESSION}/0/events")
        self.assertEqual(reply.problem["status"], 404)
