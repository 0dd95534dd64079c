"""RTCDtlsTransport: when a handshake begins, what the door does, and how it all ends."""

from __future__ import annotations

from twisted.logger import capturedLogs

from refreeze.peer.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsContext,
    DtlsFailed,
    problems,
)
from refreeze.peer.dtls.association import PAUSE
from refreeze.peer.dtls.records import ALERT, APPLICATION, HEADER, MAX_PLAINTEXT
from tests.peer.dtls.paths import FAR, Speaker, Talk, TransportCase
from tests.peer.dtls.sealed import Sealer
from tests.peer.dtls.wire import (
    CLIENT,
    DELAY,
    SERVER,
    context,
    fingerprints,
    foreign_fingerprint,
)

RTT = 2 * DELAY
SCTP_INIT = (
    bytes.fromhex("138813880000000000000000")  # ports 5000, no tag, and a checksum nobody looks at
    + bytes.fromhex("01000014deadbeef0010000000010001aabbccdd")
)


class BeginTests(TransportCase):
    """From the answer to the first payload."""

    def test_a_path_and_an_answer_and_two_round_trips(self) -> None:
        self.talk.open()
        self.talk.agree()
        took = self.clock.run_until(lambda: all(each.told for each in self.talk.speakers), 5.0)
        self.assertAlmostEqual(took, 2 * RTT)
        self.flows()

    def test_the_answer_may_be_there_before_the_path(self) -> None:
        self.talk.agree()
        self.clock.advance(60.0)
        self.assertEqual(self.client.path.sent, [])
        self.talk.open()
        took = self.clock.run_until(lambda: all(each.told for each in self.talk.speakers), 5.0)
        self.assertAlmostEqual(took, 2 * RTT)

    def test_a_server_whose_path_comes_later_loses_nothing(self) -> None:
        """What arrives proves that the peer is there; its flight waits for the path."""
        self.talk.agree()
        self.client.path.open()
        self.clock.advance(0.3)
        self.assertEqual(self.server.path.sent, [])
        self.server.path.open()
        took = self.clock.run_until(lambda: all(each.told for each in self.talk.speakers), 5.0)
        self.assertLess(took, 2 * RTT, "the server's flight is sent when there is a path")

    def test_a_flight_that_an_old_pair_lost_is_sent_again_at_once_on_the_new_one(self) -> None:
        for talk in (self.talk, Talk(self.clock)):
            lossy = talk.client if talk is self.talk else talk.server
            lossy.path.lost = True
            talk.agree()
            talk.open()
            self.clock.advance(0.5)
            lossy.path.lost = False
            lossy.path.open()
            took = self.clock.run_until(lambda t=talk: all(each.told for each in t.speakers), 5.0)
            self.assertLess(took, 2 * RTT + DELAY, talk.story())

    def test_states_are_words_of_w3c_and_change_in_tasks(self) -> None:
        self.assertEqual(self.client.transport.state, "new")
        self.talk.agree()
        self.assertEqual(self.client.transport.state, "new", "no task has run yet")
        self.clock.advance(0)
        self.assertEqual(self.client.transport.state, "connecting")
        self.talk.open()
        self.clock.advance(1.0)
        for speaker in self.talk.speakers:
            self.assertEqual(speaker.fired, ["connecting", "connected"])

    def test_who_composed_it_is_told_at_once_what_was_agreed(self) -> None:
        self.talk.connect()
        for speaker in self.talk.speakers:
            (event,) = speaker.told
            self.assertIsInstance(event, DtlsConnected)
            assert isinstance(event, DtlsConnected)
            self.assertEqual(event.association, 1)
            self.assertIn("DTLSv1.", event.protocol)
            self.assertIn("ECDHE", event.cipher)

    def test_another_route_of_a_connected_association_is_no_handshake(self) -> None:
        """An ICE restart keeps the association (rule 30)."""
        self.talk.connect()
        sent = [len(each.path.sent) for each in self.talk.speakers]
        self.talk.open()
        self.clock.advance(5.0)
        self.assertEqual([len(each.path.sent) for each in self.talk.speakers], sent)
        self.flows()
        self.assertEqual([len(each.told) for each in self.talk.speakers], [1, 1])


