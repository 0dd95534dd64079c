"""RTCConfiguration and setConfiguration (webrtc-pc 4.2, 4.4.1.6; rules 14 to 17)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import InvalidStateError, JsepError
from refreeze.peer import RTCCertificate, RTCConfiguration, RTCIceServer, RTCPeerConnection
from refreeze.service import PeerHost
from refreeze.testing import VirtualWorld

STUN = {"urls": "stun:stun.example.org"}
TURN = {"urls": ["turn:t.example.org"], "username": "u", "credential": "hunter2"}


class CheckTests(SynchronousTestCase):
    """What may be said at all."""

    def refused(self, **members: Any) -> str:
        """The W3C name of the error."""
        with self.assertRaises((JsepError, TypeError)) as caught:
            RTCConfiguration.of(members)
        error = caught.exception
        return error.name if isinstance(error, JsepError) else type(error).__name__

    def test_defaults_are_w3cs(self) -> None:
        made = RTCConfiguration.of(None)
        self.assertEqual(made, RTCConfiguration.of({}))
        self.assertEqual(
            (made.iceServers, made.iceTransportPolicy, made.bundlePolicy, made.rtcpMuxPolicy),
            ((), "all", "balanced", "require"),
        )

    def test_servers(self) -> None:
        made = RTCConfiguration.of({"iceServers": [STUN, TURN]})
        self.assertEqual(
            [each.urls[0] for each in made.iceServers], [STUN["urls"], "turn:t.example.org"]
        )
        for servers, name in (
            ([{}], "TypeError"),
            ([{"urls": []}], "SyntaxError"),
            ([{"urls": "http://x"}], "SyntaxError"),
            ([{"urls": "stun:"}], "SyntaxError"),
            ([{"urls": "stuns:s.example.org"}], "NotSupportedError"),
            ([{"urls": "turn:t.example.org"}], "InvalidAccessError"),
            ([{"urls": "turn:t.example.org", "username": "u"}], "InvalidAccessError"),
            ([TURN | {"username": "u" * 509}], "InvalidAccessError"),
            ([{"urls": 7}], "TypeError"),
            ([{"urls": None}], "TypeError"),
            ([{"urls": ["stun:a.example.org"] * 17}], "TypeError"),
            ([TURN | {"username": "\ud800"}], "TypeError"),
            ([TURN | {"credential": 7}], "TypeError"),
            (STUN, "TypeError"),
            (None, "TypeError"),
            ([STUN] * 33, "TypeError"),
        ):
            self.assertEqual(self.refused(iceServers=servers), name, servers)

    def test_words_numbers_and_members(self) -> None:
        for members in (
            {"iceTransportPolicy": "none"},
            {"bundlePolicy": ""},
            {"rtcpMuxPolicy": "negotiate"},
            {"iceCandidatePoolSize": 256},
            {"iceCandidatePoolSize": -1},
            {"iceServer": []},
            {"iceCandidatePoolSize": True},
            {"iceCandidatePoolSize": None},
            {"certificates": ["PEM"]},
            {"certificates": "PEM"},
        ):
            self.assertEqual(self.refused(**members), "TypeError", members)

    def test_whatever_is_taken_can_be_gathered_with(self) -> None:
        """The longest name, and one without a letter, are for the server to refuse."""
        for members in ({"username": "u" * 508}, {"username": "", "credential": ""}):
            made = RTCConfiguration.of({"iceServers": [TURN | members]})
            (server,) = made.iceServers[0].for_gathering()
            self.assertEqual(server.credentials(0.0).credentials.username, members["username"])

    def test_one_url_needs_no_sequence(self) -> None:
        self.assertEqual(RTCIceServer("stun:a.example.org").urls, ("stun:a.example.org",))

    def test_no_credential_is_shown(self) -> None:
        made = RTCConfiguration.of({"iceServers": [TURN]})
        self.assertNotIn("hunter2", repr(made))

    def test_what_reflects_needs_no_credential_beside_what_relays(self) -> None:
        server = RTCIceServer(("stun:a.example.org", "turn:a.example.org"), "u", "c")
        relaying, reflecting = server.for_gathering()
        self.assertEqual((relaying.urls, reflecting.urls), ((server.urls[1],), (server.urls[0],)))
        self.assertIsNone(reflecting.credential)


class ConnectionTests(SynchronousTestCase):
    """What may change, and what that does."""

    def setUp(self) -> None:
        self.world = VirtualWorld(seed=1)
        self.addCleanup(self.world.stop)
        machine = self.world.network.host("alice", ["192.0.2.1"])
        self.host = PeerHost(self.world.reactor, process=self.world.process(machine))
        self.addCleanup(self.world.reactor.advance, 3.0)
        self.addCleanup(self.host.close)

    def made(self, configuration: Mapping[str, Any] | None = None) -> RTCPeerConnection:
        connection = self.host.RTCPeerConnection(configuration)
        connection.createDataChannel("x")
        return connection

    def offer(self, connection: RTCPeerConnection) -> str:
        """Its credentials, after it was applied."""
        done = connection.setLocalDescription()
        self.world.reactor.advance(1.0)
        self.successResultOf(done)
        parameters = connection.iceTransport.getLocalParameters()
        assert parameters is not None
        return parameters.usernameFragment

    def test_it_is_what_was_set(self) -> None:
        connection = self.made({"iceServers": [STUN]})
        self.assertEqual(
            connection.getConfiguration().iceServers[0].urls, ("stun:stun.example.org",)
        )
        connection.setConfiguration({"iceTransportPolicy": "relay"})
        self.assertEqual(connection.getConfiguration().iceServers, ())

    def test_what_stays_as_it_is(self) -> None:
        """InvalidModificationError, and nothing changes."""
        connection = self.made({"iceCandidatePoolSize": 1})
        other = RTCCertificate.generate(datetime(2099, 1, 1, tzinfo=UTC))
        for members in ({"bundlePolicy": "max-bundle"}, {"certificates": [other]}):
            with self.assertRaises(JsepError) as caught:
                connection.setConfiguration({"iceCandidatePoolSize": 1} | members)
            self.assertEqual(caught.exception.name, "InvalidModificationError")
        connection.setConfiguration({"iceCandidatePoolSize": 2})
        self.offer(connection)
        with self.assertRaises(JsepError):
            connection.setConfiguration({"iceCandidatePoolSize": 3})
        self.assertEqual(connection.getConfiguration().iceCandidatePoolSize, 2)

    def test_new_servers_restart_with_the_next_offer_and_announce_nothing_rules_14_15(self) -> None:
        connection = self.made()
        before = self.offer(connection)
        needed: list[object] = []
        connection.onnegotiationneeded = needed.append
        connection.setConfiguration({"bundlePolicy": "balanced"})
        self.assertEqual(self.offer(connection), before)
        connection.setConfiguration({"iceServers": [STUN]})
        self.world.reactor.advance(1.0)
        self.assertEqual(needed, [])
        self.assertNotEqual(self.offer(connection), before)

    def test_relay_only_offers_nothing_else_rule_16(self) -> None:
        """Not even through raddr: there is no relay, so there is no candidate."""
        connection = self.made({"iceTransportPolicy": "relay"})
        self.offer(connection)
        description = connection.localDescription
        assert description is not None
        self.assertNotIn("a=candidate", description.sdp)
        self.assertIn("a=end-of-candidates", description.sdp)

    def test_a_closed_connection_has_no_configuration_to_set_rule_17(self) -> None:
        connection = self.made()
        connection.close()
        self.assertRaises(InvalidStateError, connection.setConfiguration, {})

    def test_an_expired_certificate_is_refused(self) -> None:
        """By the date of the host."""
        now = datetime.fromtimestamp(self.world.reactor.wall(), UTC)
        old = RTCCertificate.generate(now - timedelta(days=60))
        with self.assertRaises(JsepError) as caught:
            self.made({"certificates": [old]})
        self.assertEqual(caught.exception.name, "InvalidAccessError")
        algorithm = {"name": "ECDSA", "namedCurve": "P-256", "expires": 60_000}
        fresh = self.successResultOf(self.host.generateCertificate(algorithm))
        self.assertLessEqual(abs(fresh.expires - now), timedelta(seconds=61))
        connection = self.made({"certificates": [fresh]})
        self.offer(connection)
        description = connection.localDescription
        assert description is not None
        self.assertIn(fresh.fingerprints[0][1], description.sdp)

    def test_servers_give_candidates(self) -> None:
        """A STUN server beyond a NAT, by the configuration alone."""
        nat = self.world.network.nat("nat", "203.0.113.1")
        machine = self.world.network.host("bob", ["10.0.0.2"], nat=nat)
        server = self.world.network.host("stun", ["203.0.113.10"])
        self.world.turn_server(server)
        host = PeerHost(self.world.reactor, process=self.world.process(machine))
        self.addCleanup(host.close)
        connection = host.RTCPeerConnection({"iceServers": [{"urls": "stun:203.0.113.10"}]})
        connection.createDataChannel("x")
        done = connection.setLocalDescription()
        self.world.reactor.advance(2.0)
        self.successResultOf(done)
        description = connection.localDescription
        assert description is not None
        self.assertRegex(description.sdp, r"a=candidate:.* 203\.0\.113\.1 .* typ srflx")
