"""Every error code of RFC 8489 and RFC 8656, on every method."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.stun import Attribute, Method
from refreeze.stun.attributes import encode_address
from refreeze.turn import (
    Allocated,
    AllocationFailed,
    AllocationLost,
    AllocationState,
    PermissionRefused,
    Released,
    TryAlternate,
    TurnProblem,
)
from refreeze.turn.meanings import MEANINGS, meaning
from tests.turn import server as model
from tests.turn.duet import PEER, SERVER, Duet
from tests.turn.server import ModelServer

OTHER = ("203.0.113.6", 6000)


class AllocateTests(SynchronousTestCase):
    def refused(self, code: int, *extra: tuple[int, bytes]) -> Duet:
        server = ModelServer(always={int(Method.ALLOCATE): code}, extra=list(extra))
        return Duet(server=server).start(60.0)

    def test_what_each_code_means(self) -> None:
        for code, reason, retry, wait in (
            (300, "bad-alternate", "later", 0.0),
            (400, "bad-request", "later", 0.0),
            (401, "unauthorized", "other-credentials", 0.0),
            (403, "forbidden", "no", 0.0),
            (420, "unknown-attribute", "no", 0.0),
            (437, "mismatch", "later", 0.0),
            (438, "stale-nonce", "later", 0.0),
            (440, "address-family", "no", 0.0),
            (441, "wrong-credentials", "other-credentials", 0.0),
            (442, "unsupported-transport", "no", 0.0),
            (443, "peer-address-family", "no", 0.0),
            (486, "quota", "later", 60.0),
            (500, "server-error", "later", 0.0),
            (508, "capacity", "later", 60.0),
            (333, "redirected", "no", 0.0),
            (499, "refused", "no", 0.0),
            (555, "server-error", "later", 0.0),
            (600, "global-error", "no", 0.0),
        ):
            duet = self.refused(code)
            problem = TurnProblem(code, reason)
            self.assertEqual(duet.told, [AllocationFailed(problem, retry, wait)])  # type: ignore[arg-type]  # a literal
            self.assertEqual(duet.allocation.problem, problem)
            self.assertIs(duet.allocation.state, AllocationState.OVER)
            self.assertIsNone(duet.allocation.next_deadline())

    def test_every_code_of_three_digits_has_a_meaning(self) -> None:
        for code in range(300, 700):
            self.assertIn(meaning(code).retry, ("no", "later", "other-credentials"))
        self.assertEqual(len({each.reason for each in MEANINGS.values()}), len(MEANINGS))

    def test_mismatch_is_one_try_on_this_5_tuple(self) -> None:
        """T30: 437 means another 5-tuple, which is the owner's to find."""
        duet = self.refused(437)
        self.assertEqual(duet.server.count(Method.ALLOCATE), 1)

    def test_a_server_that_has_no_such_family(self) -> None:
        duet = Duet(server=ModelServer(families=(6,))).start()
        problem = TurnProblem(440, "address-family")
        self.assertEqual(duet.told, [AllocationFailed(problem, "no")])

    def test_an_error_without_a_code(self) -> None:
        duet = Duet()
        duet.allocation.start(duet.now)
        duet.collect()
        request = duet.sent[0][1]
        duet.arrive(b"\x01\x13\x00\x00" + request[4:20])
        problem = TurnProblem(None, "malformed")
        self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_a_success_that_wants_what_nobody_knows(self) -> None:
        """RFC 8489 section 6.3.3."""
        server = ModelServer()
        server.spoil = lambda builder, _: builder.add(0x7FFF, b"").build(server.key())
        duet = Duet(server=server).start()
        problem = TurnProblem(None, "unknown-attribute")
        self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_a_success_without_an_address(self) -> None:
        """Nothing relayed, or nothing that can be an address."""
        for host, port in (("0.0.0.0", 5), ("224.0.0.1", 5), ("192.0.2.1", 0)):
            server = ModelServer()
            self.patch(model, "RELAYED", {4: (host, port)})
            duet = Duet(server=server).start()
            problem = TurnProblem(None, "bad-address")
            self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_nobody_answers(self) -> None:
        """39.5 s, seven times (RFC 8489 section 6.2.1)."""
        duet = Duet(server=ModelServer(silent={int(Method.ALLOCATE)})).start(60.0)
        problem = TurnProblem(None, "unanswered")
        self.assertEqual(duet.events, [(1039.5, AllocationFailed(problem, "later"))])
        self.assertEqual(len(duet.sent), 7)