class DoorTests(TransportCase):
    """Everything that is offered goes, or is dropped with a reason."""

    def test_before_there_is_an_association(self) -> None:
        self.assertIsNone(self.client.transport.max_payload)
        self.assertEqual(self.client.send(b"x", b"y"), 0)
        self.talk.agree()
        self.talk.open()
        self.clock.advance(DELAY)
        self.assertIsNone(self.client.transport.max_payload)
        self.assertEqual(self.client.send(b"z"), 0)
        self.assertEqual(self.client.counters.dropped, {"no-association": 3})
        self.balanced()

    def test_what_the_path_takes_less_the_overhead(self) -> None:
        self.talk.connect()
        limit = self.client.transport.max_payload
        assert limit is not None
        self.assertLess(limit, FAR - HEADER - 16)
        self.assertEqual(self.client.send(bytes(limit), bytes(limit + 1)), 1)
        self.clock.advance(1.0)
        self.assertEqual(len(self.client.path.sent[-1]), FAR)
        self.assertEqual([len(each) for each in self.server.received], [limit])
        self.assertEqual(self.client.counters.dropped, {"too-long": 1})
        self.balanced()

    def test_no_more_than_a_record_holds(self) -> None:
        self.talk.connect()
        for speaker in self.talk.speakers:
            speaker.path.open(65507)
        self.assertEqual(self.client.transport.max_payload, MAX_PLAINTEXT)
        payloads = [bytes([number]) * (MAX_PLAINTEXT - number) for number in range(4)]
        self.assertEqual(self.client.send(*payloads), 4)
        self.clock.advance(1.0)
        self.assertEqual(self.server.received, payloads)

    def test_a_batch_of_nothing_that_fits_ends_nothing(self) -> None:
        self.talk.connect()
        self.assertEqual(self.client.send(bytes(FAR), b"", bytes(20000)), 0)
        self.assertEqual(self.client.send(), 0)
        self.assertEqual(self.client.counters.dropped, {"too-long": 2, "empty": 1})
        self.flows()
        self.balanced()

    def test_batches_stay_batches_of_any_length(self) -> None:
        self.talk.connect()
        for count, size in ((1, 1), (2, 1400), (64, 1200), (200, 3), (64, 1400)):
            payloads = [bytes([number]) * size for number in range(count)]
            self.assertEqual(self.client.send(*payloads), count)
            self.clock.advance(1.0)
            self.assertEqual(self.server.received[-count:], payloads)
            self.assertEqual(self.server.batches[-1], count)
        self.assertEqual(self.server.counters.received, 331)
        self.assertEqual(self.server.counters.received_dropped, {})

    def test_without_a_path(self) -> None:
        self.talk.connect()
        self.client.path.max_payload = None
        self.assertIsNone(self.client.transport.max_payload)
        self.assertEqual(self.client.send(b"x"), 0)
        self.assertEqual(self.client.counters.dropped, {"no-path": 1})
        self.balanced()

    def test_what_the_path_refuses(self) -> None:
        self.talk.connect()
        self.client.path.refuses = True
        self.assertEqual(self.client.send(b"x", b"y"), 0)
        self.assertEqual(self.client.counters.dropped, {"path": 2})
        self.balanced()

    def test_nonsense_is_dropped_and_counted(self) -> None:
        self.talk.connect()
        record = self.client.association.send([b"x"])[0]
        spoilt = record[:-1] + bytes([record[-1] ^ 1])
        self.server.path.take([spoilt, b"plain", b"", record, record])
        self.assertEqual(self.server.received, [b"x"])
        self.assertEqual(
            self.server.counters.received_dropped, {"undecryptable": 2, "malformed": 2}
        )
        self.flows()

    def test_before_an_association_whatever_comes_is_counted(self) -> None:
        self.server.path.take([b"\x16\xfe\xff early"])
        self.assertEqual(self.server.counters.received_dropped, {"no-association": 1})

    def test_nobody_to_hand_it_to(self) -> None:
        self.talk.connect()
        self.server.transport._receiver = None
        self.client.send(b"x")
        self.clock.advance(1.0)
        self.assertEqual(self.server.counters.received_dropped, {"no-receiver": 1})


