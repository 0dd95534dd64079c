"""The fake STUN and TURN server does what RFC 8489, RFC 8656 and RFC 5780 say."""

from __future__ import annotations

from base64 import b64encode
from hmac import digest

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.stun import (
    Attribute,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    PasswordAlgorithm,
    encode_algorithms,
    nonce_features,
)
from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    FakeTurnServer,
    Fate,
)
from refreeze.testing.reactor import WALL_BEGIN
from tests.testing.desk import Ear, network
from tests.testing.turnclient import BOTH, SIX, UDP, UdpClient, channel, lifetime

SERVER = "203.0.113.10"
SECOND = "203.0.113.11"
SERVER6 = "2001:db8::10"
CLIENT: Address = ("192.0.2.1", 5000)
CLIENT6: Address = ("2001:db8::1", 5000)
PEER: Address = ("198.51.100.1", 6000)
PEER6: Address = ("2001:db8::99", 6000)


class ServerCase(SynchronousTestCase):
    """A server, a client and a peer, all in public."""

    addresses: tuple[str, ...] = (SERVER, SERVER6)

    def setUp(self) -> None:
        self.clock, self.network = network(delay=0.01)
        self.machine = self.network.host("turn", self.addresses)
        self.host = self.network.host("alice", [CLIENT[0], CLIENT6[0]])
        bob = self.network.host("bob", [PEER[0], PEER6[0]])
        self.peer, self.peer6 = Ear(bob, PEER), Ear(bob, PEER6)
        self.server = self.serve()
        self.client = self.call()

    def serve(self, **settings: object) -> FakeTurnServer:
        """A started server; another one takes the place of the first."""
        if hasattr(self, "server"):
            self.server.kill()
        self.server = FakeTurnServer(self.machine, **settings).start()  # type: ignore[arg-type]
        return self.server

    def call(self, port: int = 0, server: Address = (SERVER, 3478), **who: object) -> UdpClient:
        """Another client on alice's host."""
        six = ":" in server[0]
        ear = Ear(self.host, ((CLIENT6 if six else CLIENT)[0], port))
        return UdpClient(self.clock, ear=ear, server=server, **who)  # type: ignore[arg-type]

    def told(self, what: str) -> int:
        """How many such entries the journal has."""
        return self.server.journal.counts[what]


