"""A stream of bytes, cut anywhere, becomes the frames that were put into it."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import MessageBuilder, MessageClass, Method
from refreeze.turn import FramingError, StreamFramer
from refreeze.turn.data import decode_channel_data, encode_channel_data
from refreeze.turn.framing import LONGEST_FRAME


def stun(size: int) -> bytes:
    builder = MessageBuilder(Method.DATA, MessageClass.INDICATION, bytes(12))
    return builder.add(0x0013, bytes(size)).build()


class StreamTests(SynchronousTestCase):
    def test_frames_cut_anywhere(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for _ in range(50):
            frames = []
            for _ in range(random.randrange(1, 20)):
                payload = random.randbytes(random.choice((0, 1, 2, 3, 4, 5, 700)))
                number = random.randrange(0x4000, 0x5000)
                padded = encode_channel_data(number, payload, True)
                frames.append(random.choice((padded, stun(len(payload)))))
            stream, framer, found, at = b"".join(frames), StreamFramer(), [], 0
            while at < len(stream):
                size = random.choice((1, 2, 3, 7, 20, 500, 5000))
                found += framer.feed(stream[at : at + size])
                at += size
            self.assertEqual(found, frames, f"seed {seed}")

    def test_channel_data_of_every_padding(self) -> None:
        for size in range(9):
            payload = b"x" * size
            (frame,) = StreamFramer().feed(encode_channel_data(0x4001, payload, True))
            self.assertEqual(len(frame) % 4, 0)
            self.assertEqual(decode_channel_data(frame), (0x4001, payload))

    def test_the_longest_frames(self) -> None:
        for frame in (encode_channel_data(0x4FFF, bytes(0xFFFF), True), stun(0xFFF0)):
            self.assertLessEqual(len(frame), LONGEST_FRAME)
            self.assertEqual(StreamFramer().feed(frame * 3), [frame] * 3)

    def test_an_unfinished_frame_is_kept_and_no_more(self) -> None:
        framer = StreamFramer()
        whole = encode_channel_data(0x4000, bytes(60_000), True)
        for _ in range(10):
            self.assertEqual(framer.feed(whole[:-1]), [])
            self.assertLess(len(framer._rest), LONGEST_FRAME)
            self.assertEqual(framer.feed(whole[-1:]), [whole])
            self.assertEqual(len(framer._rest), 0)

    def test_nothing_is_nothing(self) -> None:
        self.assertEqual(StreamFramer().feed(b""), [])


class BadFrameTests(SynchronousTestCase):
    def refused(self, data: bytes, reason: str) -> None:
        for size in (1, 1000):
            framer = StreamFramer()
            with self.assertRaises(FramingError) as caught:
                for at in range(0, len(data), size):
                    framer.feed(data[at : at + size])
            self.assertEqual(str(caught.exception), reason)

    def test_what_begins_no_frame(self) -> None:
        for first in (0x50, 0x7F, 0x80, 0xC0, 0xFF):
            self.refused(bytes((first,)) + bytes(40), "frame-type")

    def test_a_length_that_no_stun_message_has(self) -> None:
        for length in (1, 2, 3, 0xFFFF):
            self.refused(b"\x00\x17" + length.to_bytes(2, "big") + bytes(40), "frame-length")

    def test_what_is_no_stun_is_found_out_by_its_cookie(self) -> None:
        """Before a length that is made of text makes us wait for 60,000 bytes."""
        self.refused(b"\x00\x17\x00\x08\x21\x12\xa4\x43" + bytes(40), "frame-cookie")
        self.refused(b"\x16\x03\x01\x00\x05", "frame-cookie")

    def test_a_bad_frame_behind_good_ones(self) -> None:
        good = encode_channel_data(0x4000, b"abc", True)
        framer = StreamFramer()
        self.assertEqual(framer.feed(good), [good])
        self.assertRaises(FramingError, framer.feed, good + b"\xff")

    def test_random_bytes_end_in_an_error_or_wait(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        refused = 0
        for _ in range(2000):
            framer = StreamFramer()
            try:
                for _ in range(20):
                    framer.feed(random.randbytes(random.randrange(1, 60)))
                    self.assertLess(len(framer._rest), LONGEST_FRAME, f"seed {seed}")
            except FramingError:
                refused += 1
        self.assertGreater(refused, 1500, f"seed {seed}")
