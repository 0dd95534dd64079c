"""`refreezectl pki`: a CA and certificates in a directory, by the program itself."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl import main, pki
from refreeze.ctl.options import UsageError
from refreeze.signaling.certificates import CertificateFiles, check_client, check_server, load
from tests.ctl.test_refreezectl import environment


class PkiTests(SynchronousTestCase):
    """What it writes, what it says, what it refuses."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())

    def main(self, *words: str) -> tuple[int, str, str]:
        """Exit code and both outputs."""
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = main(words)
        return code, out.getvalue(), err.getvalue()

    def pki(self, *words: str) -> str:
        """All is well."""
        code, out, err = self.main("pki", *words)
        self.assertEqual((code, err), (0, ""))
        return out

    def refused(self, *words: str) -> str:
        """Nothing was written; one line says why."""
        code, out, err = self.main("pki", *words)
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err.count("\n"), 1)
        return err

    def make(self, *words: str) -> str:
        """A CA, and something of it."""
        self.pki("init", self.directory)
        return self.pki(*words, "--dir", self.directory)

    def files(self, name: str) -> CertificateFiles:
        """As a daemon has them in its configuration."""
        base = os.path.join(self.directory, name)
        return CertificateFiles(
            certificate=f"{base}.crt", key=f"{base}.key", ca=f"{self.directory}/ca.crt"
        )

    def test_daemons_can_use_what_is_made(self) -> None:
        self.make("issue", "alice", "--host", "Hub.Example.net.", "--host", "[2001:db8::1]")
        self.pki("issue", "bob", "--dir", self.directory)
        alice, bob = load(self.files("alice")), load(self.files("bob"))
        check_client(self.files("alice"), alice, "alice")
        check_server(self.files("alice"), alice)
        check_client(self.files("bob"), bob, "bob")
        self.assertIn("daemon   alice", self.pki("show", self.directory))
        self.assertIn("hosts    hub.example.net,2001:db8::1", self.pki("show", self.directory))

    def test_keys_are_the_owners_alone_whatever_the_umask(self) -> None:
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        self.make("issue", "alice")
        modes = {
            name: stat.S_IMODE(os.stat(os.path.join(self.directory, name)).st_mode)
            for name in os.listdir(self.directory)
        }
        self.assertEqual(
            modes, {"ca.crt": 0o644, "ca.key": 0o600, "alice.crt": 0o644, "alice.key": 0o600}
        )

    def test_nothing_is_overwritten_unless_forced(self) -> None:
        self.make("issue", "alice")
        before = load(self.files("alice")).digest
        for words in (["init", self.directory], ["issue", "alice", "--dir", self.directory]):
            self.assertIn("is there already; --force replaces it", self.refused(*words))
        self.assertEqual(load(self.files("alice")).digest, before)
        self.pki("issue", "alice", "--dir", self.directory, "--force")
        self.assertNotEqual(load(self.files("alice")).digest, before)
        self.assertEqual(len(os.listdir(self.directory)), 4)

    def test_a_link_in_the_way_is_not_followed(self) -> None:
        self.pki("init", self.directory)
        target = os.path.join(self.directory, "target")
        os.symlink(target, os.path.join(self.directory, "alice.key"))
        self.assertIn("is there already", self.refused("issue", "alice", "--dir", self.directory))
        self.pki("issue", "alice", "--dir", self.directory, "--force")
        self.assertFalse(os.path.exists(target))
        load(self.files("alice"))

    def test_who_wins_a_race_keeps_the_name(self) -> None:
        path = os.path.join(self.mktemp() + "d", "x.key")
        os.makedirs(os.path.dirname(path))
        pki._write_file(Path(path), b"first", 0o600, force=False)
        with self.assertRaises(FileExistsError):
            pki._write_file(Path(path), b"second", 0o600, force=False)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"first")
        self.assertEqual(os.listdir(os.path.dirname(path)), ["x.key"])

    def test_as_root_a_daemons_files_are_its_users_and_the_cas_key_is_not(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("needs root")
        nobody = pwd.getpwnam("nobody")
        with patch.object(pki, "USER", "nobody"):
            for words in (["init", self.directory], ["issue", "alice", f"dir={self.directory}"]):
                pki.run(words, as_json=False, quiet=True)
        owners = {
            name: os.stat(os.path.join(self.directory, name)).st_uid
            for name in os.listdir(self.directory)
        }
        uid = nobody.pw_uid
        self.assertEqual(owners, {"ca.crt": 0, "ca.key": 0, "alice.crt": uid, "alice.key": uid})

    def test_days_and_names_are_checked(self) -> None:
        self.pki("init", self.directory, "--days", "20")
        where = ("--dir", self.directory)
        self.assertIn("in 3 days", self.pki("issue", "a", "--days", "3", *where))
        self.assertIn("in 20 days", self.pki("issue", "b", "--days", "300", *where))
        for name in ("ca", "-", "a/b", "../x", "a b", "x" * 65):
            self.assertIn("cannot be a daemon's name", self.refused("issue", "--dir",
                          self.directory, "--", name))  # fmt: skip
        self.assertEqual(len(os.listdir(self.directory)), 6)

    def test_usage(self) -> None:
        for words in (
            [],
            ["burn"],
            ["issue"],
            ["issue", "a", "b"],
            ["issue", "a", "days=0"],
            ["issue", "a", "days=1e9"],
            ["issue", "a", "days=99999999999999"],
            ["issue", "a", "host=a b"],
            ["issue", "a", "host=*.example.net"],
            ["issue", "a", "colour=red"],
            ["show", "force"],
            ["init", "host=x"],
        ):
            self.assertRaises(UsageError, pki.read, words)
        self.assertEqual(self.main("pki", "burn")[0], 2)

    def test_there_is_no_ca(self) -> None:
        self.assertIn("ca.crt: No such file", self.refused("issue", "a", "--dir", self.directory))
        os.makedirs(self.directory)
        self.assertIn("pki init makes a CA", self.refused("show", self.directory))

    def test_a_damaged_ca_is_told_in_one_line(self) -> None:
        self.make("issue", "alice")
        for name in ("ca.key", "ca.crt"):
            path = os.path.join(self.directory, name)
            with open(path, "rb") as file:
                whole = file.read()
            for damaged in (b"", whole[:100], b"\xff\xfe"):
                with open(path, "wb") as file:
                    file.write(damaged)
                self.assertIn("are no CA", self.refused("issue", "b", "--dir", self.directory))
            with open(path, "wb") as file:
                file.write(whole)

    def test_show_one_file_as_json(self) -> None:
        self.make("issue", "alice", "--days", "30")
        record = json.loads(self.main("--json", "pki", "show", f"{self.directory}/alice.crt")[1])
        self.assertEqual(
            (record["daemon"], record["file"]), (["alice"], self.files("alice").certificate)
        )
        self.assertIn("in 30 days", record["expires"])
        with open(self.files("alice").certificate, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        self.assertEqual(record["sha256"], certificate.fingerprint(pki.SHA256()).hex())

    def test_expiry_in_words(self) -> None:
        now = datetime(2027, 1, 15, 12, tzinfo=UTC)
        for hours, words in (
            (24 * 365, "in 365 days (2028-01-15)"),
            (24, "in 1 day (2027-01-16)"),
            (3, "in less than a day (2027-01-15)"),
            (-3, "less than a day ago (2027-01-15)"),
            (-72, "3 days ago (2027-01-12)"),
        ):
            self.assertEqual(pki.expiry(now + timedelta(hours=hours), now), words)

    def test_other_verbs_do_not_load_cryptography(self) -> None:
        """It takes longer than all the rest."""
        code = (
            "import sys; from refreeze.ctl import main; main(['--help']); "
            "sys.exit('cryptography' in sys.modules or 'twisted' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, check=False,
            timeout=20,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0)

    def test_pki_does_not_load_twisted(self) -> None:
        code = (
            "import sys; from refreeze.ctl import main; "
            f"main(['pki', 'init', {self.directory!r}]); sys.exit('twisted' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, check=False,
            timeout=20,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0)