class AlternateTests(SynchronousTestCase):
    def redirected(self, address: Address | None, domain: bytes | None = None) -> Duet:
        extra: list[tuple[int, bytes]] = []
        if address is not None:
            extra.append((Attribute.ALTERNATE_SERVER, encode_address(address)))
        if domain is not None:
            extra.append((Attribute.ALTERNATE_DOMAIN, domain))
        return Duet(server=ModelServer(always={int(Method.ALLOCATE): 300}, extra=extra)).start()

    def test_it_is_told_where_to_go(self) -> None:
        other = ("192.0.2.99", 3479)
        duet = self.redirected(other)
        self.assertEqual(duet.told, [TryAlternate(other, None)])
        self.assertIs(duet.allocation.state, AllocationState.OVER)
        duet = self.redirected(other, b"turn.example.net")
        self.assertEqual(duet.told, [TryAlternate(other, "turn.example.net")])

    def test_where_nobody_can_go(self) -> None:
        """The same server, another family, our own machine, no address at all."""
        for address in (
            None,
            SERVER,
            ("2001:db8::1", 3478),
            ("127.0.0.1", 3478),
            ("0.0.0.0", 3478),
            ("224.0.0.1", 3478),
            ("255.255.255.255", 3478),
            ("192.0.2.99", 0),
        ):
            duet = self.redirected(address)
            problem = TurnProblem(300, "bad-alternate")
            self.assertEqual(duet.told, [AllocationFailed(problem, "later")])

    def test_a_redirection_of_a_running_allocation_loses_it(self) -> None:
        duet = Duet().ready()
        duet.server.always[int(Method.REFRESH)] = 300
        duet.allocation.verify(duet.now)
        duet.run(1.0)
        self.assertEqual(duet.told, [Allocated(), AllocationLost("bad-alternate")])


class RefreshTests(SynchronousTestCase):
    def test_what_a_refusal_loses(self) -> None:
        for code in (300, 400, 403, 420, 437, 440, 441, 442, 443, 486, 499, 600):
            duet = Duet().ready()
            duet.server.always[int(Method.REFRESH)] = code
            duet.allocation.verify(duet.now)
            duet.run(1.0)
            reason = meaning(code).reason
            self.assertEqual(duet.told, [Allocated(), AllocationLost(reason)])
            self.assertEqual(duet.allocation.problem, TurnProblem(code, reason))

    def test_credentials_that_are_no_longer_taken(self) -> None:
        duet = Duet().ready()
        duet.server.password = "rotated"
        duet.allocation.verify(duet.now)
        duet.run(1.0)
        self.assertEqual(duet.told, [Allocated(), AllocationLost("unauthorized")])

    def test_a_failure_for_a_moment_is_asked_again(self) -> None:
        for code in (500, 508, 599):
            duet = Duet().ready()
            duet.server.scripted[int(Method.REFRESH)] = [code] * 3
            duet.allocation.verify(duet.now)
            duet.run(60.0)
            self.assertIs(duet.allocation.state, AllocationState.READY)
            self.assertEqual(duet.server.count(Method.REFRESH), 4)

    def test_a_failure_for_good_loses_it_when_its_time_is_over(self) -> None:
        duet = Duet().ready()
        start = duet.events[0][0]
        duet.server.always[int(Method.REFRESH)] = 500
        duet.run(700.0)
        at, event = duet.events[-1]
        self.assertEqual(event, AllocationLost("server-error"))
        self.assertTrue(600.0 <= at - start < 611.0, at - start)

    def test_whatever_answers_a_release_it_is_released(self) -> None:
        for code in (300, 400, 401, 403, 437, 438, 441, 500):
            duet = Duet().ready()
            duet.server.always[int(Method.REFRESH)] = code
            duet.allocation.release(duet.now)
            duet.run(5.0)
            self.assertEqual(duet.told, [Allocated(), Released()])


