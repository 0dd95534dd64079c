"""From start to the end of one allocation."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import Attribute, MessageBuilder, Method, parse
from refreeze.turn import (
    Allocated,
    Allocation,
    AllocationFailed,
    AllocationLost,
    AllocationState,
    ChannelBound,
    PermissionRefused,
    Released,
    TurnCredentials,
    TurnProblem,
    TurnSettings,
)
from tests.turn.duet import DATA, PEER, SERVER, Duet
from tests.turn.server import CLIENT, RELAYED, ModelServer

PEER6 = ("2001:db8::77", 6000)


class LifeTests(SynchronousTestCase):
    def test_it_allocates_relays_and_is_given_back(self) -> None:
        """T29: the Refresh with lifetime 0 leaves on the allocation's own 5-tuple."""
        duet = Duet().ready(PEER)
        allocation = duet.allocation
        self.assertEqual(allocation.relayed, {4: RELAYED[4]})
        self.assertEqual(allocation.mapped, CLIENT)
        self.assertEqual(allocation.software, "model")
        self.assertEqual(allocation.lifetime, 600.0)
        self.assertAlmostEqual(allocation.rtt or 0.0, 0.04)
        self.assertTrue(duet.send())
        duet.run(1.0)
        self.assertTrue(duet.send())
        duet.run(0.1).from_peer(b"hello")
        duet.run(0.1)
        self.assertEqual(duet.at_peers, [(PEER, DATA, "indication"), (PEER, DATA, "channel")])
        self.assertEqual(duet.received, [(4, PEER, b"hello")])
        allocation.release(duet.now)
        duet.run(1.0)
        self.assertIsNone(duet.server.expires_at)
        self.assertEqual(duet.told, [Allocated(), ChannelBound(PEER), Released()])
        self.assertIsNone(allocation.next_deadline())
        self.assertEqual(duet.server.faults, [])

    def test_two_families_on_one_allocation(self) -> None:
        """ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 7.1)."""
        duet = Duet(families=(4, 6)).ready(PEER, PEER6)
        self.assertEqual(duet.allocation.relayed, RELAYED)
        self.assertEqual(duet.allocation.missing, {})
        for peer in (PEER, PEER6):
            self.assertTrue(duet.send(peer=peer))
            duet.run(0.1).from_peer(b"x", peer)
        duet.run(1.0)
        self.assertEqual([peer for peer, _, _ in duet.at_peers], [PEER, PEER6])
        self.assertEqual(duet.received, [(4, PEER, b"x"), (6, PEER6, b"x")])

    def test_ipv6_alone_is_asked_for_by_name(self) -> None:
        duet = Duet(families=(6,)).ready()
        self.assertEqual(duet.allocation.relayed, {6: RELAYED[6]})

    def test_ipv4_alone_is_not_asked_for_by_name(self) -> None:
        """A server of RFC 5766 answers REQUESTED-ADDRESS-FAMILY with 420."""
        duet = Duet().ready()
        for _, message in duet.server.seen:
            self.assertIsNone(message.attribute(Attribute.REQUESTED_ADDRESS_FAMILY))
            self.assertIsNone(message.attribute(Attribute.ADDITIONAL_ADDRESS_FAMILY))

    def test_one_of_two_families_is_enough(self) -> None:
        """ADDRESS-ERROR-CODE (RFC 8656 section 7.3) names why the other is missing."""
        for given, lacking in ((4, 6), (6, 4)):
            duet = Duet(families=(4, 6), server=ModelServer(families=(given,))).ready()
            self.assertEqual(duet.allocation.relayed, {given: RELAYED[given]})
            self.assertEqual(duet.allocation.missing, {lacking: TurnProblem(440, "address-family")})

    def test_a_server_that_never_heard_of_two_families(self) -> None:
        """It may ignore what it does not know, and then says nothing about it."""
        server = ModelServer(families=(4,))

        def without_reason(builder: MessageBuilder, data: bytes) -> bytes:
            answer = parse(data)
            again = MessageBuilder(answer.method, answer.message_class, answer.transaction_id)
            for kind in (Attribute.XOR_RELAYED_ADDRESS, Attribute.LIFETIME):
                again.add(kind, answer.attribute(kind) or b"")
            return again.build(server.key())

        server.spoil = without_reason
        duet = Duet(families=(4, 6), server=server).start()
        self.assertEqual(duet.allocation.relayed, {4: RELAYED[4]})
        self.assertEqual(duet.allocation.missing, {6: TurnProblem(None, "not-relayed")})
        self.assertIsNone(duet.allocation.mapped)

    def test_the_second_family_is_asked_for_by_both_its_numbers(self) -> None:
        """coturn 4.6 knows only the one that was there before the RFC."""
        duet = Duet(families=(4, 6)).ready()
        _, message = duet.server.seen[-1]
        for kind in (Attribute.ADDITIONAL_ADDRESS_FAMILY, 0x8032):
            self.assertEqual(message.attribute(kind), b"\x02\x00\x00\x00")

    def test_a_permission_for_a_family_that_is_not_relayed_is_refused_at_once(self) -> None:
        duet = Duet().ready()
        duet.allocation.permit(PEER6[0], duet.now)
        self.assertFalse(duet.send(peer=PEER6))
        problem = TurnProblem(None, "peer-address-family")
        self.assertEqual(duet.told, [Allocated(), PermissionRefused(PEER6[0], problem)])

    def test_other_families_are_no_settings(self) -> None:
        for families in ((), (6, 4), (4, 4), (5,)):
            with self.assertRaises(ValueError):
                Duet(families=families)

    def test_a_server_without_authentication(self) -> None:
        duet = Duet(server=ModelServer(authenticates=False)).ready(PEER)
        duet.send()
        duet.run(700.0)
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.server.faults, [])

    def test_over_tcp_every_request_is_sent_once(self) -> None:
        """RFC 8489 section 6.2.2."""
        duet = Duet(reliable=True, server=ModelServer(silent={int(Method.ALLOCATE)})).start(60.0)
        self.assertEqual(len(duet.sent), 1)
        problem = TurnProblem(None, "unanswered")
        self.assertEqual(duet.events, [(1039.5, AllocationFailed(problem, "later"))])
        self.assertEqual(duet.allocation.problem, problem)

    def test_its_repr_shows_no_secret(self) -> None:
        duet = Duet(password="hunter2").start()
        for each in (duet.allocation, duet.allocation.credentials, duet.allocation._requests):
            self.assertNotIn("hunter2", repr(each))


