"""The forward: who may send, one flow, and a count for every datagram."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.port import Batch
from refreeze.sessions.forward import Forward, ForwardError, ForwardSettings, parse_place
from tests.net.fakes import FakeFactory, FakePort

HOST = "127.0.0.1"
ONE: Address = (HOST, 5001)
TWO: Address = (HOST, 5002)


class Desk:
    """A forward between a fake socket and a path that takes *takes* datagrams of a batch."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.takes = 1 << 30
        self.sent: list[bytes] = []
        self.factory = FakeFactory([HOST, "::1", "192.0.2.1"])
        self.forward = Forward(
            ForwardSettings(**settings), self.factory, self._send, lambda: self.now
        )
        self.forward.start()

    def _send(self, payloads: Sequence[bytes]) -> int:
        taken = list(payloads)[: self.takes]
        self.sent += taken
        return len(taken)

    @property
    def port(self) -> FakePort:
        """The socket that was opened."""
        return self.factory.opened[0]

    def receive(self, *sources: Address) -> None:
        """A datagram from each, in one turn."""
        self.port.receive(*((source[0].encode(), source) for source in sources))


class SettingsTests(SynchronousTestCase):
    """ForwardSettings and the places in it."""

    def refused(self, **settings: Any) -> str:
        """The error."""
        return str(self.assertRaises(ValueError, ForwardSettings, **settings))

    def test_listen_is_loopback_unless_allow_from_says_who_may_send(self) -> None:
        for place in ("192.0.2.1:7000", "0.0.0.0:7000", "[::]:7000"):
            self.assertTrue(self.refused(listen=place).startswith("listen: "))
            ForwardSettings(listen=place, allow_from=("192.0.2.0/24",))
        for place in ("127.0.0.1:0", "127.1.2.3:7000", "[::1]:7000", "unix:/run/x"):
            ForwardSettings(listen=place)

    def test_every_refusal_begins_with_its_key(self) -> None:
        for key, value in (
            ("listen", "127.0.0.1"), ("listen", "localhost:1"), ("listen", "127.0.0.1:65536"),
            ("listen", "127.0.0.1:-1"), ("listen", "127.0.0.1:\u00b2"), ("listen", "unix:x"),
            ("listen", "127.0.0.1:00655360"), ("listen", f"127.0.0.1:{'0' * 5000}"),
            ("listen", "unix:/a\0b"), ("deliver", "x"), ("deliver", "unix:/x"),
            ("allow_from", ("10.0.0.0/33",)), ("allow_from", ("10.0.0.1/8",)),
            ("flow_idle", 0.0), ("flow_idle", -1.0), ("flow_idle", float("nan")),
            ("flow_idle", float("inf")),
        ):  # fmt: skip
            error = self.refused(**{key: value})
            self.assertTrue(error.startswith(f"{key}: "), error)
            self.assertEqual(len(error.splitlines()), 1, error)

    def test_deliver_is_somewhere_that_listen_can_send_to_and_not_listen_itself(self) -> None:
        anywhere = {"listen": "0.0.0.0:7000", "allow_from": ("192.0.2.0/24",)}
        for settings in (
            {"listen": f"{HOST}:7000", "deliver": f"{HOST}:7000"},
            {"listen": "unix:/run/x", "deliver": "unix:/run/x"},
            {"deliver": "[::1]:9000"},
            {"deliver": "192.0.2.1:9000"},
            {"deliver": f"{HOST}:0"},
            anywhere | {"deliver": "224.0.0.1:9000"},
            anywhere | {"deliver": "0.0.0.0:9000"},
            anywhere | {"deliver": f"{HOST}:7000"},
        ):
            error = self.refused(**settings)
            self.assertTrue(error.startswith("deliver: "), error)
        ForwardSettings(**anywhere, deliver="192.0.2.1:7000")
        ForwardSettings(listen="[::1]:7000", deliver="[::1]:7001")
        ForwardSettings(listen="unix:/run/x", deliver="unix:/run/y")

    def test_places(self) -> None:
        self.assertEqual(parse_place("127.0.0.1:65535", "k"), ("127.0.0.1", 65535))
        self.assertEqual(parse_place("[::1]:0", "k"), ("::1", 0))
        self.assertEqual(parse_place("unix:/run/x", "k"), ("/run/x", 0))


