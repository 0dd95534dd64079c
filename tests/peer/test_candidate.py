"""RTCIceCandidate: its attributes, and what scripts see of candidates (rules 53 and 76)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Candidate, CandidateType
from refreeze.peer import RTCIceCandidate, RTCIceCandidateInit
from refreeze.sdp import format_candidate
from tests.corpus import NAMES, load
from tests.peer.pair import Two

_WORDS = st.one_of(
    st.text(max_size=8),
    st.integers().map(str),
    st.sampled_from(("typ", "host", "srflx", "relay", "raddr", "rport", "tcp", "x.local", "::1")),
)

HOST = "candidate:1905690388 1 udp 2113937151 192.0.2.1 58041 typ host generation 0 ufrag thC8"
SRFLX = "candidate:2 2 UDP 1677729535 203.0.113.7 4000 typ srflx raddr 192.0.2.1 rport 58041"
TCP = "candidate:3 1 tcp 1518214911 2001:db8::1 9 typ host tcptype active"
HOST_SAYS = {
    "foundation": "1905690388",
    "component": "rtp",
    "priority": 2113937151,
    "address": "192.0.2.1",
    "protocol": "udp",
    "port": 58041,
    "type": "host",
    "tcpType": None,
    "relatedAddress": None,
    "relatedPort": None,
}


def read(line: str) -> dict[str, Any]:
    """Every attribute of a candidate with that line."""
    candidate = RTCIceCandidate(candidate=line, sdpMid="0")
    return {name: getattr(candidate, name) for name in HOST_SAYS}


class ConstructorTests(SynchronousTestCase):
    """What a script makes of a dictionary (webrtc-pc section 4.8.1.1)."""

    def test_without_mid_and_index_it_is_a_type_error_rule_55(self) -> None:
        inits = ({}, {"candidate": HOST}, {"candidate": HOST, "sdpMid": None}, {"candidate": ""})
        for init in inits:
            with self.assertRaises(TypeError):
                RTCIceCandidate(init)
        with self.assertRaises(TypeError):
            RTCIceCandidate()

    def test_the_members_that_only_local_ones_have_are_kept_and_not_signaled(self) -> None:
        """RTCLocalIceCandidateInit (webrtc-pc section 4.8.1)."""
        made = RTCIceCandidate(sdpMid="0", relayProtocol="tls", url="turns:example.org")
        self.assertEqual((made.relayProtocol, made.url), ("tls", "turns:example.org"))
        self.assertEqual(set(made.toJSON()), set(RTCIceCandidateInit.__annotations__))
        with self.assertRaises(TypeError):
            RTCIceCandidate(sdpMid="0", relayProtocol="sctp")

    def test_one_of_them_is_enough(self) -> None:
        self.assertEqual(RTCIceCandidate({"sdpMid": "audio"}).sdpMLineIndex, None)
        self.assertEqual(RTCIceCandidate({"sdpMLineIndex": 3}).sdpMid, None)
        self.assertEqual(RTCIceCandidate(sdpMLineIndex=0).candidate, "")

    def test_members_of_another_kind_are_a_type_error(self) -> None:
        for wrong in (
            {"sdpMid": 1},
            {"sdpMLineIndex": "0"},
            {"sdpMLineIndex": True},
            {"sdpMLineIndex": -1},
            {"sdpMLineIndex": 65536},
            {"candidate": 1, "sdpMid": "0"},
            {"usernameFragment": b"x", "sdpMid": "0"},
            [("sdpMid", "0")],
        ):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                RTCIceCandidate(wrong)  # type: ignore[arg-type]  # that it is wrong is the test

    def test_the_fragment_is_the_members_and_not_the_lines(self) -> None:
        self.assertIsNone(RTCIceCandidate(candidate=HOST, sdpMid="0").usernameFragment)
        named = RTCIceCandidate(candidate=HOST, sdpMid="0", usernameFragment="abcd")
        self.assertEqual(named.usernameFragment, "abcd")

    def test_what_crosses_the_signaling_comes_back_the_same(self) -> None:
        made = RTCIceCandidate(
            candidate=SRFLX, sdpMid="a", sdpMLineIndex=1, usernameFragment="abcd"
        )
        sent = json.dumps(made.toJSON())
        self.assertEqual(
            json.loads(sent),
            {"candidate": SRFLX, "sdpMid": "a", "sdpMLineIndex": 1, "usernameFragment": "abcd"},
        )
        self.assertEqual(RTCIceCandidate(json.loads(sent)), made)

    def test_nothing_of_it_can_be_set(self) -> None:
        candidate = RTCIceCandidate(candidate=HOST, sdpMid="0")
        for name in ("candidate", "sdpMid", "address"):
            with self.assertRaises(AttributeError):
                setattr(candidate, name, "x")


class AttributeTests(SynchronousTestCase):
    """The line's own words, or None for all of them."""

    def test_of_a_host(self) -> None:
        self.assertEqual(read(HOST), HOST_SAYS)

    def test_of_a_reflexive_one_for_rtcp(self) -> None:
        found = read(SRFLX)
        self.assertEqual((found["component"], found["protocol"]), ("rtcp", "udp"))
        self.assertEqual((found["relatedAddress"], found["relatedPort"]), ("192.0.2.1", 58041))

    def test_a_hidden_related_address_is_as_the_line_has_it(self) -> None:
        found = read(SRFLX.replace("192.0.2.1 rport 58041", "0.0.0.0 rport 0"))
        self.assertEqual((found["relatedAddress"], found["relatedPort"]), ("0.0.0.0", 0))

    def test_of_tcp(self) -> None:
        self.assertEqual((read(TCP)["tcpType"], read(TCP)["protocol"]), ("active", "tcp"))
        self.assertIsNone(read(TCP.replace("active", "else"))["tcpType"])
        self.assertIsNone(read(HOST + " tcptype active")["tcpType"])

    def test_a_hidden_host_is_its_name(self) -> None:
        name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local"
        self.assertEqual(read(HOST.replace("192.0.2.1", name))["address"], name)

    def test_a_line_that_cannot_be_read_has_no_attributes(self) -> None:
        for line in (
            "",
            "nonsense",
            "candidate:" + "1" * 4000,
            HOST.replace("typ host", "typ other"),
            HOST.replace(" 1 udp", " 3 udp"),
            HOST.replace(" udp ", " sctp "),
            HOST.replace("58041", "65536"),
            HOST + "\r\na=x",
        ):
            candidate = RTCIceCandidate(candidate=line, sdpMid="0")
            self.assertEqual(candidate.candidate, line)
            self.assertEqual(set(read(line).values()), {None}, line)

    def test_every_candidate_that_real_peers_write_has_them_rule_76(self) -> None:
        seen = set()
        for name in NAMES:
            for line in load(name).splitlines():
                if line.startswith("a=candidate:"):
                    found = read(line.removeprefix("a="))
                    words = line.split()
                    self.assertEqual(
                        [found["address"], str(found["port"]), str(found["priority"])],
                        [words[4], words[5], words[3]],
                        (name, line),
                    )
                    self.assertEqual(found["tcpType"] is None, found["protocol"] == "udp")
                    seen.add((found["component"], found["protocol"]))
        self.assertEqual(len(seen), 4)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_whatever_is_given_is_a_candidate_or_a_type_error(self, data: st.DataObject) -> None:
        """By hypothesis: real lines, with some words of them replaced."""
        words = data.draw(st.sampled_from((HOST, SRFLX, TCP))).split(" ")
        for _ in range(data.draw(st.integers(0, 3))):
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(_WORDS)
        value = st.none() | st.integers() | st.text(max_size=4)
        members = {"sdpMid": data.draw(value), "sdpMLineIndex": data.draw(value)}
        try:
            candidate = RTCIceCandidate({"candidate": " ".join(words), **members})
        except TypeError:
            return
        found = {name: getattr(candidate, name) for name in HOST_SAYS}
        if found["type"] is None:
            self.assertEqual(set(found.values()), {None})
        else:
            self.assertIn(found["component"], ("rtp", "rtcp"))
            self.assertIn(found["protocol"], ("udp", "tcp"))
            related = found["type"] != "host"
            self.assertEqual(
                [each is not None for each in (found["relatedAddress"], found["relatedPort"])],
                [related, related],
            )
        self.assertEqual(RTCIceCandidate(candidate.toJSON()), candidate)


