"""What tests do to a fake server, and how it lies."""

from __future__ import annotations

from refreeze.basics import Address
from refreeze.stun import (
    Attribute,
    Method,
    PasswordAlgorithm,
    StunError,
    nonce_features,
    parse,
)
from refreeze.testing import FakeTurnServer, Lie
from tests.testing.test_turnserver import PEER, SECOND, SERVER, SERVER6, ServerCase
from tests.testing.turnclient import UDP, lifetime


class FaultTests(ServerCase):
    """What happens to honest servers."""

    def entry(self, **who: object) -> int | None:
        """What a signed Allocate of a new client gets."""
        client = self.call(**who)  # type: ignore[arg-type]
        client.challenge()
        return client.code(Method.ALLOCATE, UDP)

    def test_a_killed_server_is_silent_and_has_nothing(self) -> None:
        relayed = self.client.allocate().xor_relayed_addresses[0]
        self.server.kill()
        self.server.kill()
        self.assertIsNone(self.client.code(Method.REFRESH))
        self.assertIsNone(self.client.code(Method.BINDING))
        self.assertIsNone(self.machine.port(relayed))
        self.assertEqual(self.server.allocations, [])
        self.assertEqual(self.told("killed"), 1)

    def test_a_restarted_server_knows_nobody(self) -> None:
        """T33: the nonce is stale, and then there is no allocation."""
        self.client.allocate()
        self.server.restart()
        answer = self.client.ask(Method.REFRESH)
        assert answer is not None
        self.assertEqual(answer.error_code, (438, "Stale Nonce"))
        self.client.learn(answer)
        self.assertEqual(self.client.code(Method.REFRESH), 437)
        self.client.allocate()

    def test_rotated_credentials_leave_allocations_to_those_who_made_them(self) -> None:
        """T30: a changed name gets 441 on the old 5-tuple, the old one 401."""
        self.client.allocate()
        self.server.rotate_credentials({"new": "other"})
        self.assertEqual(self.client.code(Method.REFRESH), 401)
        self.assertEqual(self.entry(username="new", password="other"), 0)
        self.client.username, self.client.password = "new", "other"
        self.client.challenge()
        self.assertEqual(self.client.code(Method.REFRESH), 441)
        self.assertEqual(len(self.server.allocations), 2)

    def test_a_forgotten_allocation_is_a_mismatch(self) -> None:
        self.client.allocate()
        other = self.call()
        other.allocate()
        self.server.forget(self.server.allocations[0])
        self.assertEqual(self.client.code(Method.REFRESH), 437)
        self.assertEqual(other.code(Method.REFRESH), 0)
        self.server.forget()
        self.assertEqual(other.code(Method.REFRESH), 437)
        self.assertEqual(self.told("forgotten"), 2)

    def test_a_method_is_refused_so_many_times(self) -> None:
        self.client.allocate()
        self.server.refuse(Method.CREATE_PERMISSION, 508, 2, reason="full up")
        answer = self.client.ask(Method.CREATE_PERMISSION, self.client.peer(PEER))
        assert answer is not None
        self.assertEqual(answer.error_code, (508, "full up"))
        assert self.client.key is not None
        self.assertTrue(answer.verify(self.client.key))
        self.assertEqual(self.client.code(Method.REFRESH), 0)
        self.assertEqual(self.client.permit(PEER[0]), 508)
        self.assertEqual(self.client.permit(PEER[0]), 0)

    def test_a_method_is_refused_until_it_is_accepted(self) -> None:
        self.server.refuse(Method.ALLOCATE, 486, None)
        self.assertEqual([self.entry() for _ in range(5)], [486] * 5)
        self.server.accept(Method.ALLOCATE)
        self.assertEqual(self.entry(), 0)
        self.server.refuse(Method.BINDING, 500)
        self.assertEqual(self.client.code(Method.BINDING), 500)

    def test_a_refusal_that_is_a_challenge_says_how_to_sign(self) -> None:
        self.client.allocate()
        self.server.refuse(Method.REFRESH, 438)
        answer = self.client.ask(Method.REFRESH)
        assert answer is not None
        self.assertEqual((answer.realm, answer.nonce), ("refreeze.test", self.client.nonce))

    def test_who_allocates_is_sent_to_another_server(self) -> None:
        """RFC 8489 section 10: unsigned to who does not sign, signed to who does."""
        self.client.challenge()
        other: Address = (SECOND, 3478)
        self.server.redirect(other, "turn.example")
        answer = self.client.ask(Method.ALLOCATE, UDP)
        assert answer is not None
        assert self.client.key is not None
        self.assertTrue(answer.verify(self.client.key))
        self.client.key = None
        unsigned = self.client.ask(Method.ALLOCATE, UDP)
        assert unsigned is not None
        for each in (answer, unsigned):
            self.assertEqual(each.error_code, (300, "Try Alternate"))
            self.assertEqual(each.alternate_server, other)
            self.assertEqual(each.alternate_domain, "turn.example")
        self.assertEqual(self.client.code(Method.BINDING), 0)
        self.server.redirect(None)
        self.client.allocate()

    def test_a_server_can_say_anything_to_one_client_or_to_all(self) -> None:
        other = self.call()
        for client in (self.client, other):
            client.ask(Method.BINDING)
            client.heard.clear()
        self.server.say(b"to all")
        self.server.say(b"to one", other.ear.local)
        self.server.flood(20, other.ear.local)
        self.clock.advance(1.0)
        self.assertEqual(self.client.heard, [b"to all"])
        self.assertEqual(len(other.heard), 22)

    def test_equal_seeds_give_equal_noise(self) -> None:
        noise = []
        for _ in range(2):
            self.setUp()
            self.client.ask(Method.BINDING)
            self.server.flood(20)
            self.clock.advance(1.0)
            noise.append(self.client.heard)
        self.assertEqual(noise[0], noise[1])

    def test_a_dead_machine_is_a_blackhole(self) -> None:
        self.client.allocate()
        hole = self.network.blackhole("turn")
        self.assertIsNone(self.client.code(Method.REFRESH))
        hole.end()
        self.assertEqual(self.client.code(Method.REFRESH), 0)