class ReleaseTests(SynchronousTestCase):
    def test_before_the_start(self) -> None:
        duet = Duet()
        duet.allocation.release(duet.now)
        duet.run(10.0)
        self.assertEqual((duet.told, duet.sent), ([Released()], []))

    def test_while_allocating_what_may_be_given_is_given_back(self) -> None:
        """T34: the Allocate is under way; its answer must not be left behind."""
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.run(0.05)
        duet.allocation.release(duet.now)
        duet.run(5.0)
        self.assertEqual(duet.told, [Released()])
        self.assertEqual(duet.server.count(Method.REFRESH), 1)
        self.assertIsNone(duet.server.expires_at)

    def test_while_the_first_challenge_is_awaited_nothing_is_allocated(self) -> None:
        """T34."""
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.allocation.release(duet.now)
        duet.run(5.0)
        self.assertEqual(duet.told, [Released()])
        self.assertEqual(duet.server.count(Method.ALLOCATE), 1)

    def test_nobody_answers(self) -> None:
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        start, sends = duet.now, len(duet.sent)
        duet.allocation.release(start)
        duet.run(10.0)
        self.assertEqual(duet.events[-1], (start + 2.0, Released()))
        self.assertEqual(len(duet.sent) - sends, 3)

    def test_nobody_answers_the_allocate_that_is_under_way(self) -> None:
        """T34: it ends all the same, at the same time."""
        duet = Duet(server=ModelServer(silent={int(Method.ALLOCATE)})).start(5.0)
        start = duet.now
        duet.allocation.release(start)
        duet.run(60.0)
        self.assertEqual(duet.events, [(start + 2.0, Released())])

    def test_with_a_stale_nonce(self) -> None:
        """T32: 438 is met while releasing too."""
        duet = Duet().ready()
        duet.server.new_nonce()
        duet.allocation.release(duet.now)
        duet.run(1.0)
        self.assertIsNone(duet.server.expires_at)
        self.assertEqual(duet.told[-1], Released())

    def test_what_the_server_forgot_is_released(self) -> None:
        """437: there is nothing to give back."""
        duet = Duet().ready()
        duet.server.forget()
        duet.allocation.release(duet.now)
        duet.run(1.0)
        self.assertEqual(duet.told[-1], Released())

    def test_in_the_middle_of_a_verification(self) -> None:
        duet = Duet().ready(PEER)
        duet.allocation.verify(duet.now)
        duet.allocation.release(duet.now)
        duet.run(5.0)
        self.assertEqual(duet.told, [Allocated(), Released()])
        self.assertIsNone(duet.server.expires_at)

    def test_twice_is_once(self) -> None:
        duet = Duet().ready()
        for _ in range(3):
            duet.allocation.release(duet.now)
        duet.run(5.0)
        duet.allocation.release(duet.now)
        duet.run(1.0)
        self.assertEqual(duet.told, [Allocated(), Released()])
        self.assertEqual(duet.server.count(Method.REFRESH), 1)


