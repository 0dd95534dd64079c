"""Associations that follow each other over one path, while data flows (RFC 8842)."""

from __future__ import annotations

from refreeze.peer.dtls import DtlsClosed, DtlsFailed, problems
from refreeze.peer.dtls.succession import DRAIN
from tests.peer.dtls.paths import Speaker, TransportCase
from tests.peer.dtls.wire import (
    CLIENT,
    DELAY,
    SERVER,
    context,
    fingerprints,
    foreign_fingerprint,
)


class SuccessionTests(TransportCase):
    """A new association beside the old one."""

    def setUp(self) -> None:
        super().setUp()
        self.talk.connect()

    def counted(self, reason: str) -> int:
        """Drops of both."""
        return sum(each.counters.received_dropped[reason] for each in self.talk.speakers)

    def test_the_old_one_carries_the_data_until_the_new_one_does_and_nothing_is_lost(self) -> None:
        sent: list[bytes] = []

        def send() -> None:
            payload = str(len(sent)).encode()
            sent.append(payload)
            for speaker in self.talk.speakers:
                self.assertEqual(speaker.send(payload), 1, self.talk.story())

        for number in range(100):
            self.clock.callLater(number * DELAY / 4, send)
        self.talk.agree()
        self.clock.advance(1.0)
        for speaker in self.talk.speakers:
            self.assertEqual(sorted(speaker.received), sorted(sent), self.talk.story())
            self.assertEqual(speaker.counters.received_dropped, {}, "what arrives is counted once")
            self.assertEqual(speaker.transport.show()["association"], 2)
        self.balanced()

    def test_scripts_see_nothing_of_it(self) -> None:
        self.talk.agree()
        self.clock.advance(1.0)
        self.assertEqual(self.client.fired, ["connecting", "connected"])
        self.assertEqual(len(self.client.told), 2)

    def test_records_of_the_old_one_are_taken_for_a_while(self) -> None:
        old = self.client.association
        late, later = old.send([b"late"]), old.send([b"later"])
        self.talk.agree()
        self.clock.advance(1.0)
        self.client.path.send(late)
        self.clock.advance(DRAIN)
        self.assertEqual(self.server.received, [b"late"])
        self.client.path.send(later)
        self.clock.advance(1.0)
        self.assertEqual(self.server.received, [b"late"])
        self.assertEqual(self.server.counters.received_dropped, {"undecryptable": 1})

    def test_another_identity_is_used_from_the_next_association_on(self) -> None:
        fresh = context("fresh")
        self.client.transport.context = fresh
        self.flows()
        self.assertEqual(self.shown(self.client), fingerprints(context(CLIENT))[0])
        self.talk.agree(contexts=(fresh, context(SERVER)))
        self.clock.advance(1.0)
        self.assertEqual(self.shown(self.client), fingerprints(fresh)[0])
        self.assertEqual(self.server.transport.show()["remote_fingerprint"], fingerprints(fresh)[0])
        self.flows()

    def shown(self, speaker: Speaker) -> object:
        """Whom an operator sees."""
        return speaker.transport.show()["local_fingerprint"]

    def test_nonsense_in_mid_change_is_counted_once(self) -> None:
        record = self.client.association.send([b"x"])[0]
        spoilt = record[:-1] + bytes([record[-1] ^ 1])
        self.talk.agree()
        self.clock.advance(1.0)
        self.server.path.take([spoilt, b"", b"\xff"])
        self.assertEqual(
            self.server.counters.received_dropped, {"undecryptable": 1, "malformed": 2}
        )

    def test_the_end_of_the_old_one_is_not_the_end_of_the_new_one(self) -> None:
        """The peer may say close_notify of the one that it leaves (RFC 8842 section 4)."""
        old = self.client.association
        self.talk.agree()
        old.close(self.clock.seconds())
        self.client.path.send(old.take_transmits())
        self.clock.advance(1.0)
        for speaker in self.talk.speakers:
            self.assertEqual(speaker.transport.state, "connected", self.talk.story())
            self.assertNotIn(DtlsClosed(), speaker.told)
        self.flows()

    def test_a_new_one_that_is_refused_takes_the_old_one_with_it(self) -> None:
        """The description that is in force names somebody else."""
        self.talk.agree(expected=(foreign_fingerprint(),))
        self.clock.advance(1.0)
        event = self.client.told[-1]
        assert isinstance(event, DtlsFailed)
        self.assertEqual(event.problem.reason, problems.FINGERPRINT)
        self.assertEqual(self.client.send(b"x"), 0)
        self.assertEqual(self.client.transport.state, "failed")

    def test_one_that_did_not_get_ready_gives_way_to_the_next(self) -> None:
        self.client.path.lost = True
        self.talk.agree()
        self.clock.advance(1.5)
        self.client.path.lost = False
        self.talk.agree()
        self.clock.advance(1.0)
        self.assertEqual([len(each.told) for each in self.talk.speakers], [2, 2])
        self.flows()

    def test_three_in_a_row_and_nobody_keeps_them(self) -> None:
        for _ in range(3):
            self.talk.agree()
            self.clock.advance(0.5)
        self.clock.advance(DRAIN + 1)
        self.flows()
        for speaker in self.talk.speakers:
            self.assertEqual(len(list(speaker.transport._associations.associations())), 1)
            self.assertIsNone(speaker.transport.next_deadline())
