"""No secret in what real daemons log and keep, nor in what refreezectl writes of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.secrets import Secrets
from tests.signaling.pki import Pki
from tests.test_daemons import PATIENCE, DaemonsCase
from tests.test_two_machines import free_tcp_port

CREDENTIAL = "a-credential-that-is-long"
CONFIG = """
name = "{name}"
state_dir = "{directory}/{name}-state"
[hub]
connect = "tcp:127.0.0.1:PORT-hub"
cookie = "{directory}/hub.cookie"
{serve}
[control]
socket = "{directory}/{name}.sock"
tcp = "127.0.0.1:PORT-tcp-{name}"
cookie = "{directory}/{name}.cookie"
tls = "127.0.0.1:PORT-tls-{name}"
certificate = "{directory}/pki/{name}.crt"
key = "{directory}/pki/{name}.key"
ca = "{directory}/pki/ca.crt"
[network]
addresses = ["127.0.0.1", "127.0.0.2"]
[ice]
allow_loopback = true
[servers.dead]
urls = ["turn:127.0.0.1:9"]
username = "alice"
credential = "a-credential-that-is-long"
[sessions.link]
peer = "{peer}"
listen = "127.0.0.1:{listen}"
deliver = "127.0.0.1:{deliver}"
"""
ASKED = (
    *(("status",), ("list",), ("show", "link"), ("history", "link"), ("metrics",), ("get",)),
    *(("stats",), ("doctor",), ("restart", "link", "wait=10")),
)
WRONG = (
    f'password = "{CREDENTIAL}"',
    f"secret = '{CREDENTIAL}'",
    f"credential = ['{CREDENTIAL}']",
    f"credential = '{CREDENTIAL}",
)
"""Lines that do not belong into a server's section."""


class ProcessTests(DaemonsCase):
    """Two daemons with cookies, certificates, an account of a TURN server, and DTLS."""

    template = CONFIG

    def setUp(self) -> None:
        super().setUp()
        self.said: list[str] = []
        self.secrets = Secrets()
        self.secrets.learn("credential", CREDENTIAL)
        words = ["hub", *(f"{way}-{name}" for way in ("tcp", "tls") for name in ("alice", "bob"))]
        self.ports = {word: free_tcp_port() for word in words}
        self.pki = Pki(f"{self.directory}/pki")
        for name in ("alice", "bob"):
            path = Path(f"{self.directory}/{name}.toml")
            text = re.sub("serve = .*", 'serve = "tcp:127.0.0.1:PORT-hub"', path.read_text())
            path.write_text(re.sub("PORT-([a-z-]+)", lambda m: str(self.ports[m[1]]), text))
            self.issue(name, hosts=["127.0.0.1"])
        self.issue("carol", role="admin")

    def issue(self, name: str, hosts: list[str] | None = None, role: str | None = None) -> None:
        """A certificate of *name*, and one more key that nobody may see."""
        files = self.pki.issue(name, hosts or [], role=role)
        self.secrets.learn_key("TLS key", Path(files.key).read_bytes())

    def ask(self, name: str, *words: str) -> None:
        """Whatever comes of it is kept."""
        done = self.run_ctl(name, *words)
        self.said += [done.stdout, done.stderr]

    def come_to_the_control_port(self) -> None:
        """On every way, with what is right and with what is not."""
        cookie, pki = f"{self.directory}/alice.cookie", f"{self.directory}/pki"
        for word, *way in (
            ("tcp-alice", "--cookie", cookie),
            ("tcp-bob", "--cookie", cookie),
            ("tls-alice", "--cert", f"{pki}/carol.crt"),
            ("tls-alice", "--cert", f"{pki}/bob.crt"),
        ):
            place = f"{word[:3]}:127.0.0.1:{self.ports[word]}"
            self.ask("alice", "-v", "--connect", place, *way, "show", "link")

    def reload_what_is_wrong(self) -> None:
        """Files that somebody has just edited, and a key that was cut."""
        config = Path(f"{self.directory}/alice.toml")
        good = config.read_text()
        for wrong in WRONG:
            config.write_text(good.replace("[sessions.link]", f"{wrong}\n[sessions.link]"))
            self.ask("alice", "reload")
        config.write_text(good)
        self.pki.put("alice.key", Path(f"{self.directory}/pki/alice.key").read_bytes()[40:])
        self.ask("alice", "reload")
        self.issue("alice", hosts=["127.0.0.1"])
        self.ask("alice", "reload")

    def learn_files(self) -> None:
        """What the daemons made."""
        for name in ("alice", "bob", "hub"):
            self.secrets.learn("cookie", Path(f"{self.directory}/{name}.cookie").read_bytes())
        for name in ("alice", "bob"):
            kept = Path(f"{self.directory}/{name}-state/dtls.pem")
            self.secrets.learn_key("DTLS key", kept.read_bytes())

    def test_a_run_at_level_debug_shows_none(self) -> None:
        for name in ("alice", "bob"):
            self.begin(name)
            self.await_socket(name)
            self.ctl(name, "log", "level=debug")
        self.ctl("alice", "wait", "link", "connected", "--timeout", "30")
        self.exchange(b"one")
        self.learn_files()
        self.come_to_the_control_port()
        for words in ASKED:
            self.ask("alice", *words)
            self.ask("bob", "-v", "--json", *words)
        self.reload_what_is_wrong()
        for name in ("alice", "bob"):
            self.daemons[name].terminate()
            self.daemons[name].wait(PATIENCE)
        logs = {n: Path(f"{self.directory}/{n}.log").read_text() for n in ("alice", "bob")}
        self.assertIn("is not let in", logs["alice"])
        self.assertEqual(logs["alice"].count("stays as it was"), len(WRONG) + 1, logs["alice"])
        for text in (*logs.values(), "".join(self.said)):
            self.assertNotIn("Traceback", text)
            self.assertEqual(self.secrets.found(text), [])
        for name in ("alice", "bob"):
            state = f"{self.directory}/{name}-state"
            self.assertEqual(self.secrets.found_in_files(state, "dtls.pem"), [])