class LieTests(ServerCase):
    """Each lie is the one that it says."""

    addresses = (SERVER, SERVER6)

    def lie(self, lie: Lie, **settings: object) -> FakeTurnServer:
        """A server that lies so."""
        server = self.serve(**settings)
        server.lies.add(lie)
        return server

    def test_another_transaction(self) -> None:
        self.lie(Lie.WRONG_TRANSACTION)
        self.assertIsNone(self.client.ask(Method.BINDING))
        self.assertEqual(len(self.client.heard), 1)

    def test_another_signature(self) -> None:
        self.client.challenge()
        self.server.lies.add(Lie.WRONG_SIGNATURE)
        answer = self.client.ask(Method.ALLOCATE, UDP)
        assert answer is not None
        assert self.client.key is not None
        self.assertTrue(answer.has_integrity)
        self.assertFalse(answer.verify(self.client.key))

    def test_another_source(self) -> None:
        self.lie(Lie.FOREIGN_SOURCE)
        self.client.ask(Method.BINDING)
        host, port = self.client.sources[0]
        self.assertEqual(host, SERVER)
        self.assertNotEqual(port, 3478)
        self.server.kill()
        self.machine.add_address(SECOND)
        self.server.start()
        self.client.ask(Method.BINDING)
        self.assertEqual(self.client.sources[-1][0], SECOND)

    def test_lifetimes(self) -> None:
        self.client.challenge()
        self.server.lies.add(Lie.ENDLESS_LIFETIME)
        answer = self.client.ask(Method.ALLOCATE, UDP)
        assert answer is not None
        self.assertEqual(answer.lifetime, 2**32 - 1)
        self.server.lies.clear()
        self.server.lies.add(Lie.NO_LIFETIME)
        answer = self.client.ask(Method.REFRESH, lifetime(600))
        assert answer is not None
        self.assertEqual(answer.lifetime, 0)
        self.assertEqual(len(self.server.allocations), 1)

    def test_a_huge_nonce(self) -> None:
        self.lie(Lie.HUGE_NONCE)
        self.client.key = None
        self.client.transmit(self.client._request(Method.ALLOCATE, bytes(12), (UDP,)))
        self.clock.advance(1.0)
        self.assertGreater(len(self.client.heard[0]), 4000)
        self.assertRaises(StunError, parse, self.client.heard[0])

    def test_stale_for_ever(self) -> None:
        self.lie(Lie.STALE_FOR_EVER)
        self.client.challenge()
        nonces = set()
        for _ in range(5):
            answer = self.client.ask(Method.ALLOCATE, UDP)
            assert answer is not None
            self.assertEqual(answer.error_code, (438, "Stale Nonce"))
            self.client.learn(answer)
            nonces.add(answer.nonce)
        self.assertEqual(len(nonces), 5)

    def test_a_list_that_somebody_took_away(self) -> None:
        self.lie(Lie.BID_DOWN, sha256=True)
        client = self.call(algorithm=PasswordAlgorithm.SHA256)
        answer = client.challenge()
        self.assertIsNone(answer.password_algorithms)
        self.assertTrue(nonce_features(answer.nonce or ""))

    def test_a_relayed_address_that_is_none(self) -> None:
        self.client.challenge()
        self.server.lies.add(Lie.FOREIGN_RELAY)
        answer = self.client.ask(Method.ALLOCATE, UDP)
        assert answer is not None
        self.assertEqual(answer.xor_relayed_addresses, (("127.0.0.1", 9),))

    def test_noise_before_every_answer(self) -> None:
        self.lie(Lie.JUNK)
        self.client.transmit(self.client._request(Method.BINDING, bytes(12), ()))
        self.clock.advance(1.0)
        self.assertEqual(len(self.client.heard), 51)
        self.assertEqual(parse(self.client.heard[-1]).xor_mapped_address, self.client.ear.local)

    def test_half_an_answer_and_none(self) -> None:
        self.lie(Lie.MID_FRAME)
        self.client.transmit(self.client._request(Method.BINDING, bytes(12), ()))
        self.clock.advance(1.0)
        self.assertRaises(StunError, parse, self.client.heard[0])
        self.server.lies.add(Lie.SILENCE)
        self.client.transmit(self.client._request(Method.BINDING, bytes(12), ()))
        self.clock.advance(1.0)
        self.assertEqual(len(self.client.heard), 1)
        self.assertEqual(self.told("binding"), 2)

    def test_the_attributes_that_nobody_lies_about_stay(self) -> None:
        self.lie(Lie.ENDLESS_LIFETIME)
        answer = self.client.ask(Method.BINDING)
        assert answer is not None
        self.assertEqual(answer.attribute(Attribute.SOFTWARE), b"refreeze-fake")