class BindingTests(ServerCase):
    """RFC 8489 and RFC 5780."""

    addresses = (SERVER, SECOND, SERVER6)

    def change(self, flags: int, client: UdpClient | None = None) -> Address | None:
        """Where the answer to a request to change came from."""
        client = client or self.client
        answer = client.ask(Method.BINDING, (Attribute.CHANGE_REQUEST, bytes((0, 0, 0, flags))))
        if answer is None:
            return None
        self.assertEqual(answer.response_origin, client.sources[-1])
        return client.sources[-1]

    def test_a_client_behind_a_nat_learns_its_external_address(self) -> None:
        nat = self.network.nat("nat", "203.0.113.1", FULL_CONE)
        inside = self.network.host("carol", ["10.0.0.2"], nat=nat)
        ear = Ear(inside, ("10.0.0.2", 7000))
        answer = UdpClient(self.clock, ear=ear, server=(SERVER, 3478)).ask(Method.BINDING)
        assert answer is not None
        self.assertEqual(answer.xor_mapped_address, ("203.0.113.1", 7000))
        self.assertEqual(answer.mapped_address, ("203.0.113.1", 7000))
        self.assertEqual(self.server.journal.of("binding")[0].client, ("203.0.113.1", 7000))

    def test_ipv6(self) -> None:
        answer = self.call(5001, (SERVER6, 3478)).ask(Method.BINDING)
        assert answer is not None
        self.assertEqual(answer.xor_mapped_address, (CLIENT6[0], 5001))

    def test_the_other_address_has_another_host_and_another_port(self) -> None:
        """RFC 5780 section 7.4."""
        answer = self.client.ask(Method.BINDING)
        assert answer is not None
        self.assertEqual(answer.other_address, (SECOND, 3479))
        self.assertEqual(answer.response_origin, (SERVER, 3478))
        answer = self.call(0, (SECOND, 3479)).ask(Method.BINDING)
        assert answer is not None
        self.assertEqual(answer.other_address, (SERVER, 3478))

    def test_an_answer_comes_from_where_the_request_wants(self) -> None:
        """RFC 5780 section 7.2."""
        self.assertEqual(self.change(0), (SERVER, 3478))
        self.assertEqual(self.change(2), (SERVER, 3479))
        self.assertEqual(self.change(4), (SECOND, 3478))
        self.assertEqual(self.change(6), (SECOND, 3479))

    def test_filtering_shows_in_the_answers_that_get_through(self) -> None:
        """RFC 5780 section 4.4."""
        for external, settings, through in (
            ("203.0.113.1", FULL_CONE, [True, True]),
            ("203.0.113.2", ADDRESS_RESTRICTED, [False, True]),
            ("203.0.113.3", PORT_RESTRICTED, [False, False]),
        ):
            nat = self.network.nat(external, external, settings)
            inside = self.network.host(f"behind {external}", ["10.0.0.2"], nat=nat)
            ear = Ear(inside, ("10.0.0.2", 7000))
            client = UdpClient(self.clock, ear=ear, server=(SERVER, 3478))
            client.ask(Method.BINDING)
            self.assertEqual([self.change(flags, client) is not None for flags in (6, 2)], through)

    def test_an_answer_goes_to_the_port_that_the_request_wants(self) -> None:
        """RFC 5780 section 7.5."""
        other = Ear(self.host, (CLIENT[0], 5999))
        self.client.ask(Method.BINDING, (Attribute.RESPONSE_PORT, (5999).to_bytes(2, "big")))
        self.assertEqual(other.sources, [(SERVER, 3478)])

    def test_without_a_second_address_a_change_is_an_unknown_attribute(self) -> None:
        client = self.call(0, (SERVER6, 3478))
        answer = client.ask(Method.BINDING, (Attribute.CHANGE_REQUEST, bytes((0, 0, 0, 6))))
        assert answer is not None
        self.assertEqual(answer.error_code, (420, "Unknown Attribute"))
        self.assertEqual(answer.unknown_attributes, (Attribute.CHANGE_REQUEST,))
        answer = client.ask(Method.BINDING)
        assert answer is not None
        self.assertIsNone(answer.other_address)

    def test_an_attribute_that_nobody_knows_is_named(self) -> None:
        answer = self.client.ask(Method.BINDING, (0x7777, b""))
        assert answer is not None
        self.assertEqual(answer.unknown_attributes, (0x7777,))

    def test_a_stun_server_relays_nothing(self) -> None:
        self.serve(relays=False)
        self.assertEqual(self.client.code(Method.BINDING), 0)
        self.assertEqual(self.client.code(Method.ALLOCATE, UDP), 400)


