"""Makers of sections: transceivers and data channels (webrtc-pc 5.4 and 6), and nothing more."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import InvalidAccessError, InvalidStateError, OperationError
from refreeze.peer import Event, RTCIceCandidate
from refreeze.peer.datachannel import message_size
from refreeze.sdp import SessionDescription
from tests.peer.pair import Side, Two


class Case(SynchronousTestCase):
    """Two programs' connections; each has asked for a data channel."""

    def setUp(self) -> None:
        self.two = Two(as_service=False)
        self.addCleanup(self.two.close)
        self.alice, self.bob = self.two.alice, self.two.bob
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            one.connection.onicecandidate = partial(self.trickle, other)

    def trickle(self, other: Side, event: Event) -> None:
        """What comes before the description is refused, and stands in it."""
        assert isinstance(event.candidate, RTCIceCandidate | None)
        added = other.connection.addIceCandidate(event.candidate)
        added.addErrback(lambda failure: failure.trap(InvalidStateError))

    def sections(self, side: Side) -> list[tuple[str, str | None, int]]:
        """Kind, mid and port of the local description's."""
        description = side.connection.localDescription
        assert description is not None
        media = SessionDescription.parse(description.sdp).media
        return [(each.kind, each.mid, each.port) for each in media]


class TransceiverTests(Case):
    """Valid m-lines: kind, mid, direction, currentDirection, stop."""

    def test_each_side_has_one_for_the_others_and_data_goes_over_the_same_transport(self) -> None:
        audio = self.alice.connection.addTransceiver("audio")
        video = self.alice.connection.addTransceiver("video", direction="sendonly")
        self.assertEqual((audio.mid, audio.currentDirection, audio.transport), (None, None, None))
        self.two.exchange(self.alice, self.bob)
        self.assertEqual([t.mid for t in (audio, video)], ["0", "1"])
        self.assertEqual([audio.currentDirection, video.currentDirection], ["sendonly"] * 2)
        theirs = self.bob.connection.getTransceivers()
        self.assertEqual(
            [(t.kind, t.direction) for t in theirs], [("audio", "recvonly"), ("video", "recvonly")]
        )
        self.assertEqual([t.currentDirection for t in theirs], ["recvonly"] * 2)
        self.assertIs(theirs[0], self.bob.connection.getTransceivers()[0])
        self.assertEqual(
            self.sections(self.bob), [("audio", "0", 9), ("video", "1", 9), ("application", "2", 9)]
        )
        self.assertEqual(self.alice.send(b"\x80x"), 1)

    def test_another_direction_needs_an_exchange_and_is_within_what_the_peer_wants(self) -> None:
        audio = self.alice.connection.addTransceiver("audio")
        self.two.exchange(self.alice, self.bob)
        self.alice.fired.clear()
        (theirs,) = self.bob.connection.getTransceivers()
        theirs.direction = "sendrecv"
        audio.direction = "sendrecv"
        self.two.advance(0.1)
        self.assertNotIn("negotiationneeded", self.alice.fired)
        self.assertIn("negotiationneeded", self.bob.fired)
        self.two.exchange(self.bob, self.alice)
        self.assertEqual((audio.currentDirection, theirs.currentDirection), ("sendrecv",) * 2)
        audio.direction = "inactive"
        self.two.advance(0.1)
        self.assertIn("negotiationneeded", self.alice.fired)

    def test_what_is_stopped_is_rejected_and_its_place_is_taken_by_the_next(self) -> None:
        audio = self.alice.connection.addTransceiver("audio")
        self.two.exchange(self.alice, self.bob)
        audio.stop()
        self.assertEqual((audio.direction, audio.currentDirection), ("stopped", "sendonly"))
        self.assertRaises(InvalidStateError, setattr, audio, "direction", "sendrecv")
        self.two.exchange(self.alice, self.bob)
        self.assertEqual((audio.currentDirection, audio.mid), ("stopped", None))
        self.assertEqual(self.alice.connection.getTransceivers(), [])
        self.assertEqual(self.bob.connection.getTransceivers(), [])
        self.assertEqual(self.sections(self.alice)[0], ("audio", "0", 0))
        video = self.alice.connection.addTransceiver("video")
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.sections(self.bob)[0], ("video", video.mid, 9))
        self.assertNotEqual(video.mid, "0")

    def test_one_without_a_section_is_never_offered_and_stays(self) -> None:
        """As browsers have it: nobody agreed to its end, so negotiation stays needed."""
        self.two.exchange(self.alice, self.bob)
        self.alice.fired.clear()
        audio = self.alice.connection.addTransceiver("audio")
        audio.stop()
        for _ in range(2):
            self.two.advance(0.1)
            self.assertIn("negotiationneeded", self.alice.fired)
            self.two.exchange(self.alice, self.bob)
            self.alice.fired.remove("negotiationneeded")
        self.assertEqual(self.sections(self.alice), [("application", "0", 9)])
        self.assertEqual(self.alice.connection.getTransceivers(), [audio])
        self.assertEqual((audio.direction, audio.currentDirection), ("stopped", None))

    def test_one_that_is_stopping_is_answered_as_inactive_and_rejected_by_the_next_offer(
        self,
    ) -> None:
        audio = self.alice.connection.addTransceiver("audio")
        self.two.now(self.bob.connection.setRemoteDescription(self.two.offer(self.alice)))
        (theirs,) = self.bob.connection.getTransceivers()
        theirs.stop()
        self.two.now(self.bob.connection.setLocalDescription())
        self.two.now(
            self.alice.connection.setRemoteDescription(self.bob.connection.localDescription)
        )
        self.assertEqual((audio.direction, audio.currentDirection), ("sendrecv", "inactive"))
        self.assertEqual((theirs.direction, theirs.currentDirection), ("stopped", "inactive"))
        self.assertIn("negotiationneeded", self.bob.fired)
        self.two.exchange(self.bob, self.alice)
        self.assertEqual((audio.direction, audio.currentDirection), ("stopped", "stopped"))
        self.assertEqual(self.bob.connection.getTransceivers(), [])

    def test_a_section_that_comes_rejected_has_a_stopped_one_until_the_answer(self) -> None:
        audio = self.alice.connection.addTransceiver("audio")
        self.two.exchange(self.alice, self.bob)
        audio.stop()
        self.two.exchange(self.alice, self.bob)
        offer = self.two.offer(self.alice)
        self.assertIn("a=mid:0\r\na=inactive\r\n", offer.sdp)
        self.two.now(self.bob.connection.setRemoteDescription(offer))
        (stopped,) = self.bob.connection.getTransceivers()
        self.assertEqual((stopped.direction, stopped.currentDirection), ("stopped", "stopped"))
        self.two.now(self.bob.connection.setLocalDescription())
        self.assertEqual(self.bob.connection.getTransceivers(), [])

    def test_sections_without_rtcp_mux_are_refused(self) -> None:
        """The policy is always ``require``; not where the peer rejects them itself."""
        self.alice.connection.addTransceiver("audio")
        offer = self.two.offer(self.alice)
        bare = offer.sdp.replace("a=rtcp-mux\r\n", "")
        refused = self.bob.connection.setRemoteDescription({"type": "offer", "sdp": bare})
        with self.assertRaisesRegex(InvalidAccessError, "rtcp-mux"):
            self.two.now(refused)
        rejected = bare.replace("m=audio 9", "m=audio 0")
        self.two.now(self.bob.connection.setRemoteDescription({"type": "offer", "sdp": rejected}))

    def test_what_w3c_refuses(self) -> None:
        connection = self.alice.connection
        self.assertRaises(TypeError, connection.addTransceiver, "application")
        self.assertRaises(TypeError, connection.addTransceiver, "audio", direction="both")
        audio = connection.addTransceiver("audio")
        self.assertRaises(TypeError, setattr, audio, "direction", "stopped")
        connection.close()
        self.assertRaises(InvalidStateError, connection.addTransceiver, "audio")
        self.assertRaises(InvalidStateError, setattr, audio, "direction", "inactive")
        self.assertRaises(InvalidStateError, audio.stop)
        self.assertEqual(audio.direction, "stopped")


