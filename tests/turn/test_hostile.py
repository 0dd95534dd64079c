"""Whatever a server sends, it is counted and survived."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import Attribute, MessageBuilder, MessageClass, Method, parse
from refreeze.stun.attributes import encode_address, xor_address
from refreeze.turn import Allocated, AllocationState
from refreeze.turn.allocation import MAX_RECEIVED
from refreeze.turn.data import encode_channel_data
from tests.turn.duet import PEER, Duet
from tests.turn.server import data_indication

STRANGER = ("203.0.113.66", 6000)


class DataTests(SynchronousTestCase):
    def test_a_channel_that_nobody_bound(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        for number in (0x4001, 0x4FFF, 0x4ABC):
            duet.arrive(encode_channel_data(number, b"x", False))
        self.assertEqual(duet.received, [])
        self.assertEqual(duet.allocation.dropped["unbound-channel"], 3)

    def test_truncated_channel_data(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        whole = encode_channel_data(0x4000, b"payload", False)
        for size in range(1, len(whole)):
            duet.arrive(whole[:size])
        self.assertEqual(duet.received, [])
        self.assertEqual(duet.allocation.dropped["malformed"], len(whole) - 1)
        for padding in range(4):
            duet.arrive(whole + bytes(padding))
        self.assertEqual(duet.received, [(4, PEER, b"payload")] * 4)
        duet.arrive(whole + bytes(4))
        self.assertEqual(len(duet.received), 4)

    def test_empty_data_is_data(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        duet.arrive(encode_channel_data(0x4000, b"", False))
        duet.arrive(data_indication(PEER, b""))
        self.assertEqual(duet.received, [(4, PEER, b"")] * 2)

    def test_data_of_a_peer_without_a_permission(self) -> None:
        """RFC 8656 section 11.4."""
        duet = Duet().ready(PEER)
        duet.arrive(data_indication(STRANGER, b"x"))
        duet.arrive(data_indication((PEER[0], 9), b"any port"))
        self.assertEqual(duet.received, [(4, (PEER[0], 9), b"any port")])
        self.assertEqual(duet.allocation.dropped["not-permitted"], 1)

    def test_data_of_a_peer_whose_permission_was_refused(self) -> None:
        duet = Duet().ready()
        duet.server.forbidden.add(PEER[0])
        duet.allocation.permit(PEER[0], duet.now)
        duet.run(1.0)
        duet.arrive(data_indication(PEER, b"x"))
        self.assertEqual(duet.received, [])

    def test_data_before_and_after_there_is_an_allocation(self) -> None:
        duet = Duet()
        duet.allocation.permit(PEER[0], duet.now)
        duet.arrive(data_indication(PEER, b"x"))
        duet.start()
        duet.allocation.release(duet.now)
        duet.arrive(data_indication(PEER, b"x"))
        duet.arrive(encode_channel_data(0x4000, b"x", False))
        duet.run(5.0)
        duet.arrive(data_indication(PEER, b"x"))
        self.assertEqual(duet.received, [])

    def test_an_icmp_error_is_no_data(self) -> None:
        """RFC 8656 section 11.5."""
        duet = Duet().ready(PEER)
        builder = MessageBuilder(Method.DATA, MessageClass.INDICATION, bytes(12))
        builder.add(Attribute.XOR_PEER_ADDRESS, xor_address(encode_address(PEER), bytes(12)))
        duet.arrive(builder.build())
        duet.arrive(builder.add(Attribute.ICMP, bytes(8)).build())
        self.assertEqual(duet.received, [])
        dropped = duet.allocation.dropped
        self.assertEqual((dropped["icmp"], dropped["malformed"]), (1, 1))

    def test_a_flood_that_nobody_takes_is_bounded(self) -> None:
        duet = Duet().ready(PEER)
        data = data_indication(PEER, b"x")
        for _ in range(MAX_RECEIVED + 100):
            duet.allocation.receive(data, duet.now)
        self.assertEqual(len(duet.allocation.take_received()), MAX_RECEIVED)
        self.assertEqual(duet.allocation.dropped["not-taken"], 100)


class MessageTests(SynchronousTestCase):
    def test_what_a_client_is_never_sent(self) -> None:
        duet = Duet().ready(PEER)
        sent = len(duet.sent)
        for method in (*Method, 0xABC):
            duet.arrive(MessageBuilder(method, MessageClass.REQUEST, bytes(12)).build())
            if method != Method.DATA:
                duet.arrive(MessageBuilder(method, MessageClass.INDICATION, bytes(12)).build())
        self.assertEqual(duet.allocation.dropped["unexpected"], 2 * len(Method) + 1)
        self.assertEqual(len(duet.sent), sent)

    def test_answers_to_what_nobody_asked(self) -> None:
        duet = Duet().ready(PEER)
        for method in Method:
            for each in (MessageClass.SUCCESS, MessageClass.ERROR):
                duet.arrive(MessageBuilder(method, each, bytes(12)).build())
        self.assertEqual(duet.allocation.dropped["stray-response"], 2 * len(Method))
        self.assertIs(duet.allocation.state, AllocationState.READY)

    def test_the_answer_to_another_method(self) -> None:
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.collect()
        tid = parse(duet.sent[0][1]).transaction_id
        duet.arrive(MessageBuilder(Method.REFRESH, MessageClass.ERROR, tid).build())
        self.assertEqual(duet.allocation.dropped["stray-response"], 1)
        duet.run(1.0)
        self.assertEqual(duet.told, [Allocated()])

    def test_one_answer_counts_once(self) -> None:
        duet = Duet().ready()
        duet.allocation.verify(duet.now)
        duet.collect()
        (answer,) = duet.server.receive(duet.sent[-1][1], duet.now)
        for _ in range(3):
            duet.arrive(answer)
        self.assertEqual(duet.allocation.dropped["stray-response"], 2)

    def test_random_bytes_in_every_state(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        duet = Duet()
        for step in (lambda: None, lambda: duet.start(0.01), lambda: duet.run(1.0)):
            step()
            for _ in range(1000):
                data = bytearray(random.randbytes(random.randrange(80)))
                if len(data) >= 20 and random.random() < 0.7:
                    size = len(data) & ~3
                    data = data[:size]
                    data[0] &= 0x3F >> random.choice((0, 2))
                    data[2:8] = (size - 20).to_bytes(2, "big") + b"\x21\x12\xa4\x42"
                duet.arrive(bytes(data))
        self.assertEqual(duet.told, [Allocated()], f"seed {seed}")
        self.assertGreater(duet.allocation.dropped["malformed"], 100, f"seed {seed}")

    def test_true_messages_with_flipped_bits(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for _ in range(300):
            duet = Duet(families=(4, 6), seed=seed)
            duet.allocation.start(duet.now)
            for _ in range(4):
                duet.collect()
                for _ in range(3):
                    (answer,) = duet.server.receive(duet.sent[-1][1], duet.now)
                    spoilt = bytearray(answer)
                    bit = random.randrange(len(spoilt) * 8)
                    spoilt[bit >> 3] ^= 1 << (bit & 7)
                    duet.arrive(bytes(spoilt))
            for address in duet.allocation.relayed.values():
                self.assertIn(address[0], ("192.0.2.15", "2001:db8::15"), f"seed {seed}")

    def test_the_table_of_what_was_dropped_stays_small(self) -> None:
        """Reasons are ours: nothing that a server sends becomes one."""
        seed = Random().getrandbits(32)
        random = Random(seed)
        duet = Duet().ready(PEER)
        for _ in range(3000):
            method, each = random.randrange(0x1000), random.choice(list(MessageClass))
            duet.arrive(MessageBuilder(method, each, random.randbytes(12)).build())
        self.assertLess(len(duet.allocation.dropped), 8)
