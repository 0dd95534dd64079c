"""What belongs to the process and not to one of its daemons."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from refreeze.basics import Randomness
from refreeze.net.mdnsgroup import LinkOpener
from refreeze.net.port import PortFactory
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.sessions.ways import RouteVia


@define(eq=False, repr=False, kw_only=True)
class Process:
    """What all daemons of a process share, and nothing that one of them could change."""

    reactor: Any
    random: Randomness
    ports: PortFactory
    wall: Callable[[], float]
    boottime: Callable[[], float] | None = None
    set_log_level: Callable[[str], None] | None = None
    """Takes a name of twisted.logger.LogLevel; None: the log is not ours."""
    inherited: Sequence[socket.socket] = ()
    """Sockets that the service manager opened for us."""
    on_address_change: Callable[[Callable[[], None]], None] | None = None
    """Calls back whenever this machine's addresses may have changed; None: nobody knows."""
    route_via: RouteVia = lambda source, remote: None
    """Which way the kernel sends; None: nobody knows."""
    mdns_links: LinkOpener | None = None
    """Opens sockets for multicast DNS; None: there is none of it."""
    scheduler: Scheduler = field(init=False)
    queue_task: TaskQueue = field(init=False)
    """Runs what scripts and sessions see, later and in order."""

    def __attrs_post_init__(self) -> None:
        clock: IReactorTime = self.reactor
        self.scheduler = Scheduler(clock, boottime=self.boottime)
        self.queue_task = TaskQueue(clock)
