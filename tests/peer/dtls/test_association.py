"""An association by itself: batches, the one epoch, and what it is before and after."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls import Association, AssociationState
from refreeze.peer.dtls.records import MAX_PLAINTEXT, split
from tests.peer.dtls.sealed import Sealer
from tests.peer.dtls.wire import CLIENT, SERVER, context, fingerprints

KIB = 1024


def connected() -> tuple[Association, Association]:
    """A client and its server, who lost nothing."""
    client = Association(context(CLIENT), client=True, fingerprints=fingerprints(context(SERVER)))
    server = Association(context(SERVER), client=False, fingerprints=fingerprints(context(CLIENT)))
    for each in (server, client):
        each.start(0.0)
    for _ in range(3):
        server.receive(client.take_transmits(), 0.0)
        client.receive(server.take_transmits(), 0.0)
    assert client.state is server.state is AssociationState.CONNECTED
    return client, server


class DataTests(SynchronousTestCase):
    """Payloads out and in."""

    def setUp(self) -> None:
        self.client, self.server = connected()

    def test_a_datagram_for_each_payload_whatever_the_batch(self) -> None:
        """OpenSSL reads no more than its buffer holds, and would lose the middle of a batch."""
        for sizes in ([1], [1200] * 64, [16384] * 5, [1, 16384, 1, 9000, 8000, 7999], [300] * 500):
            payloads = [bytes([at % 256]) * size for at, size in enumerate(sizes)]
            datagrams = self.client.send(payloads)
            self.assertEqual(
                [len(each) for each in datagrams], [n + self.client.overhead for n in sizes]
            )
            self.assertEqual(self.server.receive(datagrams, 0.0), payloads)
        self.assertEqual(self.server.dropped, {})

    def test_a_batch_with_holes(self) -> None:
        payloads = [bytes([at]) * 1000 for at in range(40)]
        datagrams = self.client.send(payloads)
        for at in (0, 7, 8, 39):
            datagrams[at] = datagrams[at][:-1] + bytes([datagrams[at][-1] ^ 1])
        good = [each for at, each in enumerate(payloads) if at not in {0, 7, 8, 39}]
        self.assertEqual(self.server.receive(datagrams, 0.0), good)
        self.assertEqual(self.server.dropped, {"undecryptable": 4})

    def test_several_records_in_one_datagram(self) -> None:
        records = self.client.send([b"one", b"two", b"three"])
        self.assertEqual(self.server.receive([b"".join(records)], 0.0), [b"one", b"two", b"three"])

    def test_records_in_any_order(self) -> None:
        datagrams = self.client.send([bytes([at]) for at in range(30)])
        found = self.server.receive(datagrams[::-1], 0.0)
        self.assertEqual(found, [bytes([at]) for at in reversed(range(30))])

    def test_a_length_that_lies_loses_itself_alone(self) -> None:
        first, second, third = self.client.send([b"first", b"second", b"third"])
        short, long = second[:-1], second + b"!"
        self.assertEqual(self.server.receive([first, short, third], 0.0), [b"first", b"third"])
        self.assertEqual(self.server.dropped, {"malformed": 1})
        self.assertEqual(self.server.receive([long], 0.0), [b"second"], "what follows is no record")
        self.assertEqual(self.server.dropped, {"malformed": 2})

    def test_nothing_to_send_is_nothing(self) -> None:
        self.assertEqual(self.client.send([]), [])
        self.assertIs(self.client.state, AssociationState.CONNECTED)

    def test_large_batches_leave_no_large_memory(self) -> None:
        """OpenSSL's memory grows to what it held at once, and never shrinks."""
        held: list[int] = []
        true = self.client._connection.bio_read

        def read(size: int) -> bytes:
            stream: bytes = true(size)
            held.append(len(stream))
            return stream

        self.patch(self.client._connection, "bio_read", read)
        self.client.send([bytes(1200)] * 500)
        self.assertLess(max(held), 10 * KIB)
        held.clear()
        self.client.send([bytes(MAX_PLAINTEXT)] * 3)
        self.assertEqual(len(held), 3)


class LifeTests(SynchronousTestCase):
    """What it does when it is not connected: nothing."""

    def test_before_it_starts_and_after_its_end(self) -> None:
        fresh = Association(context(CLIENT), client=True, fingerprints=None)
        client, server = connected()
        record = client.send([b"x"])
        client.close(0.0)
        for each in (fresh, client):
            self.assertEqual(each.send([b"x"]), [])
            self.assertEqual(each.receive(record, 0.0), [])
            self.assertEqual(each.dropped, {"no-association": 1})
            self.assertIsNone(each.next_deadline())
            with self.assertRaises(ValueError):
                each.export_keying_material(b"label", 32)
        self.assertEqual(server.receive(record, 0.0), [b"x"])

    def test_connected_it_waits_for_nothing(self) -> None:
        for each in connected():
            self.assertIsNone(each.next_deadline())
            self.assertFalse(each.restless)
            self.assertEqual(each.take_transmits(), [])

    def test_a_start_is_one(self) -> None:
        client = Association(context(CLIENT), client=True, fingerprints=None)
        client.start(0.0)
        self.assertEqual(len(client.take_transmits()), 1)
        client.start(0.0)
        self.assertEqual(client.take_transmits(), [])

    def test_a_close_is_answered_once(self) -> None:
        client, server = connected()
        client.close(0.0)
        said = client.take_transmits()
        self.assertEqual(len(said), 1)
        self.assertEqual(server.receive(said, 0.0), [])
        self.assertIs(server.state, AssociationState.CLOSED)
        self.assertEqual(len(server.take_transmits()), 1)
        server.close(0.0)
        client.close(0.0)
        self.assertEqual(server.take_transmits() + client.take_transmits(), [])

    def test_a_repeated_finished_is_answered_with_the_last_flight(self) -> None:
        """The server's ChangeCipherSpec and Finished were lost, and the client asks again."""
        client = Association(
            context(CLIENT), client=True, fingerprints=fingerprints(context(SERVER))
        )
        server = Association(
            context(SERVER), client=False, fingerprints=fingerprints(context(CLIENT))
        )
        server.start(0.0)
        client.start(0.0)
        server.receive(client.take_transmits(), 0.0)
        client.receive(server.take_transmits(), 0.0)
        server.receive(client.take_transmits(), 0.0)
        self.assertIs(server.state, AssociationState.CONNECTED)
        lost = server.take_transmits()
        message = bytes([20, 0, 0, 12, 0, 4, 0, 0, 0, 0, 0, 12]) + bytes(12)
        server.receive([Sealer(server, client=True).record(22, message)], 0.0)
        again = server.take_transmits()
        self.assertEqual(
            [[record.type for record in split(each)[0]] for each in again],
            [[record.type for record in split(each)[0]] for each in lost],
        )
        client.receive(again, 0.0)
        self.assertIs(client.state, AssociationState.CONNECTED)
