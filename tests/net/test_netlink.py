"""The kernel's word that something changed, against a real kernel where one may ask it."""

from __future__ import annotations

import errno
import socket
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.netlink import AddressMonitor


@define(eq=False)
class FakeReactor:
    """Knows who reads."""

    readers: list[object] = field(factory=list)

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)


@define(eq=False)
class FakeSocket:
    """Gives what it is told to; an errno is raised."""

    script: list[bytes | int]
    closed: bool = False

    def recv(self, _size: int) -> bytes:
        item = self.script.pop(0) if self.script else errno.EAGAIN
        if isinstance(item, int):
            raise OSError(item, "told to")
        return item

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class AddressMonitorTests(SynchronousTestCase):
    """Whoever asked is called once a burst, whatever the messages say."""

    def monitor(self, *script: bytes | int) -> tuple[Any, list[str]]:
        reactor: Any = FakeReactor()
        monitor, told = AddressMonitor(reactor), list[str]()
        monitor.on_change(lambda: told.append("first"))
        monitor.on_change(lambda: told.append("second"))
        fake: Any = FakeSocket(list(script))
        monitor._socket = fake
        reactor.addReader(monitor)
        return monitor, told

    def test_a_burst_is_told_once_to_each(self) -> None:
        monitor, told = self.monitor(b"any", b"thing", b"")
        monitor.doRead()
        self.assertEqual(told, ["first", "second"])

    def test_nothing_read_is_nothing_told(self) -> None:
        monitor, told = self.monitor()
        monitor.doRead()
        self.assertEqual(told, [])

    def test_lost_messages_are_a_change_too(self) -> None:
        monitor, told = self.monitor(errno.ENOBUFS)
        monitor.doRead()
        self.assertEqual(told, ["first", "second"])

    def test_endless_messages_let_others_have_their_turn(self) -> None:
        monitor, told = self.monitor(*[b"x"] * 1000)
        monitor.doRead()
        self.assertEqual(told, ["first", "second"])
        self.assertGreater(len(monitor._socket.script), 900)

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        reactor: Any = FakeReactor()
        monitor, told = AddressMonitor(reactor), list[str]()
        monitor.on_change(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        monitor.on_change(lambda: told.append("second"))
        fake: Any = FakeSocket([b"x"])
        monitor._socket = fake
        monitor.doRead()
        self.assertEqual(told, ["second"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_real_socket_is_opened_and_given_back(self) -> None:
        reactor: Any = FakeReactor()
        monitor = AddressMonitor(reactor)
        self.assertEqual(monitor.start(), hasattr(socket, "AF_NETLINK"))
        self.assertEqual(reactor.readers, [monitor])
        self.assertGreaterEqual(monitor.fileno(), 0)
        monitor.doRead()
        monitor.stop()
        monitor.stop()
        self.assertEqual((reactor.readers, monitor.fileno()), ([], -1))