class LostTests(SynchronousTestCase):
    def test_the_owner_says_so(self) -> None:
        problem = TurnProblem(None, "closed")
        for prepare, expected in (
            (lambda duet: duet.run(0.0), AllocationFailed(problem, "later")),
            (lambda duet: duet.start(0.03), AllocationFailed(problem, "later")),
            (lambda duet: duet.ready(PEER), AllocationLost("closed")),
        ):
            duet = Duet()
            prepare(duet)
            duet.allocation.lost("closed", duet.now)
            duet.run(100.0)
            self.assertEqual(duet.told[-1], expected)
            self.assertIsNone(duet.allocation.next_deadline())

    def test_while_releasing_it_is_just_released(self) -> None:
        duet = Duet().ready()
        duet.allocation.release(duet.now)
        duet.allocation.lost("closed", duet.now)
        duet.run(10.0)
        self.assertEqual(duet.told, [Allocated(), Released()])

    def test_what_is_over_is_over(self) -> None:
        """Nothing that comes later does anything but count."""
        duet = Duet().ready(PEER)
        duet.allocation.lost("closed", duet.now)
        duet.run(0.0)
        events, sent = list(duet.events), len(duet.sent)
        allocation = duet.allocation
        allocation.start(duet.now)
        allocation.permit("203.0.113.9", duet.now)
        allocation.verify(duet.now)
        allocation.release(duet.now)
        allocation.lost("again", duet.now)
        self.assertFalse(duet.send())
        duet.from_peer(b"late")
        allocation.handle_timeout(duet.now + 1e6)
        duet.run(100.0)
        self.assertEqual((duet.events, len(duet.sent), duet.received), (events, sent, []))
        self.assertEqual(allocation.state, AllocationState.OVER)

    def test_late_answers_are_strays(self) -> None:
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.allocation.lost("closed", duet.now)
        duet.run(1.0)
        self.assertEqual(duet.allocation.dropped["stray-response"], 1)


class SizeTests(SynchronousTestCase):
    def test_the_longest_payload_fits_in_every_framing(self) -> None:
        for families, reliable in (((4,), False), ((6,), False), ((4,), True), ((6,), True)):
            duet = Duet(families=families, reliable=reliable).ready()
            longest = duet.allocation.max_payload
            self.assertGreater(longest, 65_000)
            peer = PEER6 if 6 in families else PEER
            for _ in range(2):
                self.assertTrue(duet.send(bytes([128]) * longest, peer))
                duet.run(1.0)
            sizes = [len(data) for _, data in duet.sent]
            self.assertLessEqual(max(sizes), 65_540 if reliable else 65_507)
            kinds = [kind for _, _, kind in duet.at_peers]
            self.assertEqual(kinds, ["indication", "channel"])

    def test_a_server_on_ipv6_takes_less(self) -> None:
        def longest(host: str) -> int:
            return Allocation(
                server=(host, 3478),
                reliable=False,
                credentials=TurnCredentials(username="u", password="p"),
                random=Random(1),
            ).max_payload

        self.assertEqual(longest("192.0.2.1") - longest("2001:db8::1"), 20)

    def test_what_is_longer_is_refused(self) -> None:
        duet = Duet().ready(PEER)
        longest = duet.allocation.max_payload
        self.assertFalse(duet.send(bytes([128]) * (longest + 1)))
        duet.send()
        duet.run(1.0)
        self.assertFalse(duet.send(bytes([128]) * (longest + 1)))
        self.assertEqual(duet.allocation.dropped["too-long"], 2)


class SettingsTests(SynchronousTestCase):
    def test_what_makes_no_sense_is_refused(self) -> None:
        for name, value in (
            ("lifetime", 0),
            ("rto", 0.1),
            ("rc", 0),
            ("channel_rest", 1.0),
            ("permission_lifetime", 301.0),
            ("verify_seconds", 0.0),
            ("challenges", 0),
        ):
            with self.assertRaises(ValueError):
                TurnSettings(**{name: value})  # type: ignore[arg-type]  # counts and seconds

    def test_the_address_of_the_server_is_in_its_repr(self) -> None:
        self.assertIn(SERVER[0], repr(Duet().allocation))
