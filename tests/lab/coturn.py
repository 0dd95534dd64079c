"""coturn on the public segment: STUN and TURN over UDP, TCP and TLS, RFC 5780 on two addresses.

It can be killed and started again, its accounts change while it runs, and its log says which
allocations are still there.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from attrs import define, field

from tests.lab.certificates import Authority
from tests.lab.commands import PATIENCE, until
from tests.lab.namespaces import Namespace
from tests.lab.segment import Segment, public4, public6

REALM = "lab.test"
PORT, TLS_PORT = 3478, 5349
ALTERNATE_PORT = PORT + 1
"""Of RFC 5780's OTHER-ADDRESS; TLS has its own."""

_BEGUN = re.compile(r"session (\d+): new, ")
_BY = re.compile(r"session (\d+): new, .*username=<([^>]*)>")
_ENDED = re.compile(r"session (\d+): (?:refreshed, .* lifetime=0\b|closed |delete)")
_READY = "Total General servers"
_SCHEMA = Path("/usr/share/coturn/schema.sql")
"""Of its accounts, as the package has it."""

_CONFIG = """
realm={realm}
{listening}
{relaying}
min-port=50000
max-port=54999
lt-cred-mech
{more}
userdb={directory}/{name}.db
cert={directory}/{name}.crt
pkey={directory}/{name}.key
log-file={log}
simple-log
verbose
pidfile={directory}/{name}.pid
no-cli
no-multicast-peers
no-dtls
"""


@define(eq=False)
class TurnServer:
    """One server, at the addresses of *number* and of the next.

    With a *secret* it takes time-limited credentials only (``use-auth-secret``).
    """

    segment: Segment
    authority: Authority
    name: str = "turn"
    number: int = 10
    secret: str | None = None
    namespace: Namespace = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log: Path = field(init=False)
    _starts: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.namespace = self.segment.public(self.name, self.number)
        self.namespace.ip(
            f"addr add {public4(self.number + 1)}/24 dev eth0",
            f"addr add {public6(self.number + 1)}/64 dev eth0",
        )
        self.use_certificate(self.authority)
        self.segment.lab.hosts[self.host_name] = [self.address4, self.address6]

    @property
    def host_name(self) -> str:
        """For clients, and in the certificate."""
        return f"{self.name}.{REALM}"

    @property
    def address4(self) -> str:
        """The first of two."""
        return public4(self.number)

    @property
    def address6(self) -> str:
        """The first of two."""
        return public6(self.number)

    def use_certificate(self, authority: Authority) -> None:
        """From the next start on: one that *authority* issued."""
        directory = self.segment.lab.directory
        authority.issue(
            [self.host_name, self.address4, self.address6],
            directory / f"{self.name}.crt",
            directory / f"{self.name}.key",
        )

    def start(self) -> None:
        """Run it, also after :meth:`kill`; ready when this returns."""
        directory = self.segment.lab.directory
        self._starts += 1
        self._log = directory / f"{self.name}.{self._starts}.log"
        both = [self.number, self.number + 1]
        config = directory / f"{self.name}.conf"
        config.touch(mode=0o600)
        config.write_text(
            _CONFIG.format(
                realm=REALM,
                listening="\n".join(
                    f"listening-ip={host(n)}" for host in (public4, public6) for n in both
                ),
                relaying=f"relay-ip={self.address4}\nrelay-ip={self.address6}",
                more="" if self.secret is None else "use-auth-secret",
                directory=directory,
                name=self.name,
                log=self._log,
            )
        )
        self._make_tables()
        self._process = self.namespace.start(
            ["turnserver", "-c", str(config)], directory / f"{self.name}.out"
        )
        until(lambda: _READY in self.log(), lambda: f"coturn; it said:\n{self.log()}")
        self.namespace.nft("flush ruleset")
        if self.secret is not None:
            self.set_secret(self.secret)

    def kill(self, *, silently: bool = False) -> None:
        """Its clients hear of it by ICMP and TCP; *silently*: as a power cut, not at all."""
        assert self._process is not None
        if silently:
            self.namespace.nft(_SILENT)
        self._process.kill()
        self._process.wait(PATIENCE)

    # Accounts

    def add_user(self, user: str, password: str) -> None:
        """A new account, or another password; a running allocation keeps the old one."""
        key = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()
        self._change("REPLACE INTO turnusers_lt (realm, name, hmackey) VALUES (?, ?, ?)", user, key)

    def remove_user(self, user: str) -> None:
        """It can allocate nothing more."""
        self._change("DELETE FROM turnusers_lt WHERE realm = ? AND name = ?", user)

    def set_secret(self, secret: str) -> None:
        """The one shared secret from now on."""
        self.secret = secret
        self._change("DELETE FROM turn_secret WHERE realm = ?")
        self._change("INSERT INTO turn_secret (realm, value) VALUES (?, ?)", secret)

    def _change(self, statement: str, *values: str) -> None:
        with closing(self._database()) as database, database:
            database.execute(statement, (REALM, *values))

    def _make_tables(self) -> None:
        """Coturn makes them only when it is the first to open the file, and at its leisure."""
        with closing(self._database()) as database, database:
            if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                database.executescript(_SCHEMA.read_text())

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.segment.lab.directory / f"{self.name}.db", timeout=PATIENCE)

    # What it did

    def log(self) -> str:
        """Of the present run."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def allocations(self) -> set[str]:
        """The sessions that have one now; one that was left alone counts until it times out."""
        text = self.log()
        return set(_BEGUN.findall(text)) - set(_ENDED.findall(text))

    def users(self) -> set[str]:
        """Who has an allocation now."""
        now = self.allocations()
        return {user for session, user in _BY.findall(self.log()) if session in now}

    def allocated(self) -> int:
        """How many there ever were in this run."""
        return len(_BEGUN.findall(self.log()))


_SILENT = """
table inet silent {
  chain output {
    type filter hook output priority 0; policy drop;
  }
}
"""
