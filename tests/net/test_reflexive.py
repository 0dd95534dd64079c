"""What servers see of our sockets: asked once, known to all, and believed only when it fits."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.reflexive import FRESH_SECONDS, Question, Reflection
from refreeze.net.servers import ServerProblem, ServerUrl, parse_server_url
from refreeze.stun import MessageBuilder, MessageClass, Method
from tests.net.gathering import SERVER, URL, Machine, mapped_answer, refusal

MAPPED: Address = ("203.0.113.5", 4242)
NAMED = parse_server_url("stun:stun.example")


class Asked:
    """A question and what came of it."""

    def __init__(self, machine: Machine, base: Address, url: ServerUrl = URL) -> None:
        self.found: list[Reflection] = []
        self.ended: list[ServerProblem | None] = []
        self.question: Question = machine.reflexive.ask(
            base, url, self.found.append, self.ended.append
        )

    @property
    def mapped(self) -> list[Address]:
        return [each.mapped for each in self.found]


class ReflexiveTests(SynchronousTestCase):
    """One base, and a server that a test answers for."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.base = self.machine.pool.lease("bob").bases[0]

    def ask(self, url: ServerUrl = URL) -> Asked:
        return Asked(self.machine, self.base, url)

    def test_the_answer_is_told_with_its_round_trip(self) -> None:
        asked = self.ask()
        self.machine.advance(0.04)
        self.machine.answer(self.base, MAPPED)
        self.assertEqual(asked.mapped, [MAPPED])
        self.assertAlmostEqual(asked.found[0].rtt or 0.0, 0.04)
        self.assertEqual(asked.ended, [None])

    def test_a_server_of_old_that_does_not_mask_is_understood(self) -> None:
        asked = self.ask()
        self.machine.answer(
            self.base, MAPPED, make=lambda data, where: mapped_answer(data, where, plain=True)
        )
        self.assertEqual(asked.mapped, [MAPPED])

    def test_it_is_repeated_by_rfc_8489_and_given_up_after_39_5_seconds_rule_79(self) -> None:
        asked = self.ask()
        self.machine.advance(39.4)
        self.assertEqual(len(self.machine.asked(self.base)), 7)
        self.assertEqual(asked.ended, [])
        self.machine.advance(0.2)
        problem = asked.ended[0]
        assert problem is not None
        self.assertEqual((problem.reason, problem.code), ("unreachable", 701))
        self.assertEqual((problem.url, problem.local), ("stun:192.0.2.53", self.base))
        self.assertEqual(self.machine.mux.claims_of(self.machine.reflexive), frozenset())

    def test_closed_it_asks_nothing_more_and_owns_nothing(self) -> None:
        asked = self.ask()
        self.machine.reflexive.close()
        self.assertEqual(self.machine.mux.claims_of(self.machine.reflexive), frozenset())
        self.machine.advance(60.0)
        self.assertEqual(len(self.machine.asked(self.base)), 1)
        self.assertEqual(asked.ended, [])

    def test_who_asks_meanwhile_shares_the_request(self) -> None:
        first, second = self.ask(), self.ask()
        self.assertEqual(len(self.machine.asked(self.base)), 1)
        self.machine.answer(self.base, MAPPED)
        self.assertEqual((first.mapped, second.mapped), ([MAPPED], [MAPPED]))
        self.assertEqual((first.ended, second.ended), ([None], [None]))

    def test_a_fresh_answer_is_told_at_once_and_not_asked_for_again(self) -> None:
        self.ask()
        self.machine.answer(self.base, MAPPED)
        self.machine.advance(FRESH_SECONDS - 0.1)
        again = self.ask()
        self.assertEqual((again.mapped, again.ended), ([MAPPED], [None]))
        self.assertEqual(len(self.machine.asked(self.base)), 1)

    def test_an_old_answer_is_told_at_once_and_asked_for_again_beside(self) -> None:
        self.ask()
        self.machine.answer(self.base, MAPPED)
        self.machine.advance(FRESH_SECONDS + 0.1)
        again = self.ask()
        self.assertEqual((again.mapped, again.ended), ([MAPPED], []))
        moved = ("203.0.113.6", 999)
        self.machine.answer(self.base, moved)
        self.assertEqual((again.mapped, again.ended), ([MAPPED, moved], [None]))

    def test_after_a_suspend_nothing_is_fresh_T37(self) -> None:
        self.ask()
        self.machine.answer(self.base, MAPPED)
        self.machine.reflexive.doubt()
        again = self.ask()
        self.assertEqual((again.mapped, again.ended), ([MAPPED], []))
        self.assertEqual(len(self.machine.asked(self.base)), 2)

    def test_an_answer_from_another_address_is_not_believed(self) -> None:
        asked = self.ask()
        data = mapped_answer(self.machine.asked(self.base)[0], ("198.51.100.66", 666))
        self.machine.port(self.base).receive((data, ("198.51.100.1", 3478)))
        self.assertEqual(asked.found, [])
        self.assertEqual(self.machine.reflexive.counters.foreign, 1)
        self.machine.answer(self.base, MAPPED)
        self.assertEqual(asked.mapped, [MAPPED])

    def test_an_answer_to_no_request_of_ours_is_not_believed(self) -> None:
        asked = self.ask()
        guessed = MessageBuilder(Method.BINDING, MessageClass.REQUEST, bytes(12)).build()
        data = mapped_answer(guessed, MAPPED)
        self.machine.port(self.base).receive((data, SERVER))
        self.assertEqual((asked.found, asked.ended), ([], []))

    def test_an_address_that_can_be_nobodys_is_a_bad_answer(self) -> None:
        for mapped in (
            ("0.0.0.0", 1),
            ("224.0.0.1", 1),
            ("255.255.255.255", 1),
            ("127.0.0.1", 1),
            ("203.0.113.5", 0),
            ("2001:db8::1", 1),
        ):
            asked = self.ask()
            self.machine.answer(self.base, mapped)
            problem = asked.ended[0]
            assert problem is not None
            self.assertEqual((asked.found, problem.reason), ([], "bad-answer"))
        self.assertEqual(self.machine.reflexive.counters.unusable, 6)

    def test_a_refusal_is_named_by_its_code(self) -> None:
        asked = self.ask()
        self.machine.answer(self.base, MAPPED, make=lambda data, _: refusal(data, 401))
        problem = asked.ended[0]
        assert problem is not None
        self.assertEqual((problem.reason, problem.code), ("refused", 401))

    def test_a_flood_of_the_server_is_counted_and_nothing_else(self) -> None:
        asked = self.ask()
        self.machine.port(self.base).receive(*[(b"\xff" * 100, SERVER)] * 1000)
        self.assertEqual(self.machine.reflexive.counters.strays, 1000)
        self.machine.answer(self.base, MAPPED)
        self.assertEqual(asked.mapped, [MAPPED])

    def test_a_cancelled_question_is_told_nothing_and_sends_nothing(self) -> None:
        asked, other = self.ask(), self.ask()
        asked.question.cancel()
        self.machine.advance(0.6)
        self.assertEqual(len(self.machine.asked(self.base)), 2)
        other.question.cancel()
        self.machine.advance(100.0)
        self.assertEqual(len(self.machine.asked(self.base)), 2)
        self.assertEqual((asked.ended, other.ended), ([], []))

    def test_a_socket_that_goes_takes_what_was_known_with_it(self) -> None:
        self.ask()
        self.machine.answer(self.base, MAPPED)
        self.machine.advance(FRESH_SECONDS + 1)
        waiting = self.ask()
        self.machine.reflexive.forget(self.base)
        self.assertEqual(self.machine.reflexive.seen_from(self.base), [])
        self.assertEqual(waiting.ended, [None])
        self.assertEqual(self.machine.mux.claims_of(self.machine.reflexive), frozenset())