class OfOursTests(SynchronousTestCase):
    """Candidates of ours and of the peer's."""

    def test_a_relayed_one_names_its_server_and_the_way_there(self) -> None:
        for url, way in (
            ("turn:turn.example.org", "udp"),
            ("turn:turn.example.org?transport=tcp", "tcp"),
            ("turns:turn.example.org", "tls"),
        ):
            made = Candidate(CandidateType.RELAY, ("203.0.113.9", 5), 1, "f", url=url)
            shown = RTCIceCandidate.of(made, "abcd", ("0", 0))
            self.assertEqual((shown.url, shown.relayProtocol), (url, way))
            self.assertNotIn("turn", shown.candidate)

    def test_a_reflexive_one_has_a_server_but_no_relay(self) -> None:
        made = Candidate(CandidateType.SRFLX, ("203.0.113.9", 5), 1, "f", url="stun:example.org")
        shown = RTCIceCandidate.of(made, "abcd", ("0", 0))
        self.assertEqual((shown.url, shown.relayProtocol), ("stun:example.org", None))

    def test_an_address_that_was_never_signaled_is_not_shown(self) -> None:
        for address in ("203.0.113.9", "2001:db8::9"):
            learnt = Candidate(CandidateType.PRFLX, (address, 5), 1, "f")
            shown = RTCIceCandidate.of(learnt, "abcd", ("0", 0))
            self.assertEqual((shown.address, shown.type), (None, "prflx"))
            self.assertNotIn(address, repr(shown))

    def test_a_resolved_name_is_shown_as_the_name(self) -> None:
        hidden = Candidate(CandidateType.HOST, ("192.0.2.9", 5), 1, "f", name="x.local")
        shown = RTCIceCandidate.of(hidden, "abcd", ("0", 0))
        self.assertEqual(shown.address, "x.local")
        self.assertNotIn("192.0.2.9", shown.candidate)

    def test_neither_is_part_of_what_is_signaled(self) -> None:
        plain = Candidate(CandidateType.HOST, ("192.0.2.9", 5), 1, "f")
        marked = Candidate(
            CandidateType.HOST, ("192.0.2.9", 5), 1, "f", url="stun:x", name="x.local"
        )
        self.assertEqual((plain, format_candidate(plain)), (marked, format_candidate(marked)))