class DataChannelTests(Case):
    """A section, and objects that never open."""

    def test_only_the_first_needs_an_offer(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.alice.fired.clear()
        channel = self.alice.connection.createDataChannel("more", ordered=False)
        self.two.advance(0.1)
        self.assertEqual(self.alice.fired, [])
        self.assertEqual((channel.readyState, channel.ordered), ("connecting", False))
        self.assertRaises(InvalidStateError, channel.send, b"x")

    def test_sctp_is_there_from_the_answer_on(self) -> None:
        self.assertIsNone(self.alice.connection.sctp)
        self.two.offer(self.alice)
        self.assertIsNone(self.alice.connection.sctp)
        self.two.exchange(self.alice, self.bob)
        sctp = self.alice.connection.sctp
        assert sctp is not None
        self.assertEqual((sctp.state, sctp.maxMessageSize), ("connecting", 262144.0))
        self.alice.connection.close()
        self.assertEqual(sctp.state, "closed")

    def test_lone_surrogates_of_its_words_are_replaced(self) -> None:
        channel = self.alice.connection.createDataChannel("a\ud800b", protocol="\udfff")
        self.assertEqual((channel.label, channel.protocol), ("a\ufffdb", "\ufffd"))

    def test_the_longest_message_is_what_both_take(self) -> None:
        sizes = [message_size(said) for said in (None, "1000", "0", "999999999", "x", "9" * 11)]
        self.assertEqual(sizes, [65536, 1000, 262144, 262144, 65536, 65536])

    def test_what_w3c_refuses(self) -> None:
        create = self.alice.connection.createDataChannel
        for attributes in (
            {"maxRetransmits": 1, "maxPacketLifeTime": 1},
            {"negotiated": True},
            {"maxRetransmits": 65536},
            {"protocol": "p" * 65536},
        ):
            self.assertRaises(TypeError, create, "x", **attributes)
        self.assertRaises(TypeError, create, "x" * 65536)
        self.assertRaises(TypeError, create, "x", negotiated=True, id=65535)
        first = create("x", negotiated=True, id=42)
        self.assertRaises(OperationError, create, "y", negotiated=True, id=42)
        first.close()
        create("y", negotiated=True, id=42)
        self.alice.connection.close()
        self.assertRaises(InvalidStateError, create, "x" * 65536)
