"""What a peer sends when its path is there before its answer: it waits for that, within bounds."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.early import MAX_DATAGRAMS, MAX_SIZE, MAX_TUPLES, EarlyDatagrams
from refreeze.testing import openssl_time
from tests.peer.pair import ROLLBACK, Two
from tests.virtualtime import need_openssl_time

BASE, SOURCE = ("192.0.2.1", 4000), ("198.51.100.1", 5000)
LATE = 0.3
"""Seconds that an answer takes: checks are faster."""
SOON = 0.15
"""A check of ours and two round trips of DTLS; OpenSSL sends what was lost after a second."""


class EarlyCase(SynchronousTestCase):
    """Bob answers and has a path at once; alice gets his answer later."""

    protect = False

    def setUp(self) -> None:
        self.two = Two(protect=self.protect)
        self.addCleanup(self.two.close)
        self.alice, self.bob = self.two.alice, self.two.bob

    def answered(self, *, restart: bool = False) -> Any:
        """Bob's answer, which is on its way for as long as he likes."""
        return self.two.answer(self.bob, self.two.offer(self.alice, restart=restart))

    def arrives(self, answer: Any) -> None:
        """At alice's."""
        self.two.now(self.alice.connection.setRemoteDescription(answer))

    @property
    def dropped(self) -> dict[str, int]:
        """What alice dropped of what came."""
        return self.alice.connection.iceTransport.datagrams.counters.received_dropped


class EarlyTests(EarlyCase):
    """From the first check to the answer."""

    def test_the_latest_are_handed_up_with_the_answer(self) -> None:
        answer = self.answered()
        self.two.advance(LATE)
        sent = [b"\x80%d" % number for number in range(5)]
        for payload in sent:
            self.assertEqual(self.bob.send(payload), 1)
        self.two.advance(LATE)
        self.assertEqual(self.alice.received, [])
        self.arrives(answer)
        self.assertEqual(self.alice.received, sent[-MAX_DATAGRAMS:])
        self.assertEqual(self.dropped, {"unknown-pair": len(sent) - MAX_DATAGRAMS})
        self.bob.send(b"\x80later")
        self.two.advance(LATE)
        self.assertEqual(self.alice.received[MAX_DATAGRAMS:], [b"\x80later"])

    def test_what_came_for_an_offer_that_is_taken_back_is_nobodys(self) -> None:
        self.answered()
        self.two.advance(LATE)
        self.bob.send(b"\x80early")
        self.two.advance(LATE)
        self.two.now(self.alice.connection.setLocalDescription(ROLLBACK))
        self.assertEqual((self.alice.received, self.dropped), ([], {"unknown-pair": 1}))
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.alice.received, [])

    def test_what_came_for_an_offer_that_somebody_else_answers_is_nobodys(self) -> None:
        """T4: bob's answer is replaced by that of another one of his name."""
        answer = self.answered()
        self.two.advance(LATE)
        self.bob.send(b"\x80early")
        self.two.advance(LATE)
        mine = next(x for x in answer.sdp.splitlines() if x.startswith("a=ice-ufrag:"))
        sdp = answer.sdp.replace(mine, "a=ice-ufrag:somebodyelse")
        self.arrives(type(answer)(answer.type, sdp))
        self.assertEqual((self.alice.received, self.dropped), ([], {"unknown-pair": 1}))

    def test_after_close_nothing_is_handed_up(self) -> None:
        self.answered()
        self.two.advance(LATE)
        self.bob.send(b"\x80early")
        self.two.advance(LATE)
        self.alice.connection.close()
        self.assertEqual((self.alice.received, self.dropped), ([], {"unknown-pair": 1}))


class HandshakeTests(EarlyCase):
    """Bob is the client of DTLS, and one that repeats nothing before its timer is up."""

    protect = True

    def setUp(self) -> None:
        need_openssl_time()
        super().setUp()
        time = openssl_time(self.two.reactor)
        time.__enter__()
        self.addCleanup(time.__exit__, None, None, None)

    def test_the_first_flight_is_not_lost(self) -> None:
        answer = self.answered()
        self.two.advance(LATE)
        self.bob.connection.iceTransport.route_watcher = lambda: None
        self.arrives(answer)
        sides = (self.alice, self.bob)
        took = self.two.reactor.run_until(
            lambda: all(each.connection.connectionState == "connected" for each in sides), 5.0
        )
        self.assertLess(took, SOON)


class BoundsTests(SynchronousTestCase):
    """Whatever is sent, it is a few kilobytes, and all that was dropped is counted."""

    def setUp(self) -> None:
        self.early = EarlyDatagrams()

    def kept(self) -> list[list[bytes]]:
        """All, taken."""
        return [payloads for _, _, payloads in self.early.take()]

    def test_the_latest_of_each_5_tuple_stay(self) -> None:
        self.assertEqual(self.early.keep(BASE, SOURCE, [b"1"]), 0)
        self.assertEqual(self.early.keep(BASE, SOURCE, [b"2"]), 0)
        self.assertEqual(self.early.keep(BASE, SOURCE, [b"3"]), 1)
        self.assertEqual(self.early.keep(SOURCE, BASE, [b"a", b"b", b"c"]), 1)
        self.assertEqual(self.kept(), [[b"2", b"3"], [b"b", b"c"]])
        self.assertEqual(self.kept(), [])

    def test_what_is_long_is_not_kept_and_drives_nothing_out(self) -> None:
        self.assertEqual(self.early.keep(BASE, SOURCE, [bytes(MAX_SIZE)]), 0)
        self.assertEqual(self.early.keep(BASE, SOURCE, [bytes(MAX_SIZE + 1)] * 3), 3)
        self.assertEqual(self.early.keep(SOURCE, BASE, [bytes(MAX_SIZE + 1)]), 1)
        self.assertEqual(self.kept(), [[bytes(MAX_SIZE)]])

    def test_so_many_5_tuples_and_no_more(self) -> None:
        dropped = [
            self.early.keep(BASE, (SOURCE[0], port), [b"x"]) for port in range(MAX_TUPLES + 3)
        ]
        self.assertEqual(dropped, [0] * MAX_TUPLES + [1] * 3)
        self.assertEqual(self.early.keep(BASE, (SOURCE[0], 0), [b"y"]), 0)
        self.assertEqual(len(self.kept()), MAX_TUPLES)