class ForeignTests(TransportCase):
    """Peers whose payload is not ours."""

    def foreign(self) -> None:
        """Both take the other for a browser."""
        self.talk.agree(payload=None)
        self.talk.open()
        self.clock.advance(1.0)

    def sends(self, speaker: Speaker, *payloads: bytes) -> None:
        """As the peer's other library would."""
        usable = speaker.association
        speaker.path.send(usable.send(payloads))
        self.clock.advance(1.0)

    def test_sctp_is_decrypted_counted_and_dropped_with_one_line(self) -> None:
        self.foreign()
        with capturedLogs() as logs:
            self.sends(self.client, SCTP_INIT, SCTP_INIT)
            self.sends(self.client, SCTP_INIT)
        self.assertEqual(self.server.counters.received_dropped, {"sctp": 3})
        self.assertEqual(self.server.received, [])
        self.assertEqual(len([each for each in logs if "peer sends" in str(each)]), 1)

    def test_what_is_no_sctp_either_has_another_name(self) -> None:
        self.foreign()
        self.sends(self.client, b"x", bytes(12), SCTP_INIT[:14], SCTP_INIT[:15] + b"\xff" * 20)
        self.assertEqual(self.server.counters.received_dropped, {"not-datagrams": 4})

    def test_nothing_is_sent_to_who_would_not_understand_it(self) -> None:
        self.foreign()
        self.assertEqual(self.client.send(b"x"), 0)
        self.assertEqual(self.client.counters.dropped, {"not-datagrams": 1})
        self.balanced()

    def test_a_peer_that_does_not_protect_is_refused(self) -> None:
        self.talk.agree(payload="none")
        self.talk.open()
        self.clock.advance(1.0)
        (event,) = self.client.told
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.REFUSED)
        self.assertFalse(event.problem.heals)
        self.assertEqual(self.client.path.sent, [])
        self.assertTrue(self.client.transport.failed)