class NameTests(SynchronousTestCase):
    """A server by its name."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.base = self.machine.pool.lease("bob").bases[0]
        self.names = self.machine.reactor.nameResolver

    def test_addresses_of_the_other_family_are_not_asked(self) -> None:
        self.names.table["stun.example"] = ["2001:db8::53", "192.0.2.53"]
        asked = Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        self.assertEqual({to for _, to, _ in self.machine.port(self.base).sent}, {SERVER})
        self.machine.answer(self.base, MAPPED)
        self.assertEqual(asked.ended, [None])

    def test_of_many_addresses_two_are_asked_and_one_answer_makes_the_server_well(self) -> None:
        self.names.table["stun.example"] = [f"192.0.2.{n}" for n in range(50, 60)]
        asked = Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        self.assertEqual(len({to for _, to, _ in self.machine.port(self.base).sent}), 2)
        self.machine.answer(self.base, MAPPED, server=("192.0.2.51", 3478))
        self.machine.advance(40.0)
        self.assertEqual(asked.ended, [None])

    def test_a_name_without_address_is_named(self) -> None:
        asked = Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        problem = asked.ended[0]
        assert problem is not None
        self.assertEqual((problem.reason, problem.code), ("unresolved", 701))
        self.assertIn("stun.example", problem.text)

    def test_it_is_resolved_again_and_a_new_address_is_asked_beside_the_old_one(self) -> None:
        self.names.table["stun.example"] = ["192.0.2.53"]
        Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        self.machine.answer(self.base, MAPPED)
        self.names.table["stun.example"] = ["192.0.2.54"]
        again = Asked(self.machine, self.base, NAMED)
        self.assertEqual(again.mapped, [MAPPED])
        self.machine.advance(0.0)
        self.assertEqual(len(self.machine.asked(self.base, ("192.0.2.54", 3478))), 1)

    def test_a_resolver_that_fails_later_takes_nothing_away(self) -> None:
        self.names.table["stun.example"] = ["192.0.2.53"]
        Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        self.machine.answer(self.base, MAPPED)
        self.names.table.clear()
        self.machine.advance(FRESH_SECONDS + 1)
        again = Asked(self.machine, self.base, NAMED)
        self.machine.advance(0.0)
        self.machine.answer(self.base, MAPPED)
        self.assertEqual((again.mapped[0], again.ended), (MAPPED, [None]))

    def test_one_who_is_cancelled_while_the_name_is_looked_up_is_told_nothing(self) -> None:
        self.names.silent.add("stun.example")
        asked = Asked(self.machine, self.base, NAMED)
        asked.question.cancel()
        self.machine.advance(60.0)
        self.assertEqual(asked.ended, [])
        self.assertEqual(self.flushLoggedErrors(), [])
