"""A daemon driven from another machine: refreezectl over TLS, and whoever else comes along."""

from __future__ import annotations

import sys

from refreeze.control.server import MAX_STRANGERS_PER_ORIGIN
from refreeze.ctl.places import Certificates
from refreeze.ctl.wire import ConnectError, Connection
from tests.lab.case import LabCase
from tests.lab.commands import PATIENCE, LabError, run
from tests.lab.daemons import SOURCES, Daemon, start_all
from tests.lab.segment import Segment, public4

PORT = 7812
_CTL = (sys.executable, "-c", "import sys; from refreeze.ctl import main; sys.exit(main())")


class ControlTests(LabCase):
    """Alice's daemon, and a machine that has nothing of hers but papers of her CA."""

    def setUp(self) -> None:
        super().setUp()
        segment = Segment(self.lab)
        self.pki = self.lab.directory / "pki"
        run(*_CTL, "pki", "init", str(self.pki))
        self.issue("alice", "--host", public4(21), "--host", "alice.example.net")
        papers = {
            "certificate": str(self.pki / "alice.crt"),
            "key": str(self.pki / "alice.key"),
            "ca": str(self.pki / "ca.crt"),
        }
        self.daemon = Daemon(
            self.lab,
            segment.public("alice", 21),
            "alice",
            {
                "control": {"tls": f"*:{PORT}", **papers},
                "sessions": {"link": {"peer": "bob", "signaling": "control"}},
            },
        )
        self.desk = segment.public("desk", 22)
        self.idler = segment.public("idler", 23)
        start_all(self.daemon)

    def issue(self, name: str, *more: str) -> None:
        """Papers of that name."""
        run(*_CTL, "pki", "issue", name, *more, "--force", "--dir", str(self.pki))

    def ctl(self, name: str, *words: str, text: str = "") -> str:
        """refreezectl at the desk, with the papers of *name*; LabError with what it says."""
        where = f"tls:{public4(21)}:{PORT}"
        papers = str(self.pki / f"{name}.crt")
        return self.desk.run(
            *("env", f"PYTHONPATH={SOURCES / 'src'}", *_CTL),
            *("--connect", where, "--cert", papers, *words),
            text=text,
        )

    def test_an_operator_elsewhere_drives_it(self) -> None:
        self.issue("carol", "--role", "operator")
        self.assertIn("link", self.ctl("carol", "list"))
        self.ctl("carol", "hold", "link", "--for", "10m")
        self.assertIn("certificate carol from", self.daemon.log())
        script = self.ctl("carol", text="list\nstatus\n")
        self.assertIn("dtls_certificate_days", script)
        error = self.assertRaises(LabError, self.ctl, "carol", "reload")
        self.assertIn("not-permitted", str(error))

    def test_whoever_has_no_papers_for_it_is_not_heard(self) -> None:
        self.issue("bob")
        error = self.assertRaises(LabError, self.ctl, "bob", "list")
        self.assertIn("it is for no control port", str(error))
        self.daemon.wait(lambda: "is for no client of" in self.daemon.log(), "the reason")
        with self.desk.tcp((public4(21), PORT)) as plain:
            plain.sendall(b"list\n")
            self.assertNotIn(b"refreeze", plain.recv(1000))
        self.daemon.wait(lambda: "does not speak TLS" in self.daemon.log(), "the reason")

    def test_new_papers_are_for_new_connections_and_others_stay(self) -> None:
        self.issue("carol", "--role", "admin")
        where = f"tls:{public4(21)}:{PORT}"
        with self.desk.entered():
            connection = self.connection(where)
        self.addCleanup(connection.close)
        self.issue("alice", "--host", "alice.example.net")
        connection.ask("reload")
        error = self.assertRaises(LabError, self.ctl, "carol", "list")
        self.assertIn("the daemon's certificate is refused", str(error))
        self.assertIn("link", self.ctl("carol", "--server-name", "alice.example.net", "list"))
        records, _ = connection.ask("list")
        self.assertEqual(len(records), 1)

    def test_who_is_shut_out_is_gone_and_stays_out(self) -> None:
        """The key was stolen: a line of the configuration, and a reload."""
        self.issue("carol", "--role", "admin")
        with self.desk.entered():
            connection = self.connection(f"tls:{public4(21)}:{PORT}")
        self.addCleanup(connection.close)
        self.daemon.rewrite({"control": {"certificates": {"carol": "none"}}})
        self.daemon.ask("reload")
        error = self.assertRaises(ConnectError, connection.ask, "shutdown")
        self.assertIn("not-permitted", str(error))
        refused = self.assertRaises(LabError, self.ctl, "carol", "list")
        self.assertIn("not-permitted", str(refused))

    def test_who_holds_all_his_places_holds_nobody_elses(self) -> None:
        self.issue("carol", "--role", "observer")
        for _ in range(MAX_STRANGERS_PER_ORIGIN + 1):
            self.enterContext(self.idler.tcp((public4(21), PORT)))
        self.daemon.wait(lambda: "too many connections" in self.daemon.log(), "the reason")
        self.assertIn(f"control: {public4(23)}: too many", self.daemon.log())
        self.assertIn("link", self.ctl("carol", "list"))

    def test_the_environment_says_where(self) -> None:
        """As docs/remote-control.md has it, with the name of a daemon behind a tunnel."""
        self.issue("carol", "--role", "observer")
        self.issue("alice", "--host", "alice.example.net")
        self.daemon.ask("reload")
        said = self.desk.run(
            *("env", f"PYTHONPATH={SOURCES / 'src'}"),
            f"REFREEZE_SOCKET=tls:{public4(21)}:{PORT}",
            f"REFREEZE_CERT={self.pki / 'carol.crt'}",
            "REFREEZE_SERVER_NAME=alice.example.net",
            *(*_CTL, "status"),
        )
        self.assertIn("control_certificate_days", said)

    def connection(self, where: str) -> Connection:
        """Carol's, of the library."""
        return Connection(where, PATIENCE, certificates=Certificates(str(self.pki / "carol.crt")))
