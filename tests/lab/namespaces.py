"""Network namespaces: made, connected by cables, entered, and removed, also after a kill.

A lab is named after a directory below :data:`ROOT`, whose lock its process holds. A lock that
nobody holds belongs to a lab whose process was killed: the next lab sweeps what is left of it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from attrs import define, field

from tests.lab.commands import LabError, finish, run

ROOT = Path("/run/refreeze-lab")
"""Short: the path of a UNIX socket has 107 bytes at most."""
PREFIX = "refreeze-lab-"
_NAMED = Path("/run/netns")
_ETC = Path("/etc/netns")
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_QUIET_V6 = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_ra": "0",
}
"""Addresses are usable at once, and nobody else gives any."""


@define(eq=False)
class Namespace:
    """One machine of the lab: I know how to run things in it and to open sockets in it."""

    name: str
    """Within the lab."""
    system_name: str
    """For ``ip netns``: unique on this machine."""
    directory: Path
    """Of the lab."""
    processes: list[subprocess.Popen[bytes]] = field(factory=list, repr=False)

    def ip(self, *lines: str) -> None:
        """Lines of ``ip -batch``."""
        run("ip", "-n", self.system_name, "-batch", "-", text="\n".join(lines) + "\n")

    def run(self, *words: str, text: str = "") -> str:
        """A command to its end."""
        return run("ip", "netns", "exec", self.system_name, *words, text=text)

    def nft(self, rules: str) -> None:
        """Load *rules*."""
        self.run("nft", "-f", "-", text=rules)

    def set(self, values: dict[str, str]) -> None:
        """Settings below /proc/sys, which shows those of the namespace one is in."""
        with self.entered():
            for key, value in values.items():
                (Path("/proc/sys") / key).write_text(value)

    def start(self, words: Sequence[str], log: Path, **more: Any) -> subprocess.Popen[bytes]:
        """A program that runs on; it ends with the lab at the latest, or with our main thread.

        Call it in the main thread only: the kernel watches the thread, not the process.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*["ip", "netns", "exec"], self.system_name, *_DIES_WITH_US, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **more,
            )
        self.processes.append(process)
        return process

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the namespace meanwhile; sockets made here stay there."""
        with (
            open("/proc/thread-self/ns/net", "rb") as own,
            open(_NAMED / self.system_name, "rb") as other,
        ):
            _setns(other)
            try:
                yield
            finally:
                _setns(own)

    def udp(self, host: str, port: int = 0, *, timeout: float = 0.3) -> socket.socket:
        """A bound UDP socket."""
        with self.entered():
            made = socket.socket(_family(host), socket.SOCK_DGRAM)
        made.settimeout(timeout)
        made.bind((host, port))
        return made

    def tcp(self, address: tuple[str, int], *, timeout: float = 1.0) -> socket.socket:
        """A connected TCP socket; OSError when it cannot be."""
        with self.entered():
            made = socket.socket(_family(address[0]), socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made

    def write_hosts(self, hosts: Mapping[str, Sequence[str]]) -> None:
        """The names that programs find which are started from now on."""
        directory = _ETC / self.system_name
        directory.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{host} {name}" for name, all_of in hosts.items() for host in all_of]
        (directory / "hosts").write_text("\n".join(lines) + "\n")
        # Nobody answers there, and says so at once.
        (directory / "resolv.conf").write_text(
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
        )


@define(eq=False)
class Lab:
    """All namespaces of one run; the directory and the processes that belong to them."""

    directory: Path = field(init=False)
    namespaces: dict[str, Namespace] = field(factory=dict, init=False)
    hosts: dict[str, list[str]] = field(factory=dict, init=False)
    """What the machines' /etc/hosts say: addresses by name."""
    _lock: IO[bytes] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        ROOT.mkdir(mode=0o755, exist_ok=True)
        with _locked(ROOT / "lock"):
            _sweep()
            number = 0
            while (directory := ROOT / f"{os.getpid()}-{number}").exists():
                number += 1
            directory.mkdir()
            self.directory = directory
            self._lock = (directory / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def namespace(self, name: str) -> Namespace:
        """A new machine with nothing but loopback."""
        made = Namespace(name, f"{PREFIX}{self.directory.name}-{name}", self.directory)
        run("ip", "netns", "add", made.system_name)
        self.namespaces[name] = made
        made.set(_QUIET_V6)
        made.ip("link set lo up")
        return made

    def cable(self, one: Namespace, interface: str, other: Namespace, its: str) -> None:
        """Join two machines; both ends are up. Packets carry whole checksums (AF_PACKET)."""
        run(
            *("ip", "link", "add", interface, "netns", one.system_name, "type", "veth"),
            *("peer", "name", its, "netns", other.system_name),
        )
        for space, end in ((one, interface), (other, its)):
            space.run("ethtool", "-K", end, "tx", "off", "gso", "off", "gro", "off", "tso", "off")
            space.ip(f"link set {end} up")

    def remove(self, name: str) -> None:
        """End a machine and what runs on it, at once."""
        gone = self.namespaces.pop(name)
        for process in gone.processes:
            process.kill()
            process.wait()
        _remove_namespace(gone.system_name)

    def close(self) -> None:
        """End everything; a second time does nothing."""
        finish([p for each in self.namespaces.values() for p in each.processes], seconds=5.0)
        for name in list(self.namespaces):
            self.remove(name)
        if not self._lock.closed:
            shutil.rmtree(self.directory)
            self._lock.close()


def sweep() -> None:
    """Remove what killed labs have left."""
    if ROOT.exists():
        with _locked(ROOT / "lock"):
            _sweep()


def _sweep() -> None:
    living = set()
    for directory in ROOT.glob("*-*"):
        lock = (directory / "lock").open("ab")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                living.add(directory.name)
                continue
            shutil.rmtree(directory)
    for path in [*_NAMED.glob(f"{PREFIX}*"), *_ETC.glob(f"{PREFIX}*")]:
        owner = "-".join(path.name.removeprefix(PREFIX).split("-")[:2])
        if owner not in living:
            _remove_namespace(path.name)


def _remove_namespace(system_name: str) -> None:
    if (_NAMED / system_name).exists():
        for pid in run("ip", "netns", "pids", system_name).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "del", system_name)
    shutil.rmtree(_ETC / system_name, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _setns(namespace: IO[bytes]) -> None:
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