class CredentialTests(ServerCase):
    """RFC 8489 section 9.2."""

    def entry(self, **who: object) -> int | None:
        """What a signed Allocate of a new client gets."""
        client = self.call(**who)  # type: ignore[arg-type]
        client.challenge()
        return client.code(Method.ALLOCATE, UDP)

    def test_who_does_not_sign_is_told_how(self) -> None:
        answer = self.client.challenge()
        self.assertEqual(answer.error_code, (401, "Unauthenticated"))
        self.assertEqual(answer.realm, "refreeze.test")
        self.assertFalse(nonce_features(answer.nonce or ""))
        self.assertIsNone(answer.password_algorithms)

    def test_only_users_with_their_password_are_let_in(self) -> None:
        self.assertEqual(self.entry(), 0)
        self.assertEqual(self.entry(password="wrong"), 401)
        self.assertEqual(self.entry(username="nobody"), 401)

    def test_the_answer_is_signed_with_the_users_key(self) -> None:
        answer = self.client.allocate()
        assert self.client.key is not None
        self.assertTrue(answer.verify(self.client.key))

    def test_both_algorithms_are_offered_and_taken(self) -> None:
        """RFC 8489 section 9.2.4, with MESSAGE-INTEGRITY-SHA256 for either."""
        self.serve(sha256=True)
        answer = self.client.challenge()
        self.assertEqual(answer.password_algorithms, (2, 1))
        self.assertTrue(nonce_features(answer.nonce or ""))
        for algorithm in (PasswordAlgorithm.SHA256, PasswordAlgorithm.MD5):
            client = self.call(algorithm=algorithm)
            answer = client.allocate()
            self.assertTrue(answer.has_integrity_sha256)
            assert client.key is not None
            self.assertTrue(answer.verify(client.key))
        self.assertEqual(self.entry(), 0, "an older client")

    def test_a_list_of_algorithms_that_was_changed_on_the_way_is_refused(self) -> None:
        self.serve(sha256=True)
        client = self.call(algorithm=PasswordAlgorithm.MD5)
        client.challenge()
        client.algorithms = encode_algorithms([1])
        self.assertEqual(client.code(Method.ALLOCATE, UDP), 400)

    def test_a_user_may_be_named_by_hash(self) -> None:
        self.serve(sha256=True, anonymous=True)
        self.call(algorithm=PasswordAlgorithm.SHA256, hashed=True).allocate()
        self.assertEqual([each.username for each in self.server.allocations], ["user"])

    def test_time_limited_credentials_end(self) -> None:
        """coturn's use-auth-secret."""
        self.serve(secret="shared")

        def made(until: float) -> dict[str, str]:
            name = f"{int(until)}:alice"
            signed = b64encode(digest(b"shared", name.encode(), "sha1")).decode()
            return {"username": name, "password": signed}

        in_an_hour = made(WALL_BEGIN + 3600)
        self.assertEqual(self.entry(**in_an_hour), 0)
        self.assertEqual(self.entry(**made(WALL_BEGIN - 1)), 401)
        self.assertEqual(self.entry(**{**in_an_hour, "password": "x"}), 401)
        self.assertEqual(self.entry(), 401)
        self.clock.advance(3600)
        self.assertEqual(self.entry(**in_an_hour), 401)

    def test_a_nonce_grows_stale(self) -> None:
        self.serve(nonce_seconds=60.0)
        self.client.allocate()
        self.clock.advance(61.0)
        answer = self.client.ask(Method.REFRESH)
        assert answer is not None
        self.assertEqual(answer.error_code, (438, "Stale Nonce"))
        self.client.learn(answer)
        self.assertEqual(self.client.code(Method.REFRESH), 0)
        self.server.expire_nonces()
        self.assertEqual(self.client.code(Method.REFRESH), 438)

    def test_half_of_what_a_signed_request_needs_is_a_bad_request(self) -> None:
        self.client.challenge()
        builder = MessageBuilder(Method.ALLOCATE, MessageClass.REQUEST, bytes(12)).add(*UDP)
        self.client.transmit(builder.build(self.client.key))
        self.clock.advance(1.0)
        self.assertEqual(self.server.journal.of("refused")[-1].detail, "allocate 400")