class FlowTests(SynchronousTestCase):
    """One flow per session."""

    def test_the_first_sender_owns_the_flow(self) -> None:
        desk = Desk()
        desk.receive(ONE, TWO, ONE)
        self.assertEqual(len(desk.sent), 2)
        self.assertEqual(desk.forward.counters.refused, {"other-flow": 1})

    def test_another_takes_over_after_the_first_was_silent(self) -> None:
        desk = Desk(flow_idle=30.0)
        desk.receive(ONE)
        desk.now += 29.9
        desk.receive(TWO)
        desk.now += 0.1
        desk.receive(TWO)
        self.assertEqual(desk.forward.counters.accepted, 2)
        desk.forward.deliver_from_path([b"x"])
        self.assertEqual(desk.port.sent, [(b"x", TWO, 0)])

    def test_a_refused_sender_does_not_keep_the_flow_alive(self) -> None:
        desk = Desk(flow_idle=30.0)
        desk.receive(ONE)
        for _ in range(3):
            desk.now += 10.0
            desk.receive(TWO)
        self.assertEqual(desk.forward.counters.refused, {"other-flow": 2})
        self.assertEqual(desk.forward.counters.accepted, 2)

    def test_only_allowed_networks_may_send(self) -> None:
        desk = Desk(listen="192.0.2.1:7000", allow_from=("192.0.2.0/28", "fe80::/10"))
        desk.receive(("192.0.2.99", 1), ("::1", 1), ("fe80::1%eth0", 1))
        self.assertEqual(desk.sent, [b"fe80::1%eth0"])
        self.assertEqual(desk.forward.counters.refused, {"foreign-sender": 2})

    def test_a_foreign_sender_cannot_take_a_silent_flow(self) -> None:
        desk = Desk(listen="192.0.2.1:7000", allow_from=("192.0.2.0/28",))
        desk.receive(("192.0.2.2", 1))
        desk.now += 1000.0
        desk.receive(("192.0.2.99", 1))
        desk.forward.deliver_from_path([b"x"])
        self.assertEqual(desk.port.sent, [(b"x", ("192.0.2.2", 1), 0)])

    def test_unix_senders_may_be_abstract_or_nameless(self) -> None:
        for source in ("/run/app", "@app", ""):
            desk = Desk(listen="unix:/run/x", allow_from=("10.0.0.0/8",))
            desk.receive((source, 0))
            self.assertEqual(desk.forward.counters.accepted, 1, source)

    def test_what_we_sent_ourselves_is_not_sent_again(self) -> None:
        desk = Desk(listen=f"{HOST}:7000")
        desk.receive((HOST, 7000))
        self.assertEqual(desk.sent, [])
        self.assertEqual(desk.forward.counters.refused, {"foreign-sender": 1})

    def test_a_path_that_raises_still_leaves_every_datagram_counted(self) -> None:
        desk = Desk()

        def broken(payloads: Sequence[bytes]) -> int:
            raise RuntimeError("a bug")

        desk.forward.path_send = broken
        self.assertRaises(RuntimeError, desk.receive, ONE, ONE)
        counters = desk.forward.counters
        self.assertEqual((counters.accepted, counters.dropped_out["path"]), (2, 2))


