"""Challenges and signatures: what is answered, what is believed, what is never done twice."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    SecurityFeature,
    cookie_of,
    encode_algorithms,
    long_term_key,
    parse,
    user_hash,
)
from refreeze.stun.attributes import encode_error_code
from refreeze.turn import (
    Allocated,
    AllocationFailed,
    AllocationLost,
    AllocationState,
    PermissionRefused,
    TurnProblem,
)
from refreeze.turn.authentication import opaque_string
from tests.turn.duet import DATA, PEER, Duet
from tests.turn.server import ModelServer

SHA256_FIRST = (2, 1)
METHODS = (Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)


def challenge(request: bytes, code: int, *attributes: tuple[int, bytes]) -> bytes:
    """An error response to *request* with exactly these attributes."""
    asked = parse(request)
    builder = MessageBuilder(asked.method, MessageClass.ERROR, asked.transaction_id)
    builder.add(Attribute.ERROR_CODE, encode_error_code(code, ""))
    for kind, value in attributes:
        builder.add(kind, value)
    return builder.build()


class ChallengeTests(SynchronousTestCase):
    def challenged(self, code: int, *attributes: tuple[int, bytes]) -> Duet:
        """An allocation whose first request got that."""
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.collect()
        duet.arrive(challenge(duet.sent[0][1], code, *attributes))
        return duet

    def fails(self, reason: str, code: int, *attributes: tuple[int, bytes]) -> None:
        duet = self.challenged(code, *attributes)
        self.assertEqual(duet.told, [AllocationFailed(TurnProblem(code, reason), "later")])
        self.assertEqual(len(duet.sent), 1)

    def test_the_second_request_says_who_we_are(self) -> None:
        """RFC 8489 section 9.2.5."""
        duet = self.challenged(401, (Attribute.REALM, b"r"), (Attribute.NONCE, b"n"))
        first, second = (parse(data) for _, data in duet.sent)
        self.assertNotEqual(first.transaction_id, second.transaction_id)
        self.assertIsNone(first.username)
        self.assertEqual((second.username, second.realm, second.nonce), ("user", "r", "n"))
        self.assertTrue(second.verify(long_term_key("user", "r", "secret")))

    def test_a_challenge_that_lacks_something_ends_it(self) -> None:
        self.fails("bad-challenge", 401, (Attribute.REALM, b"r"))
        self.fails("bad-challenge", 401, (Attribute.NONCE, b"n"))
        self.fails("bad-challenge", 438, (Attribute.NONCE, b"n"))

    def test_a_huge_nonce_or_realm_is_refused(self) -> None:
        """RFC 8489 sections 14.9 and 14.10: at most 128 letters."""
        long = b"n" * 129
        self.fails("bad-challenge", 401, (Attribute.REALM, b"r"), (Attribute.NONCE, long))
        self.fails("bad-challenge", 401, (Attribute.REALM, long), (Attribute.NONCE, b"n"))
        duet = self.challenged(401, (Attribute.REALM, b"r"), (Attribute.NONCE, long[:128]))
        self.assertEqual(len(duet.sent), 2)

    def test_what_stun_itself_does_not_allow_is_ignored_and_named_in_the_end(self) -> None:
        duet = self.challenged(401, (Attribute.REALM, b"r"), (Attribute.NONCE, b"n" * 5000))
        duet.server.silent.add(int(Method.ALLOCATE))
        self.assertEqual(duet.allocation.dropped["malformed"], 1)
        duet.run(60.0)
        problem = TurnProblem(None, "malformed")
        self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_the_nonce_promises_algorithms_that_somebody_took_away(self) -> None:
        """Bid-down protection (RFC 8489 section 9.2.5)."""
        nonce = (cookie_of(SecurityFeature.PASSWORD_ALGORITHMS) + "abc").encode()
        self.fails("bid-down", 401, (Attribute.REALM, b"r"), (Attribute.NONCE, nonce))

    def test_none_of_the_algorithms_is_known(self) -> None:
        for numbers in ((), (9,), (0, 3)):
            self.fails(
                "no-password-algorithm",
                401,
                (Attribute.REALM, b"r"),
                (Attribute.NONCE, b"n"),
                (Attribute.PASSWORD_ALGORITHMS, encode_algorithms(numbers)),
            )

    def test_the_first_known_algorithm_is_taken_and_the_list_sent_back(self) -> None:
        offered = encode_algorithms((9, 2, 1))
        duet = self.challenged(
            401,
            (Attribute.REALM, b"r"),
            (Attribute.NONCE, b"n"),
            (Attribute.PASSWORD_ALGORITHMS, offered),
        )
        second = parse(duet.sent[1][1])
        self.assertEqual(second.attribute(Attribute.PASSWORD_ALGORITHMS), offered)
        self.assertEqual(second.attribute(Attribute.PASSWORD_ALGORITHM), encode_algorithms([2]))
        self.assertTrue(second.verify(long_term_key("user", "r", "secret", sha256=True)))
        self.assertFalse(second.has_integrity)

    def test_a_realm_that_changes_all_the_time_ends(self) -> None:
        duet = self.challenged(401, (Attribute.REALM, b"r0"), (Attribute.NONCE, b"n"))
        for n in range(1, 10):
            if duet.told:
                break
            realm = f"r{n}".encode()
            data = duet.sent[-1][1]
            duet.arrive(challenge(data, 401, (Attribute.REALM, realm), (Attribute.NONCE, b"n")))
        expected = AllocationFailed(TurnProblem(401, "unauthorized"), "other-credentials")
        self.assertEqual(duet.told, [expected])
        self.assertEqual(len(duet.sent), 1 + duet.allocation.settings.challenges)


class CredentialTests(SynchronousTestCase):
    def test_a_wrong_password_is_tried_once(self) -> None:
        duet = Duet(password="wrong").start(60.0)
        problem = TurnProblem(401, "unauthorized")
        self.assertEqual(duet.told, [AllocationFailed(problem, "other-credentials")])
        self.assertEqual(duet.server.count(Method.ALLOCATE), 2)

    def test_a_password_is_hashed_as_the_server_hashes_it(self) -> None:
        """OpaqueString (RFC 8489 section 9.2.2): composed letters, ASCII spaces."""
        self.assertEqual(opaque_string("e\u0301\u00a0\u3000x y"), "\u00e9  x y")
        self.assertEqual(opaque_string("plain ~"), "plain ~")
        duet = Duet(
            server=ModelServer(password="caf\u00e9 au lait"), password="cafe\u0301\u00a0au lait"
        )
        self.assertEqual(duet.start().told, [Allocated()])

    def test_sha256_on_every_method(self) -> None:
        for algorithms in (SHA256_FIRST, (2,), (1, 2), (1,)):
            duet = Duet(server=ModelServer(algorithms=algorithms)).ready(PEER)
            duet.send()
            duet.run(1300.0)
            self.assertIs(duet.allocation.state, AllocationState.READY)
            for method in METHODS:
                self.assertGreater(duet.server.count(method), 1)
            signed = [m for _, m in duet.server.seen[1:] if m.message_class is MessageClass.REQUEST]
            self.assertTrue(all(m.has_integrity_sha256 for m in signed))
            self.assertFalse(any(m.has_integrity for m in signed))

    def test_a_server_that_wants_no_name_gets_its_hash(self) -> None:
        """USERHASH (RFC 8489 section 9.2.5)."""
        duet = Duet(server=ModelServer(algorithms=SHA256_FIRST, anonymous=True)).ready(PEER)
        _, message = duet.server.seen[-1]
        self.assertIsNone(message.username)
        expected = user_hash("user", "example.org")
        self.assertEqual(message.attribute(Attribute.USERHASH), expected)

    def test_sha256_once_agreed_is_not_given_up(self) -> None:
        """Somebody on the path answers 438 as if the server knew SHA-1 only."""
        duet = Duet(server=ModelServer(algorithms=SHA256_FIRST)).ready(PEER)
        duet.server.silent.add(int(Method.REFRESH))
        duet.allocation.verify(duet.now)
        duet.collect()
        forged = challenge(
            duet.sent[-1][1], 438, (Attribute.REALM, b"example.org"), (Attribute.NONCE, b"n")
        )
        duet.arrive(forged)
        self.assertEqual(duet.told[-1], AllocationLost("bid-down"))
        self.assertEqual(duet.allocation.problem, TurnProblem(438, "bid-down"))

    def test_a_new_realm_makes_a_new_key(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.realm = "example.net"
        duet.allocation.verify(duet.now)
        duet.run(5.0)
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.server.seen[-1][1].realm, "example.net")

    def test_two_requests_that_a_new_realm_overtakes(self) -> None:
        """The second 401 names the realm that the first one taught: still worth one request."""
        duet = Duet().ready(PEER)
        duet.server.realm = "example.net"
        for host in ("203.0.113.8", "203.0.113.9"):
            duet.allocation.permit(host, duet.now)
        duet.run(5.0)
        self.assertEqual(len(duet.server.permissions), 3)
        self.assertEqual(len(duet.told), 1)


class StaleNonceTests(SynchronousTestCase):
    def test_438_on_every_method(self) -> None:
        """T32: the nonce is stale whenever anything is asked for."""
        duet = Duet(server=ModelServer(nonce_seconds=1.0)).start()
        duet.run(5.0)
        duet.allocation.permit(PEER[0], duet.now)
        duet.run(5.0)
        duet.send()
        duet.run(5.0)
        self.assertTrue(duet.send())
        duet.run(2000.0)
        self.assertEqual([kind for _, _, kind in duet.at_peers], ["indication", "channel"])
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.server.faults, [])
        asked = {method: duet.server.count(method) for method in METHODS}
        self.assertTrue(all(each >= 4 for each in asked.values()), asked)
        duet.allocation.release(duet.now)
        duet.run(1.0)
        self.assertIsNone(duet.server.expires_at)

    def test_438_may_leave_out_the_realm(self) -> None:
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        duet.allocation.verify(duet.now)
        duet.collect()
        duet.arrive(challenge(duet.sent[-1][1], 438, (Attribute.NONCE, b"fresh")))
        again = parse(duet.sent[-1][1])
        self.assertEqual((again.realm, again.nonce), ("example.org", "fresh"))
        self.assertTrue(again.verify(duet.server.key()))

    def test_438_for_ever_ends_with_a_name(self) -> None:
        for server in (
            ModelServer(nonce_seconds=0.0),
            ModelServer(always={int(Method.ALLOCATE): 438}),
        ):
            duet = Duet(server=server).start(60.0)
            problem = TurnProblem(438, "stale-nonce")
            self.assertEqual(duet.told, [AllocationFailed(problem, "later")])
            most = 1 + duet.allocation.settings.challenges
            self.assertEqual(server.count(Method.ALLOCATE), most)

    def test_438_for_ever_on_a_refresh_loses_the_allocation(self) -> None:
        duet = Duet(server=ModelServer()).ready(PEER)
        duet.server.always[int(Method.REFRESH)] = 438
        duet.allocation.verify(duet.now)
        duet.run(5.0)
        self.assertEqual(duet.told[-1], AllocationLost("stale-nonce"))
        self.assertEqual(duet.server.count(Method.REFRESH), 1 + duet.allocation.settings.challenges)

    def test_438_for_ever_on_a_permission_refuses_it(self) -> None:
        """T31: the waiter does not hang, and the allocation, asked, is still there."""
        duet = Duet().ready()
        duet.server.always[int(Method.CREATE_PERMISSION)] = 438
        self.assertTrue(duet.send())
        duet.run(10.0)
        problem = TurnProblem(438, "stale-nonce")
        self.assertEqual(duet.told[-1], PermissionRefused(PEER[0], problem))
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.server.count(Method.REFRESH), 1)
        self.assertEqual(duet.allocation.dropped["waited-in-vain"], 1)

    def test_438_for_ever_on_a_channel_leaves_indications(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.always[int(Method.CHANNEL_BIND)] = 438
        for _ in range(5):
            self.assertTrue(duet.send())
            duet.run(1.0)
        self.assertEqual(duet.at_peers, [(PEER, DATA, "indication")] * 5)
        self.assertIs(duet.allocation.state, AllocationState.READY)


class BelievingTests(SynchronousTestCase):
    """A success response to a signed request is signed (RFC 8489 section 9.2.5)."""

    def unsigned(self, builder: MessageBuilder, data: bytes) -> bytes:
        return builder.build()

    def wrongly_signed(self, builder: MessageBuilder, data: bytes) -> bytes:
        return builder.build(long_term_key("user", "example.org", "guess"))

    def bid_down(self, builder: MessageBuilder, data: bytes) -> bytes:
        return builder.build(long_term_key("user", "example.org", "secret"))

    def both(self) -> list[Callable[[MessageBuilder, bytes], bytes]]:
        return [self.unsigned, self.wrongly_signed]

    def test_over_udp_others_are_ignored_and_the_wait_goes_on(self) -> None:
        for spoil in self.both():
            duet = Duet(server=ModelServer(spoil=spoil)).start(5.0)
            self.assertIs(duet.allocation.state, AllocationState.ALLOCATING)
            self.assertGreater(duet.allocation.dropped["integrity"], 1)
            duet.server.spoil = None
            duet.server._answers.clear()
            duet.server.forget()
            duet.run(10.0)
            self.assertIs(duet.allocation.state, AllocationState.READY)

    def test_over_udp_the_end_says_why(self) -> None:
        for spoil in self.both():
            duet = Duet(server=ModelServer(spoil=spoil)).start(60.0)
            problem = TurnProblem(None, "integrity")
            self.assertEqual(duet.events, [(1039.5, AllocationFailed(problem, "later"))])

    def test_over_tcp_the_first_one_ends_it(self) -> None:
        for spoil in self.both():
            duet = Duet(server=ModelServer(spoil=spoil), reliable=True).start()
            problem = TurnProblem(None, "integrity")
            self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_sha1_does_not_answer_sha256(self) -> None:
        server = ModelServer(algorithms=SHA256_FIRST, spoil=self.bid_down)
        duet = Duet(server=server).start(5.0)
        self.assertIs(duet.allocation.state, AllocationState.ALLOCATING)
        self.assertGreater(duet.allocation.dropped["integrity"], 0)

    def test_an_error_with_a_wrong_signature_is_ignored(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.silent.add(int(Method.REFRESH))
        duet.allocation.verify(duet.now)
        duet.collect()
        asked = parse(duet.sent[-1][1])
        builder = MessageBuilder(asked.method, MessageClass.ERROR, asked.transaction_id)
        builder.add(Attribute.ERROR_CODE, encode_error_code(437, ""))
        duet.arrive(builder.build(long_term_key("user", "example.org", "guess")))
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.allocation.dropped["integrity"], 1)