class AllocationTests(ServerCase):
    """RFC 8656 sections 6 to 8."""

    def relayed(self, answer: Message) -> list[str]:
        """The hosts of the relayed addresses."""
        return [host for host, _port in answer.xor_relayed_addresses]

    def test_an_allocation_is_a_port_of_the_servers_host(self) -> None:
        answer = self.client.allocate()
        self.assertEqual(self.relayed(answer), [SERVER])
        self.assertEqual(answer.xor_mapped_address, self.client.ear.local)
        self.assertEqual(answer.lifetime, 600)
        self.assertIsNotNone(self.machine.port(answer.xor_relayed_addresses[0]))
        self.assertEqual(self.told("allocated"), 1)

    def test_one_family_or_the_other_or_both(self) -> None:
        self.assertEqual(self.relayed(self.call().allocate(SIX)), [SERVER6])
        self.assertEqual(self.relayed(self.call().allocate(BOTH)), [SERVER, SERVER6])
        six = self.call(0, (SERVER6, 3478))
        self.assertEqual(self.relayed(six.allocate()), [SERVER], "IPv4 is what is not asked for")
        self.client.challenge()
        self.assertEqual(self.client.code(Method.ALLOCATE, UDP, BOTH, SIX), 400)

    def test_a_family_that_is_not_there(self) -> None:
        """Alone it is 440; as the second it is missing with a reason."""
        self.server.kill()
        self.machine.remove_address(SERVER6)
        self.server.start()
        answer = self.call().allocate(BOTH)
        self.assertEqual(self.relayed(answer), [SERVER])
        self.assertEqual((answer.address_error or ())[:2], (6, 440))
        self.client.challenge()
        self.assertEqual(self.client.code(Method.ALLOCATE, UDP, SIX), 440)

    def test_what_an_allocate_must_say(self) -> None:
        self.client.challenge()
        ask = self.client.code
        self.assertEqual(ask(Method.ALLOCATE), 400)
        self.assertEqual(ask(Method.ALLOCATE, (UDP[0], bytes((6, 0, 0, 0)))), 442)
        self.assertEqual(ask(Method.ALLOCATE, UDP, (0x7777, b"")), 420)

    def test_a_5_tuple_has_one_allocation_and_a_repeated_request_the_same_answer(self) -> None:
        first = self.client.allocate()
        again = self.client.ask(Method.ALLOCATE, UDP, again=True)
        assert again is not None
        self.assertEqual(again.xor_relayed_addresses, first.xor_relayed_addresses)
        self.assertEqual(self.client.code(Method.ALLOCATE, UDP), 437)
        self.assertEqual(len(self.server.allocations), 1)

    def test_without_an_allocation_there_is_a_mismatch(self) -> None:
        self.client.challenge()
        for method in (Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND):
            self.assertEqual(self.client.code(method), 437)

    def test_quota_and_capacity(self) -> None:
        self.serve(quota=1, capacity=2, users={"user": "secret", "other": "secret", "third": "s"})
        self.client.allocate()

        def entry(**who: object) -> int | None:
            client = self.call(**who)  # type: ignore[arg-type]
            client.challenge()
            return client.code(Method.ALLOCATE, UDP)

        self.assertEqual(entry(), 486)
        self.assertEqual(entry(username="other"), 0)
        self.assertEqual(entry(username="third", password="s"), 508)
        self.server.limit()
        self.assertEqual(entry(), 0)

    def test_it_ends_with_its_lifetime_unless_it_is_refreshed(self) -> None:
        relayed = self.client.allocate().xor_relayed_addresses[0]
        self.clock.advance(500.0)
        answer = self.client.ask(Method.REFRESH, lifetime(900))
        assert answer is not None
        self.assertEqual(answer.lifetime, 900)
        self.clock.advance(850.0)
        self.assertEqual(len(self.server.allocations), 1)
        self.clock.advance(60.0)
        self.assertEqual(self.server.allocations, [])
        self.assertIsNone(self.machine.port(relayed))
        self.assertEqual(self.told("expired"), 1)

    def test_a_lifetime_is_at_least_ten_minutes_and_at_most_the_servers(self) -> None:
        self.assertEqual(self.call().allocate(lifetime(5)).lifetime, 600)
        self.assertEqual(self.call().allocate(lifetime(99999)).lifetime, 3600)
        self.serve(max_lifetime=30.0)
        client = self.call()
        self.assertEqual(client.allocate().lifetime, 30)
        self.clock.advance(30.0)
        self.assertEqual(self.server.allocations, [])

    def test_a_refresh_may_shorten_it(self) -> None:
        self.client.allocate(lifetime(3600))
        self.client.ask(Method.REFRESH, lifetime(600))
        self.clock.advance(601.0)
        self.assertEqual(self.server.allocations, [])

    def test_lifetime_0_releases_it(self) -> None:
        self.client.allocate()
        self.assertEqual(self.client.code(Method.REFRESH, lifetime(0)), 0)
        self.assertEqual(self.server.allocations, [])
        self.assertEqual(self.told("released"), 1)
        self.assertEqual(self.client.code(Method.REFRESH, lifetime(0)), 437)

    def test_only_who_made_it_may_change_it(self) -> None:
        self.serve(users={"user": "secret", "other": "secret"})
        self.client.allocate()
        self.client.username = "other"
        self.client.challenge()
        self.assertEqual(self.client.code(Method.REFRESH, lifetime(0)), 441)

    def test_a_refresh_of_another_family_is_a_mismatch(self) -> None:
        self.client.allocate()
        self.assertEqual(self.client.code(Method.REFRESH, SIX), 443)