class EndTests(TransportCase):
    """Failures, closes, and what may come after."""

    sealer: Sealer | None = None

    def test_another_certificate_fails_with_an_error_and_the_peer_hears_it(self) -> None:
        self.talk.agree(expected=(foreign_fingerprint(),))
        self.talk.open()
        self.clock.advance(1.0)
        (event,) = self.client.told
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.FINGERPRINT)
        self.assertFalse(event.problem.heals)
        self.assertEqual(self.client.fired, ["connecting", "error in failed", "failed"])
        (other,) = self.server.told
        assert isinstance(other, DtlsFailed)
        self.assertEqual(other.problem.reason, problems.ALERT)
        self.assertEqual(self.client.transport.getRemoteCertificates(), [])
        self.assertTrue(self.client.transport.over)

    def test_silence_fails_after_thirty_seconds_and_may_heal(self) -> None:
        self.client.path.lost = True
        self.talk.connect()
        self.clock.advance(28.0)
        self.assertEqual(self.client.told, [])
        self.clock.advance(1.5)
        (event,) = self.client.told
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.TIMEOUT)
        self.assertTrue(event.problem.heals)
        self.assertIsNone(self.client.transport.next_deadline())

    def test_while_ice_has_no_path_nobody_is_late(self) -> None:
        self.client.path.lost = True
        self.talk.connect()
        for speaker in self.talk.speakers:
            speaker.path.state = "disconnected"
        sent = len(self.client.path.sent)
        self.clock.advance(3600.0)
        self.assertEqual(self.client.told, [])
        self.assertEqual(len(self.client.path.sent), sent, "there is nowhere to send it to")
        self.client.path.lost = False
        for speaker in self.talk.speakers:
            speaker.path.state = "connected"
        self.clock.advance(PAUSE + 3 * RTT)
        self.flows()

    def test_a_path_that_comes_back_on_another_pair_is_used_at_once(self) -> None:
        self.client.path.lost = True
        self.talk.connect()
        for speaker in self.talk.speakers:
            speaker.path.state = "failed"
        self.clock.advance(100.0)
        self.client.path.lost = False
        for speaker in self.talk.speakers:
            speaker.path.state = "connected"
        self.talk.open()
        self.clock.advance(3 * RTT)
        self.flows()

    def test_after_a_failure_the_next_association_is_as_good_as_the_first(self) -> None:
        self.talk.agree(expected=(foreign_fingerprint(),))
        self.talk.open()
        self.clock.advance(1.0)
        self.talk.agree()
        self.assertFalse(self.client.transport.over)
        self.clock.advance(1.0)
        self.assertEqual(self.client.fired[-2:], ["connecting", "connected"])
        self.flows()

    def test_stop_says_close_notify_and_is_silent_ever_after(self) -> None:
        self.talk.connect()
        self.flows()
        self.client.transport.stop()
        self.client.transport.stop()
        self.clock.advance(1.0)
        self.assertEqual(self.server.told[-1], DtlsClosed())
        self.assertEqual(self.server.transport.state, "closed")
        self.assertTrue(self.server.transport.over)
        self.assertFalse(self.server.transport.failed)
        self.assertEqual(self.client.transport.state, "closed")
        sent = len(self.client.path.sent)
        self.assertEqual(self.client.send(b"x"), 0)
        self.talk.agree()
        self.talk.open()
        self.clock.advance(60.0)
        self.assertEqual(len(self.client.path.sent), sent)
        self.assertIsNone(self.client.transport.next_deadline())
        self.balanced()

    def test_the_last_payload_and_close_notify_in_one_datagram(self) -> None:
        self.talk.connect()
        usable = self.client.association
        (record,) = usable.send([b"bye"])
        usable.close(self.clock.seconds())
        self.server.path.take([record + b"".join(usable.take_transmits())])
        self.assertEqual(self.server.received, [b"bye"])
        self.assertEqual(self.server.told[-1], DtlsClosed())

    def test_a_fatal_alert_in_mid_session_fails_it_for_good(self) -> None:
        self.talk.connect()
        self.forge(ALERT, bytes([2, 40]))
        event = self.server.told[-1]
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.ALERT)
        self.assertIn("handshake failure", event.problem.text)
        self.assertFalse(event.problem.heals)
        self.assertEqual(self.server.send(b"x"), 0)
        self.assertEqual(self.server.counters.dropped, {"no-association": 1})
        self.assertEqual(self.server.fired[-2:], ["error in failed", "failed"])

    def test_a_warning_is_counted_and_ends_nothing(self) -> None:
        self.talk.connect()
        self.forge(ALERT, bytes([1, 90]))
        self.assertEqual(self.server.counters.received_dropped, {"undecryptable": 1})
        self.flows()

    def test_a_record_of_nothing_is_no_payload(self) -> None:
        self.talk.connect()
        self.forge(APPLICATION, b"")
        self.forge(APPLICATION, b"x")
        self.assertEqual(self.server.received, [b"x"])
        self.flows()

    def test_a_record_that_is_longer_than_any_may_be_fails_it(self) -> None:
        self.talk.connect()
        self.forge(APPLICATION, bytes(MAX_PLAINTEXT + 1))
        event = self.server.told[-1]
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.HANDSHAKE)

    def forge(self, kind: int, body: bytes) -> None:
        """The client sends what it must not."""
        usable = self.client.association
        self.sealer = self.sealer or Sealer(usable)
        self.server.path.take([self.sealer.record(kind, body)])
        self.clock.advance(0)


class ShowTests(TransportCase):
    """For operators and for later media."""

    def test_what_is_shown(self) -> None:
        self.assertIsNone(self.client.transport.show()["protocol"])
        self.talk.connect()
        shown = self.client.transport.show()
        self.assertEqual(shown["state"], "connected")
        self.assertEqual(shown["role"], "client")
        self.assertEqual(self.server.transport.show()["role"], "server")
        self.assertEqual(shown["local_fingerprint"], fingerprints(context(CLIENT))[0])
        self.assertEqual(shown["remote_fingerprint"], fingerprints(context(SERVER))[0])
        self.assertEqual(shown["association"], 1)

    def test_the_peers_certificate_is_there_once_it_was_believed(self) -> None:
        self.assertEqual(self.client.transport.getRemoteCertificates(), [])
        self.talk.connect()
        ours: DtlsContext = context(SERVER)
        self.assertEqual(self.client.transport.getRemoteCertificates(), [ours.certificate.der])

    def test_keying_material_is_the_same_on_both_sides(self) -> None:
        label = b"EXTRACTOR-dtls_srtp"
        with self.assertRaises(ValueError):
            self.client.transport.export_keying_material(label, 60)
        self.talk.connect()
        ours, theirs = (
            each.transport.export_keying_material(label, 60) for each in self.talk.speakers
        )
        self.assertEqual(ours, theirs)
        self.assertEqual(len(ours), 60)
