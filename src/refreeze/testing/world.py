"""A virtual world: daemons built by service.py on a fake network, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from refreeze.config import DaemonSettings
from refreeze.service import Daemon, Process
from refreeze.testing import openssltime
from refreeze.testing.hosts import FakeHost, FakePortFactory
from refreeze.testing.links import LinkSettings
from refreeze.testing.log import DatagramLog
from refreeze.testing.network import FakeNetwork
from refreeze.testing.programs import EchoProgram, LocalProgram
from refreeze.testing.randomness import SeededRandom
from refreeze.testing.reactor import VirtualReactor
from refreeze.testing.servers import FakeTurnServer
from refreeze.testing.ways import StreamWays

Emit = Callable[[str, dict[str, Any]], None]
_Program = TypeVar("_Program", LocalProgram, EchoProgram)

STOP_LIMIT = 60.0
"""Virtual seconds that everything has to stop."""


@define(eq=False, repr=False)
class VirtualWorld:
    """I hold what a simulation consists of, and end it without leaving anything behind.

    Port factory, clock and randomness are mine; everything else is what production runs. Each
    host is a process of its own, with its own scheduler and its own stream of randomness.
    """

    seed: int | str
    link: LinkSettings = field(factory=LinkSettings, kw_only=True)
    """What every way between two hosts is like, at first."""
    log: DatagramLog = field(factory=DatagramLog, kw_only=True)
    reactor: VirtualReactor = field(factory=VirtualReactor, init=False)
    random: SeededRandom = field(init=False)
    network: FakeNetwork = field(init=False)
    processes: dict[str, Process] = field(factory=dict, init=False)
    daemons: list[Daemon] = field(factory=list, init=False)
    programs: list[LocalProgram | EchoProgram] = field(factory=list, init=False)
    _lives: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.random = SeededRandom(self.seed)
        self.network = FakeNetwork(self.reactor, self.seed, default_link=self.link, log=self.log)
        self.reactor.streams.ways = StreamWays(self.network)

    def process(self, host: FakeHost) -> Process:
        """What all daemons on *host* share."""
        process = self.processes.get(host.name)
        if process is None:
            self._lives += 1
            reactor = self.reactor.on(host.name)
            process = self.processes[host.name] = Process(
                reactor=reactor,
                random=self.random.child(f"process/{host.name}/{self._lives}"),
                ports=FakePortFactory(host),
                wall=reactor.wall,
                boottime=reactor.boottime,
                on_address_change=host.on_address_change,
                route_via=host.route_via,
            )
        return process

    def daemon(
        self, host: FakeHost, settings: DaemonSettings, listeners: Sequence[Emit] = ()
    ) -> Daemon:
        """A daemon on *host*, not started."""
        made = Daemon(process=self.process(host), settings=settings, listeners=list(listeners))
        self.daemons.append(made)
        return made

    def turn_server(self, host: FakeHost, **settings: Any) -> FakeTurnServer:
        """A started :class:`FakeTurnServer` on *host*, on UDP and TCP.

        It stays when the world is stopped: what is allocated then, somebody left behind.
        """
        return FakeTurnServer(host, self.reactor.on(host.name), **settings).start()

    def run(self, program: _Program) -> _Program:
        """Start *program*, and stop it with the world."""
        program.start()
        self.programs.append(program)
        return program

    def kill(self, host: FakeHost) -> None:
        """End the process of all daemons on *host*, as SIGKILL does: they do nothing more.

        Its sockets are closed by the kernel. New daemons there are a new process.
        """
        process = self.processes.pop(host.name)
        for daemon in [each for each in self.daemons if each.process is process]:
            self.daemons.remove(daemon)
            daemon.store.close()
        assert isinstance(process.ports, FakePortFactory)
        process.ports.close_all()
        host.forget_watchers()
        process.reactor.kill()

    def suspend(self, host: FakeHost, seconds: float) -> None:
        """*host* sleeps while the world goes on; its CLOCK_BOOTTIME shows it when it wakes."""
        host.suspend(seconds)
        process = self.processes.get(host.name)
        if process is not None:
            process.reactor.suspend(seconds)

    def stop(self) -> Sequence[IDelayedCall]:
        """Stop all programs and daemons; returns the calls that somebody left behind."""
        for program in self.programs:
            program.stop()
        waiting: list[Deferred[Any]] = []
        for daemon in reversed(self.daemons):
            if daemon.running:
                waiting.append(daemon.stopService())
        for each in waiting:
            each.addErrback(_log_failure)
        self.reactor.run_until(lambda: all(each.called for each in waiting), STOP_LIMIT)
        for process in self.processes.values():
            process.scheduler.stop()
        self.reactor.advance(0.0)
        openssltime.release(self.reactor)
        return self.reactor.getDelayedCalls()


def _log_failure(failure: Any) -> None:
    VirtualReactor._log.failure("a daemon did not stop", failure)