class DeliverTests(SynchronousTestCase):
    """From the path to the local program."""

    def test_without_a_flow_it_is_dropped_and_counted(self) -> None:
        desk = Desk()
        desk.forward.deliver_from_path([b"a", b"b"])
        self.assertEqual(desk.port.sent, [])
        self.assertEqual(desk.forward.counters.dropped_in, {"no-flow": 2})

    def test_deliver_needs_no_flow_and_does_not_follow_one(self) -> None:
        desk = Desk(deliver="127.0.0.1:9000")
        desk.receive(ONE)
        desk.forward.deliver_from_path([b"a"])
        self.assertEqual(desk.port.sent, [(b"a", (HOST, 9000), 0)])

    def test_a_nameless_sender_cannot_be_answered(self) -> None:
        desk = Desk(listen="unix:/run/x")
        desk.receive(("", 0))
        desk.forward.deliver_from_path([b"a"])
        self.assertEqual(desk.forward.counters.dropped_in, {"no-flow": 1})

    def test_what_the_socket_does_not_take_is_counted(self) -> None:
        desk = Desk(deliver="127.0.0.1:9000")
        desk.port.accepts = 1
        desk.forward.deliver_from_path([b"a", b"b", b"c"])
        counters = desk.forward.counters
        self.assertEqual((counters.received, counters.delivered), (3, 1))
        self.assertEqual(counters.dropped_in, {"send-error": 2})

    def test_why_the_socket_did_not_take_it_is_counted(self) -> None:
        desk = Desk(deliver="127.0.0.1:9000")

        def send(port: FakePort, batch: Batch) -> int:
            port.counters.too_long += 1
            port.counters.would_block += 1
            return 1

        self.patch(FakePort, "send", send)
        desk.forward.deliver_from_path([b"a", b"b", b"c", b"d"])
        self.assertEqual(
            desk.forward.counters.dropped_in, {"too-long": 1, "would-block": 1, "send-error": 1}
        )

    def test_nothing_is_reflected_to_the_local_program(self) -> None:
        desk = Desk()
        desk.receive(ONE)
        self.assertEqual(desk.port.sent, [])


class LifeTests(SynchronousTestCase):
    """start and stop."""

    def test_a_place_that_is_taken_is_one_line(self) -> None:
        factory = FakeFactory([HOST])
        factory.refused[HOST, 7000] = errno.EADDRINUSE
        forward = Forward(ForwardSettings(listen=f"{HOST}:7000"), factory, len, lambda: 0.0)
        error = str(self.assertRaises(ForwardError, forward.start))
        self.assertEqual(error, f"listen: {HOST}:7000: Address already in use")

    def test_the_bound_port_is_told(self) -> None:
        desk = Desk(listen=f"{HOST}:0")
        self.assertEqual(desk.forward.listen_address, f"{HOST}:{desk.port.local[1]}")
        self.assertEqual(Desk(listen="unix:/run/x").forward.listen_address, "unix:/run/x")

    def test_after_stop_the_socket_is_closed_and_the_path_is_dropped(self) -> None:
        desk = Desk(deliver="127.0.0.1:9000")
        desk.forward.stop()
        desk.forward.stop()
        desk.forward.deliver_from_path([b"a"])
        self.assertTrue(desk.port.closed)
        self.assertEqual(desk.forward.counters.dropped_in, {"no-flow": 1})

    def test_accepted_is_handed_plus_dropped_whatever_comes(self) -> None:
        """And every local datagram is either accepted or refused; both ways add up."""
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        desk = Desk(flow_idle=5.0)
        came = 0
        for _ in range(500):
            desk.now += dice.random() * 4
            desk.takes, desk.port.accepts = dice.randrange(6), dice.randrange(6)
            sources = dice.choices([ONE, TWO, (HOST, 5003)], k=dice.randrange(6))
            came += len(sources)
            desk.receive(*sources)
            desk.forward.deliver_from_path([b"x"] * dice.randrange(6))
            out = desk.forward.counters
            dropped_out, dropped_in = out.dropped_out.total(), out.dropped_in.total()
            self.assertEqual(out.accepted, out.handed + dropped_out, f"seed {seed}")
            self.assertEqual(came, out.accepted + out.refused.total(), f"seed {seed}")
            self.assertEqual(out.received, out.delivered + dropped_in, f"seed {seed}")
            self.assertEqual(out.handed, len(desk.sent), f"seed {seed}")
