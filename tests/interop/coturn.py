"""A coturn of our own on loopback: UDP, TCP and TLS on both families, with a CA of our own."""

from __future__ import annotations

import os
import random
import shutil
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.interop.peers import missing
from tests.net.authority import Authority

HOST = "127.0.0.1"
USER, PASSWORD, REALM = "alice", "wonderland", "test.example"
START_SECONDS = 10.0
LOOK = 0.05
_PORTS = (20000, 32000)
"""Below ip_local_port_range."""

reactor: Any = installed


def free_ports(count: int) -> list[int]:
    """Numbers that nobody has on loopback now; coturn also takes the one above each.

    They are none that the kernel gives to whoever asks for any, before coturn has them.
    """
    found: list[int] = []
    while len(found) < count:
        number = random.randrange(*_PORTS, 2)
        if number not in found and _is_free(number):
            found.append(number)
    return found


def _is_free(number: int) -> bool:
    with ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            made = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                made.bind((HOST, number))
            except OSError:
                return False
    return True


class _Process(ProcessProtocol):
    def __init__(self) -> None:
        self.output = ""
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode(errors="replace")

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


@define(eq=False)
class Coturn:
    """One server; killed and started again it keeps its ports and forgets its allocations."""

    case: TestCase
    directory: Path
    options: list[str] = field(factory=list)
    names: tuple[str, ...] = (HOST, "::1", "turn.test")
    days: float = 30
    authority: Authority = field(factory=Authority)
    port: int = field(init=False)
    tls_port: int = field(init=False)
    ca: str = field(init=False)
    log: str = field(default="", init=False)
    """Everything that all its lives said."""
    _process: _Process | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if shutil.which("turnserver") is None:
            missing("turnserver (apt install coturn)")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port = free_ports(2)
        self.ca = self.authority.write(self.directory)
        certificate, key = self.authority.issue(self.directory, *self.names, days=self.days)
        lines = [
            f"listening-ip={HOST}",
            "listening-ip=::1",
            f"relay-ip={HOST}",
            "relay-ip=::1",
            f"listening-port={self.port}",
            f"tls-listening-port={self.tls_port}",
            f"cert={certificate}",
            f"pkey={key}",
            f"realm={REALM}",
            "allow-loopback-peers",
            "no-cli",
            "no-dtls",
            "verbose",
            "log-file=stdout",
            "no-stdout-log=false",
            f"pidfile={self.directory / 'pid'}",
            f"userdb={self.directory / 'db'}",
            *(self.options or ["lt-cred-mech", f"user={USER}:{PASSWORD}"]),
        ]
        (self.directory / "conf").write_text("\n".join(lines) + "\n")
        self.case.addCleanup(self.kill)

    async def start(self) -> None:
        """It answers when this is over."""
        binary = str(shutil.which("turnserver"))
        self._process = _Process()
        arguments = [binary, "-c", str(self.directory / "conf")]
        reactor.spawnProcess(self._process, binary, arguments, env=os.environ)
        for _ in range(int(START_SECONDS / LOOK)):
            if all(map(_listens, (self.port, self.tls_port))):
                return
            await deferLater(reactor, LOOK)
        raise AssertionError(f"coturn did not start: {self._process.output}")

    def kill(self) -> Deferred[None] | None:
        """At once, as by SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return None
        transport: Any = process.transport
        with suppress(ProcessExitedAlready):
            transport.signalProcess("KILL")
        return process.ended.addCallback(lambda _: self._keep(process))

    def said(self) -> str:
        """All of the log so far."""
        return self.log + ("" if self._process is None else self._process.output)

    def _keep(self, process: _Process) -> None:
        self.log += process.output


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((HOST, port)) == 0