class RelayTests(ServerCase):
    """RFC 8656 sections 9 to 12."""

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def open(self) -> None:
        """Allocate both families."""
        four, six = self.client.allocate(BOTH).xor_relayed_addresses
        self.relay, self.relay6 = four, six
        self.allocation = self.server.allocations[0]

    def from_peer(self, data: bytes = b"hello", ear: Ear | None = None) -> None:
        """The peer sends to the relayed address."""
        (ear or self.peer).send(self.relay, data)
        self.clock.advance(1.0)

    def test_nothing_passes_without_a_permission(self) -> None:
        self.client.send_to(PEER, b"x")
        self.from_peer()
        self.assertEqual((self.peer.heard, self.client.relayed()), ([], []))
        self.assertEqual(self.allocation.not_permitted, 2)

    def test_with_a_permission_data_goes_both_ways(self) -> None:
        self.assertEqual(self.client.permit(PEER[0]), 0)
        self.client.send_to(PEER, b"ping")
        self.from_peer(b"pong")
        self.assertEqual((self.peer.data, self.peer.sources), ([b"ping"], [self.relay]))
        self.assertEqual(self.client.relayed(), [(PEER, b"pong")])

    def test_both_families_are_relayed(self) -> None:
        self.client.code(Method.CREATE_PERMISSION, self.client.peer(PEER6), self.client.peer(PEER))
        self.client.send_to(PEER6, b"six")
        self.peer6.send(self.relay6, b"back")
        self.clock.advance(1.0)
        self.assertEqual((self.peer6.data, self.peer6.sources), ([b"six"], [self.relay6]))
        self.assertEqual(self.client.relayed(), [(PEER6, b"back")])

    def test_a_permission_is_for_a_host_and_for_five_minutes(self) -> None:
        other = Ear(self.peer.host, (PEER[0], 6001))
        self.client.permit(PEER[0])
        self.from_peer(ear=other)
        self.clock.advance(290.0)
        self.from_peer(ear=other)
        self.assertEqual(len(self.client.relayed()), 2)
        self.clock.advance(10.0)
        self.from_peer(ear=other)
        self.assertEqual(len(self.client.relayed()), 2)

    def test_relayed_data_meets_the_peers_nat_as_any_other(self) -> None:
        nat = self.network.nat("nat", "203.0.113.50", PORT_RESTRICTED)
        inside = Ear(self.network.host("carol", ["10.0.0.2"], nat=nat), ("10.0.0.2", 7000))
        self.client.permit(nat.address)
        self.client.send_to((nat.address, 7000), b"too early")
        self.assertEqual(self.network.log.of(Fate.NAT_DROPPED)[-1].detail, "no mapping")
        inside.send(self.relay, b"punch")
        self.clock.advance(1.0)
        self.client.send_to((nat.address, 7000), b"in")
        self.assertEqual(inside.data, [b"in"])
        self.assertEqual(self.client.relayed(), [((nat.address, 7000), b"punch")])

    def test_a_channel_is_a_number_for_a_peer(self) -> None:
        self.assertEqual(self.client.bind(0x4001, PEER), 0)
        self.client.transmit(b"\x40\x01\0\x03abc")
        self.clock.advance(1.0)
        self.from_peer(b"defgh")
        self.assertEqual(self.peer.data, [b"abc"])
        self.assertEqual(self.client.heard[-1], b"\x40\x01\0\x05defgh")

    def test_a_channel_lasts_ten_minutes_and_its_permission_five(self) -> None:
        self.client.bind(0x4001, PEER)
        self.clock.advance(310.0)
        self.client.transmit(b"\x40\x01\0\x01a")
        self.clock.advance(1.0)
        self.assertEqual(self.peer.heard, [])
        self.client.code(Method.REFRESH)
        self.client.permit(PEER[0])
        self.client.transmit(b"\x40\x01\0\x01b")
        self.clock.advance(1.0)
        self.assertEqual(self.peer.data, [b"b"])
        self.clock.advance(290.0)
        self.client.permit(PEER[0])
        self.from_peer(b"as an indication")
        self.assertEqual(self.client.relayed(), [(PEER, b"as an indication")])

    def test_a_channel_and_its_peer_belong_together(self) -> None:
        other: Address = (PEER[0], 6001)
        self.assertEqual(self.client.bind(0x4001, PEER), 0)
        self.assertEqual(self.client.bind(0x4001, PEER), 0, "refreshed")
        self.assertEqual(self.client.bind(0x4001, other), 400)
        self.assertEqual(self.client.bind(0x4002, PEER), 400)
        self.assertEqual(self.client.bind(0x4002, other), 0)
        self.assertEqual(self.client.bind(0x5000, (PEER[0], 6002)), 400)
        self.assertEqual(self.client.code(Method.CHANNEL_BIND, channel(0x4003)), 400)

    def test_a_peer_of_a_family_that_is_not_relayed_is_a_mismatch(self) -> None:
        client = self.call()
        client.allocate()
        self.assertEqual(client.permit(PEER6[0]), 443)
        self.assertEqual(client.bind(0x4000, PEER6), 443)

    def test_a_forbidden_peer_takes_its_whole_request_with_it(self) -> None:
        """RFC 8656 section 10.2; T31."""
        self.server.forbid("198.51.100.66")
        self.assertEqual(self.client.permit(PEER[0], "198.51.100.66"), 403)
        self.assertEqual(self.allocation.permissions, {})
        self.assertEqual(self.client.permit(PEER[0]), 0)
        self.assertEqual(self.client.code(Method.CREATE_PERMISSION), 400)
        bad = (int(Attribute.XOR_PEER_ADDRESS), b"bad")
        good = self.client.peer(PEER)
        self.assertEqual(self.client.code(Method.CREATE_PERMISSION, good, bad), 400)

    def test_two_allocations_of_one_server_reach_each_other(self) -> None:
        other = self.call()
        relay = other.allocate().xor_relayed_addresses[0]
        other.permit(SERVER)
        self.client.permit(SERVER)
        self.client.send_to(relay, b"across")
        self.assertEqual(other.relayed(), [(self.relay, b"across")])

    def test_what_is_no_message_is_counted_and_hurts_nobody(self) -> None:
        for data in (b"", b"x", b"\x40\x01\0\x09abc", b"\0\x01\0\0", b"\xff" * 30):
            self.client.transmit(data)
        self.clock.advance(1.0)
        self.assertGreater(self.told("garbage"), 0)
        self.assertEqual(self.client.permit(PEER[0]), 0)
