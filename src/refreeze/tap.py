"""twistd's door: options, and the service they make."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import define, field
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver
from twisted.python import usage

from refreeze import demo
from refreeze.config import ConfigError, DaemonSettings, load
from refreeze.journal import Journal, has_descriptor, is_journal
from refreeze.net.mdnsgroup import SystemLinks
from refreeze.net.netlink import AddressMonitor
from refreeze.net.polling import AddressPoll, NetworkMonitor
from refreeze.net.port import PortFactory
from refreeze.net.routes import ANYWHERE, route_via
from refreeze.net.scheduler import system_boottime
from refreeze.net.udp import UdpPortFactory
from refreeze.service import Daemon, Process
from refreeze.systemd import Notifier, inherited_sockets, initial_environment


class Options(usage.Options):
    """twistd refreeze."""

    synopsis = "[-c FILE | --demo]"
    optParameters = [["config", "c", None, "The configuration file (TOML)."]]
    optFlags = [["demo", None, "Run a hub and two daemons on loopback, to try things out."]]

    def postOptions(self) -> None:
        """Everything that can be wrong is said here, before anything starts."""
        if bool(self["demo"]) == bool(self["config"]):
            raise usage.UsageError("one of --config FILE and --demo is wanted")
        if self["demo"]:
            try:
                self["settings"] = demo.settings()
            except (ValueError, OSError) as error:  # such as a working directory's long name
                raise usage.UsageError(f"the demo cannot run here: {error}") from None
            return
        try:
            self["settings"] = [load(self["config"])]
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(1)


@define(eq=False, repr=False, slots=False)
class Lifecycle(Service):
    """Signals, and what the service manager is told; started last, stopped first."""

    reactor: Any
    notifier: Notifier
    addresses: NetworkMonitor
    started: Callable[[], None]
    reload: Callable[[], None]
    _ping: Any = field(default=None, init=False)

    def startService(self) -> None:
        """Everything listens by now."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        # Twisted leaves SIGHUP to kill the process.
        self.reactor.callWhenRunning(signal.signal, signal.SIGHUP, self._hang_up)
        self.addresses.start()
        self.reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        self.started()
        self.notifier.send("READY=1", f"MAINPID={os.getpid()}", "STATUS=running")
        if self.notifier.watchdog_seconds is not None:
            self._pat(self.notifier.watchdog_seconds / 2)

    def _hang_up(self, _number: int, _frame: object) -> None:
        """In a signal handler nothing is safe but to wake the reactor."""
        self.reactor.callFromThread(self.reload_now)

    def reload_now(self) -> None:
        """Type=notify-reload wants the time of RELOADING, and READY again (sd_notify(3))."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.notifier.send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")
        self.reload()
        self.notifier.send("READY=1", "STATUS=running")

    def _pat(self, interval: float) -> None:
        self.notifier.send("WATCHDOG=1")
        self._ping = self.reactor.callLater(interval, self._pat, interval)

    def stopService(self) -> Deferred[Any] | None:
        """Say so, and be silent."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        self.notifier.send("STOPPING=1", "STATUS=stopping")
        self.addresses.stop()
        if self._ping is not None:
            self._ping.cancel()
        self.notifier.close()
        return None


class Root(MultiService):
    """The tree's root; it gives the application our log when nobody chose another."""

    def __init__(self, journal: Journal | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.journal = journal

    def setServiceParent(self, parent: Any) -> None:
        """twistd asks the application for its log observer after this."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted's
        if self.journal is not None:
            parent.setComponent(ILogObserver, self.journal)


def _journal(options: Options) -> Journal | None:
    """Our log on standard output, unless the command line sends it elsewhere."""
    chosen: Any = options.parent or {}
    if not chosen.get("nodaemon") or any(chosen.get(k) for k in ("logfile", "logger", "syslog")):
        return None
    descriptor = has_descriptor(sys.stdout)
    journald = False
    if descriptor is not None:
        there = os.fstat(descriptor)
        journald = is_journal(os.environ, there.st_dev, there.st_ino)
    return Journal(sys.stdout, journald=journald)


def _reload(daemons: Sequence[Daemon]) -> None:
    """What is wrong with a file is in the log, and everything stays as it was."""
    for daemon in daemons:
        with suppress(ValueError):
            daemon.reload()


def makeService(options: Options) -> IService:
    """The service tree: daemons in order, and the life cycle around them."""
    from twisted.internet import reactor as installed  # noqa: PLC0415  # twistd has chosen by now

    reactor: Any = installed
    # Twisted's clock is the wall clock; a step of it must not move our timers.
    reactor.seconds = time.monotonic
    notifier = Notifier.from_environment(os.environ)
    journal = _journal(options)
    ports = UdpPortFactory(reactor)
    addresses = NetworkMonitor(
        AddressMonitor(reactor), AddressPoll(look=lambda: _seen(ports), clock=reactor)
    )
    process = Process(
        reactor=reactor,
        random=random.SystemRandom(),
        ports=ports,
        wall=time.time,
        boottime=system_boottime,
        on_address_change=addresses.on_change,
        mdns_links=SystemLinks(reactor),
        route_via=route_via,
        inherited=inherited_sockets(os.environ, initial_environment()),
        set_log_level=None if journal is None else journal.set_level,
    )
    root: Any = Root(journal)
    daemons: list[DaemonSettings] = options["settings"]
    if options["demo"]:
        root.addService(demo.EchoService(reactor))
    path = options["config"]
    made = []
    for settings in daemons:
        reread = None if path is None else partial(load, path)
        made.append(Daemon(process=process, settings=settings, read_settings=reread))
        root.addService(made[-1])
    announce = _announcer(bool(options["demo"]))
    root.addService(Lifecycle(reactor, notifier, addresses, announce, partial(_reload, made)))
    service: IService = root
    return service


def _seen(ports: PortFactory) -> Hashable:
    """What a change of shows: the addresses, and where datagrams to anywhere leave from."""
    return tuple(ports.local_hosts()), tuple(map(ports.source_host, ANYWHERE))


def _announcer(demonstrating: bool) -> Callable[[], None]:
    def announce() -> None:
        if demonstrating:
            sys.stdout.write(demo.banner())
            sys.stdout.flush()

    return announce
