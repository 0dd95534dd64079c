"""What links cost their hub: memory of each, CPU while they are idle, and how fast they come.

    python benchmarks/hub_links.py [LINKS]

The hub has a process of its own, in which everything is measured; the links are in two others.
Idle is a minute with the keepalives of both ends. Over TLS each link has a certificate of its
own; the same over a UNIX socket shows what TLS adds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from attrs import define, field
from common import Figures, Row, Span, run

from refreeze.ctl.authority import Issued, issue, make_authority, read_issued
from refreeze.signaling import Hub, HubLink, LinkSettings, check_hub_endpoint, hub_listener
from refreeze.signaling.access import SocketAccess
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.tls import TlsIdentity, link_endpoint

PROCESSES = 2
AT_ONCE = 24
"""Handshakes under way from one process; the hub lets an address have 64."""

IDLE = float(os.environ.get("HUB_LINKS_IDLE", "60"))
PATIENCE = 120.0
LOOPBACK = "127.0.0.1"


def reactor_() -> Any:
    """Installed by the time that a contender runs."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


def memory() -> float:
    """KiB that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def more_descriptors() -> None:
    """As many as we may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def write(directory: str, name: str, made: Issued) -> CertificateFiles:
    """One daemon's files."""
    paths = {kind: os.path.join(directory, f"{name}.{kind}") for kind in ("crt", "key")}
    for kind, content in (("crt", made.certificate_pem), ("key", made.key_pem)):
        with open(os.open(paths[kind], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)
    ca = os.path.join(directory, "ca.crt")
    return CertificateFiles(certificate=paths["crt"], key=paths["key"], ca=ca)


async def tls(size: int) -> Figures:
    with tempfile.TemporaryDirectory() as directory:
        now = datetime.now(UTC)
        authority = make_authority(now)
        write(directory, "ca", authority)
        files = write(directory, "hub", issue(authority, "hub", [LOOPBACK], now))
        place = check_hub_endpoint(f"tls:{LOOPBACK}:0")
        listener = hub_listener(reactor_(), place, socket=SocketAccess(), tls=TlsIdentity(files))
        return await _measured(Hub([listener], reactor_()), size, directory)


async def unix(size: int) -> Figures:
    with tempfile.TemporaryDirectory() as directory:
        place = check_hub_endpoint(f"unix:{directory}/hub.sock")
        listener = hub_listener(reactor_(), place, socket=SocketAccess())
        return await _measured(Hub([listener], reactor_()), size, directory)


async def _measured(hub: Hub, size: int, directory: str) -> Figures:
    """Everything of the hub's own process."""
    more_descriptors()
    hub.startService()
    address = hub.ports[0].getHost()
    port = getattr(address, "port", None)
    where = f"unix:{directory}/hub.sock" if port is None else f"tls:{LOOPBACK}:{port}"
    clients = [
        subprocess.Popen(
            [sys.executable, __file__, "--links", where, directory, str(first), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for first in range(PROCESSES)
    ]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n"
        before = memory()
        connecting = Span()
        for client in clients:
            _say(client, b"go\n")
        deadline = time.monotonic() + PATIENCE
        while len(hub.online) < size:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(hub.online)} of {size} links: {dict(hub.counters)}")
            await _turn(0.05)
        wall, cpu = connecting.stop()
        await _turn(min(5.0, IDLE))
        each = (memory() - before) / size
        idle = Span()
        await _turn(IDLE)
        _, idle_cpu = idle.stop()
        if len(hub.online) < size:
            raise RuntimeError(f"links were lost: {dict(hub.counters)}")
    finally:
        for client in clients:
            client.kill()
            client.wait()
        await hub.stopService()
    return {
        "memory": each,
        "idle": idle_cpu * 60 / IDLE,
        "rate": size / wall,
        "connect": cpu * 1000 / size,
    }


def _say(client: subprocess.Popen[bytes], word: bytes) -> None:
    assert client.stdin is not None
    client.stdin.write(word)
    client.stdin.flush()


def _turn(seconds: float) -> Any:
    from twisted.internet.task import deferLater  # noqa: PLC0415

    return deferLater(reactor_(), seconds)


# The processes of the links


@define(eq=False)
class Links:
    """Starts every PROCESSES-th link, not too many at a time."""

    where: str
    waiting: list[tuple[str, TlsIdentity | None]]
    running: list[HubLink] = field(factory=list)

    def start_next(self, up: bool = True, _why: str = "") -> None:
        """One more, when one has come up."""
        if not up or not self.waiting:
            return
        name, identity = self.waiting.pop()
        place = check_hub_endpoint(self.where)
        link = HubLink(
            endpoint=link_endpoint(reactor_(), place, identity),
            name=name,
            clock=reactor_(),
            random=SystemRandom(),
            settings=LinkSettings(),
            state_changed=self.start_next,
        )
        self.running.append(link)
        link.startService()


def links(where: str, directory: str, first: int, size: int) -> None:
    """The main program of one of them."""
    more_descriptors()
    names = [f"edge-{number}" for number in range(first, size, PROCESSES)]
    identities: list[TlsIdentity | None] = [None] * len(names)
    if where.startswith("tls:"):
        ca = [Path(directory, f"ca.{kind}").read_bytes() for kind in ("crt", "key")]
        authority, now = read_issued(*ca), datetime.now(UTC)
        made = (write(directory, name, issue(authority, name, [], now)) for name in names)
        identities = [TlsIdentity(files) for files in made]
    waiting = Links(where, list(zip(names, identities, strict=True)))
    print("ready", flush=True)
    sys.stdin.readline()
    reactor = reactor_()
    reactor.seconds = time.monotonic
    for _ in range(AT_ONCE):
        reactor.callWhenRunning(waiting.start_next)
    reactor.callLater(PATIENCE + IDLE + 60, reactor.stop)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--links"]:
        links(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        run(
            __file__,
            {"tls": tls, "unix": unix},
            5000,
            [
                Row("hub: memory of an idle link, KiB", "memory"),
                Row("hub: CPU s in 60 s, all links idle", "idle"),
                Row("links that come in a second", "rate"),
                Row("hub: CPU ms for one that comes", "connect"),
            ],
            title="links of one hub, in its own process",
            repeats=1,
        )