class PermissionTests(SynchronousTestCase):
    def test_one_that_is_refused_poisons_no_other(self) -> None:
        """T31, with every code: the other peer's permission and data are untouched."""
        for code in (400, 403, 420, 437, 441, 443, 486, 500, 508, 599, 600):
            duet = Duet().ready(OTHER)
            duet.server.scripted[int(Method.CREATE_PERMISSION)] = [code]
            self.assertTrue(duet.send())
            duet.run(1.0)
            problem = TurnProblem(code, meaning(code).reason)
            self.assertEqual(duet.told, [Allocated(), PermissionRefused(PEER[0], problem)])
            self.assertFalse(duet.send())
            self.assertTrue(duet.send(peer=OTHER))
            duet.run(1.0)
            self.assertEqual([peer for peer, _, _ in duet.at_peers], [OTHER])
            self.assertIs(duet.allocation.state, AllocationState.READY)
            self.assertEqual(duet.allocation.dropped["waited-in-vain"], 1)

    def test_what_is_said_about_the_allocation_is_verified(self) -> None:
        """437 for a permission: a Refresh tells whether all is lost."""
        for code, asked in ((437, 1), (441, 1), (403, 0), (443, 0), (508, 0)):
            duet = Duet().ready()
            duet.server.scripted[int(Method.CREATE_PERMISSION)] = [code]
            duet.send()
            duet.run(5.0)
            self.assertEqual(duet.server.count(Method.REFRESH), asked, code)

    def test_a_server_that_forgot_all_is_found_out_by_a_permission(self) -> None:
        """T33."""
        duet = Duet().ready()
        duet.server.forget()
        duet.send()
        duet.run(1.0)
        self.assertEqual(duet.told[-1], AllocationLost("mismatch"))

    def test_silence_refuses_too(self) -> None:
        """T31: a waiter never waits for ever."""
        duet = Duet().ready(OTHER)
        duet.server.silent.add(int(Method.CREATE_PERMISSION))
        duet.send()
        start = duet.now
        duet.run(60.0)
        problem = TurnProblem(None, "unanswered")
        self.assertEqual(duet.events[-1], (start + 39.5, PermissionRefused(PEER[0], problem)))
        self.assertEqual(duet.allocation.dropped["waited-in-vain"], 1)
        self.assertIs(duet.allocation.state, AllocationState.READY)

    def test_a_refusal_is_forgotten_after_a_while(self) -> None:
        duet = Duet().ready()
        duet.server.scripted[int(Method.CREATE_PERMISSION)] = [403]
        duet.send()
        duet.run(1.0)
        self.assertFalse(duet.send())
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 1)
        duet.run(31.0)
        self.assertTrue(duet.send())
        duet.run(1.0)
        self.assertEqual(len(duet.at_peers), 1)

    def test_one_of_a_moment_is_forgotten_soon(self) -> None:
        """T31: a path may need that permission; nothing was said against the peer."""
        for code in (500, 508):
            duet = Duet().ready()
            duet.server.scripted[int(Method.CREATE_PERMISSION)] = [code]
            duet.send()
            duet.run(1.0)
            self.assertFalse(duet.send())
            duet.run(2.0)
            self.assertTrue(duet.send())
            duet.run(1.0)
            self.assertEqual(len(duet.at_peers), 1)


class ChannelTests(SynchronousTestCase):
    def test_data_goes_on_in_indications(self) -> None:
        """T31, with every code: a channel that is refused takes no data with it."""
        for code in (400, 403, 437, 441, 443, 486, 500, 508, 600):
            duet = Duet().ready(PEER, OTHER)
            duet.server.scripted[int(Method.CHANNEL_BIND)] = [code]
            for _ in range(3):
                self.assertTrue(duet.send())
                duet.run(1.0)
            self.assertEqual([kind for _, _, kind in duet.at_peers], ["indication"] * 3)
            self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)
            for _ in range(2):
                self.assertTrue(duet.send(peer=OTHER))
                duet.run(1.0)
            self.assertEqual(duet.at_peers[-1][2], "channel")
            duet.run(30.0)
            for _ in range(2):
                self.assertTrue(duet.send())
                duet.run(1.0)
            self.assertEqual(duet.at_peers[-1][0::2], (PEER, "channel"))
            self.assertEqual(duet.server.faults, [])

    def test_silence_is_no_channel(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.silent.add(int(Method.CHANNEL_BIND))
        for _ in range(50):
            self.assertTrue(duet.send())
            duet.run(1.0)
        self.assertEqual({kind for _, _, kind in duet.at_peers}, {"indication"})
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)
        self.assertEqual(duet.server.count(Method.REFRESH), 1)
