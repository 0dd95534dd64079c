"""The three files: read, checked against each other, and refused in one line that names one."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl.authority import Issued, issue, make_authority
from refreeze.names import is_name, name_of_uri, name_uri
from refreeze.signaling.certificates import (
    MAX_FILE,
    CertificateError,
    CertificateFiles,
    check_client,
    check_server,
    hosts_of,
    load,
)
from refreeze.signaling.tls import TlsIdentity
from tests.signaling.pki import Pki, custom, days_ago


class NameTests(SynchronousTestCase):
    """refreeze:NAME."""

    def test_every_name_goes_through_a_uri_and_back(self) -> None:
        for name in ("a", "edge-17", "north:a@b+c_d.e", "x" * 64):
            self.assertTrue(is_name(name))
            self.assertEqual(name_of_uri(name_uri(name)), name)

    def test_what_is_no_name_names_nobody(self) -> None:
        for uri in ("refreeze:", "refreeze:-", "refreeze:a b", "refreeze://a", "a", "Refreeze:a"):
            self.assertIsNone(name_of_uri(uri))
        self.assertIsNone(name_of_uri("refreeze:" + "x" * 65))


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pki = Pki(self.mktemp())
        self.files = self.pki.issue("alice", ["hub.example.net", "2001:db8::1"])

    def refused(self, path: str, why: str, files: CertificateFiles | None = None) -> None:
        """In one line that names the file."""
        error = self.assertRaises(CertificateError, load, files or self.files)
        self.assertTrue(str(error).startswith(f"{path}: "), str(error))
        self.assertIn(why, str(error))
        self.assertNotIn("\n", str(error))

    def test_good_files_say_who_and_how_long(self) -> None:
        material = load(self.files)
        self.assertEqual(material.names, ["alice"])
        self.assertEqual(
            list(map(str, hosts_of(material.chain[0]))), ["hub.example.net", "2001:db8::1"]
        )
        self.assertAlmostEqual((material.expires - days_ago(0)).total_seconds() / 86400, 365, 0)

    def test_no_secret_is_in_a_repr(self) -> None:
        self.assertNotIn("key=", repr(load(self.files)))

    def test_a_missing_file(self) -> None:
        for path in (self.files.certificate, self.files.key, self.files.ca):
            os.rename(path, f"{path}.away")
            self.refused(path, "No such file or directory")
            os.rename(f"{path}.away", path)

    def test_a_damaged_file(self) -> None:
        for path, why in (
            (self.files.certificate, "holds no certificate in PEM"),
            (self.files.key, "holds no key in PEM"),
            (self.files.ca, "holds no certificate in PEM"),
        ):
            with open(path, "rb") as file:
                whole = file.read()
            for part in (b"", whole[: len(whole) // 2], b"\xff" * 100, whole.replace(b"M", b"?")):
                self.pki.put(os.path.basename(path), part)
                self.refused(path, why)
            self.pki.put(os.path.basename(path), whole)

    def test_a_file_without_end_and_what_is_no_file(self) -> None:
        self.pki.put("ca.crt", b"x" * (MAX_FILE + 1))
        self.refused(self.files.ca, "larger than")
        files = CertificateFiles(certificate="/dev/zero", key=self.files.key, ca=self.files.ca)
        self.refused("/dev/zero", "not a regular file", files)
        files = CertificateFiles(certificate="/", key=self.files.key, ca=self.files.ca)
        self.refused("/", "not a regular file", files)
        files = CertificateFiles(certificate="a\0b", key=self.files.key, ca=self.files.ca)
        self.refused("a\0b", "is no path", files)

    def test_a_key_that_others_may_read(self) -> None:
        for mode, fine in ((0o600, True), (0o640, True), (0o644, False), (0o660, False)):
            os.chmod(self.files.key, mode)
            if fine:
                load(self.files)
            else:
                self.refused(self.files.key, "others than its owner and group")

    def test_the_key_of_another_certificate(self) -> None:
        """Half of a renewal has been copied."""
        other = self.pki.issue("bob")
        files = CertificateFiles(
            certificate=self.files.certificate, key=other.key, ca=self.files.ca
        )
        self.refused(other.key, f"not the key of {self.files.certificate}", files)

    def test_a_key_with_a_passphrase(self) -> None:
        made = make_authority(days_ago(0))
        sealed = made.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
        self.pki.put("alice.key", sealed)
        self.refused(self.files.key, "has a passphrase")

    def test_a_key_of_another_kind(self) -> None:
        pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.pki.put("alice.key", pem)
        self.refused(self.files.key, "neither an ECDSA nor an RSA key")

    def test_a_daemons_certificate_in_the_place_of_a_ca(self) -> None:
        with open(self.files.certificate, "rb") as file:
            self.pki.put("ca.crt", file.read())
        self.refused(self.files.ca, "not a CA's")

    def test_a_certificate_that_names_no_daemon(self) -> None:
        files = self.pki.write("x", custom(self.pki.authority, [x509.DNSName("alice")]))
        self.refused(files.certificate, 'a URI "refreeze:NAME"', files)

    def test_random_damage_is_read_or_refused_and_nothing_else(self) -> None:
        seed = int.from_bytes(os.urandom(4))
        print(f"seed {seed}", end=" ")
        random = Random(seed)
        for path in (self.files.certificate, self.files.ca):
            with open(path, "rb") as file:
                whole = file.read()
            for _ in range(150):
                damaged = bytearray(whole)
                for _ in range(random.randrange(1, 4)):
                    damaged[random.randrange(len(damaged))] = random.randrange(256)
                self.pki.put(os.path.basename(path), bytes(damaged))
                try:
                    load(self.files)
                except CertificateError as error:
                    self.assertNotIn("\n", str(error))
            self.pki.put(os.path.basename(path), whole)


class PurposeTests(SynchronousTestCase):
    """Whether a daemon can do with them what its configuration wants."""

    def setUp(self) -> None:
        self.pki = Pki(self.mktemp())

    def check(self, files: CertificateFiles, check: Callable[..., None], *more: str) -> str:
        """Empty, or what is said."""
        try:
            check(files, load(files), *more)
        except CertificateError as error:
            return str(error)
        return ""

    def test_a_daemon_needs_its_own_name(self) -> None:
        files = self.pki.issue("alice")
        self.assertEqual(self.check(files, check_client, "alice"), "")
        self.assertIn("is for alice, not for bob", self.check(files, check_client, "bob"))

    def test_a_hub_needs_a_host_and_the_purpose(self) -> None:
        self.assertEqual(self.check(self.pki.issue("hub", ["192.0.2.1"]), check_server), "")
        self.assertIn("names no host", self.check(self.pki.issue("alice"), check_server))

    def test_a_certificate_that_says_nothing_of_purposes_is_for_all(self) -> None:
        names = [x509.UniformResourceIdentifier("refreeze:hub"), x509.DNSName("h.example")]
        files = self.pki.write("hub", custom(self.pki.authority, names))
        self.assertEqual(self.check(files, check_server), "")
        self.assertEqual(self.check(files, check_client, "hub"), "")

    def test_rsa_is_taken_too(self) -> None:
        """Other tools make it."""
        key = rsa.generate_private_key(65537, 2048)
        names = [x509.UniformResourceIdentifier("refreeze:alice")]
        made = custom(self.pki.authority, names, key=key)
        self.assertEqual(self.check(self.pki.write("alice", made), check_client, "alice"), "")

    def test_a_key_that_openssl_finds_too_short_is_told_in_one_line(self) -> None:
        names = [x509.UniformResourceIdentifier("refreeze:alice")]
        key = rsa.generate_private_key(65537, 1024)
        files = self.pki.write("alice", custom(self.pki.authority, names, key=key))
        error = self.assertRaises(CertificateError, TlsIdentity, files)
        self.assertEqual(str(error), f"{files.certificate}: OpenSSL says: ee key too small")


class AuthorityTests(SynchronousTestCase):
    """What refreezectl's CA makes."""

    def extension(self, made: Issued, kind: type[x509.ExtensionType]) -> x509.Extension[object]:
        """One of the certificate's."""
        return made.certificate.extensions.get_extension_for_class(kind)

    def test_a_ca_makes_no_other_cas(self) -> None:
        found = self.extension(make_authority(days_ago(0)), x509.BasicConstraints)
        self.assertEqual((found.critical, found.value), (True, x509.BasicConstraints(True, 0)))

    def test_no_certificate_outlives_its_ca(self) -> None:
        authority = make_authority(days_ago(0), days=10)
        made = issue(authority, "alice", [], days_ago(0), days=365)
        self.assertLessEqual(
            made.certificate.not_valid_after_utc, authority.certificate.not_valid_after_utc
        )

    def test_only_a_hubs_certificate_is_a_servers(self) -> None:
        authority = make_authority(days_ago(0))
        for hosts, purposes in (([], 1), (["h.example"], 2)):
            made = issue(authority, "alice", hosts, days_ago(0))
            found = self.extension(made, x509.ExtendedKeyUsage).value
            assert isinstance(found, x509.ExtendedKeyUsage)
            self.assertEqual(len(list(found)), purposes)