class TransportTests(SynchronousTestCase):
    """RTCIceTransport's lists are those of the generation that is on its way, or in use."""

    def setUp(self) -> None:
        self.two = Two()
        self.addCleanup(self.two.close)
        self.alice, self.bob = self.two.alice, self.two.bob

    def test_the_lists_are_what_the_events_told_rule_53(self) -> None:
        told: list[object] = []
        connection = self.alice.connection
        connection.addEventListener("icecandidate", lambda event: told.append(event.candidate))
        self.two.exchange(self.alice, self.bob)
        transport = connection.iceTransport
        self.assertEqual(transport.getLocalCandidates(), told[: told.index(None) - 1])
        self.assertEqual(
            [each.candidate for each in transport.getLocalCandidates()],
            [each.candidate for each in self.bob.connection.iceTransport.getRemoteCandidates()],
        )

    def test_a_restarts_are_shown_until_it_is_rolled_back_rule_7(self) -> None:
        self.two.exchange(self.alice, self.bob)
        transport = self.alice.connection.iceTransport
        before, pair = transport.getLocalCandidates(), transport.getSelectedCandidatePair()
        self.two.offer(self.alice, restart=True)
        during = transport.getLocalCandidates()
        fragments = {each.usernameFragment for each in during}
        self.assertEqual(len(fragments), 1)
        self.assertNotIn(before[0].usernameFragment, fragments)
        self.assertEqual(transport.getRemoteCandidates(), [])
        self.assertIs(transport.getSelectedCandidatePair(), pair)
        self.two.now(self.alice.connection.setLocalDescription({"type": "rollback"}))
        self.assertEqual(transport.getLocalCandidates(), before)
        self.assertIs(transport.getSelectedCandidatePair(), pair)

    def test_after_a_restart_the_pair_is_another(self) -> None:
        self.two.exchange(self.alice, self.bob)
        transport = self.alice.connection.iceTransport
        before = transport.getSelectedCandidatePair()
        for _ in range(3):
            self.two.exchange(self.alice, self.bob, restart=True)
            self.two.advance(10.0)
        after = transport.getSelectedCandidatePair()
        assert before is not None
        assert after is not None
        self.assertNotEqual(after.local.usernameFragment, before.local.usernameFragment)
        self.assertNotEqual(after.remote.usernameFragment, before.remote.usernameFragment)
        self.assertEqual(len(transport._signaled), 1)
