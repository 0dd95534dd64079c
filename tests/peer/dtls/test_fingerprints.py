"""Fingerprints: which certificate is one that a description names (RFC 8122 section 5)."""

from __future__ import annotations

from hashlib import md5, sha1, sha256, sha384, sha512

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls import fingerprints as module
from refreeze.peer.dtls.fingerprints import fingerprint, matches, usable

DER = b"as good as a certificate"
HASHES = {"sha-256": sha256, "sha-384": sha384, "sha-512": sha512}


def named(algorithm: str, hashed: str) -> str:
    """As a line of SDP has it."""
    pairs = [hashed[at : at + 2] for at in range(0, len(hashed), 2)]
    return f"{algorithm} {':'.join(pairs).upper()}"


class FingerprintTests(SynchronousTestCase):
    """What is believed, and of whom."""

    def test_the_three_hashes_in_any_case(self) -> None:
        for algorithm, hashed in HASHES.items():
            line = named(algorithm, hashed(DER).hexdigest())
            self.assertEqual(fingerprint(DER, algorithm), line)
            for said in (line, line.lower(), line.upper(), line + " "):
                self.assertTrue(matches(DER, [said]), said)
                self.assertFalse(matches(DER + b"!", [said]), said)

    def test_old_and_unknown_hashes_are_passed_over(self) -> None:
        for line in (
            named("sha-1", sha1(DER).hexdigest()),
            named("md5", md5(DER).hexdigest()),
            named("sha256", sha256(DER).hexdigest()),
            "",
            " ",
            "sha-999 00",
        ):
            self.assertFalse(usable([line]), line)
            self.assertFalse(matches(DER, [line]), line)
            good = fingerprint(DER)
            self.assertTrue(usable([line, good]))
            self.assertTrue(matches(DER, [line, good]))

    def test_any_may_match_and_none_is_no_match(self) -> None:
        good, bad = fingerprint(DER), fingerprint(b"somebody else")
        self.assertTrue(matches(DER, [bad, good]))
        self.assertTrue(matches(DER, [good, bad]))
        self.assertFalse(matches(DER, [bad, bad]))
        self.assertFalse(matches(DER, []))
        self.assertFalse(usable([]))

    def test_every_one_is_compared_in_constant_time(self) -> None:
        compared: list[tuple[bytes, bytes]] = []
        true = module.compare_digest

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return true(one, other)

        self.patch(module, "compare_digest", compare)
        self.assertTrue(matches(DER, [fingerprint(DER), fingerprint(b"x"), fingerprint(b"y")]))
        self.assertEqual(len(compared), 3, "the first that matches ends nothing")
