"""RTCCertificate: a self-signed certificate and its fingerprint (webrtc-pc section 4.9).

What it says of us crosses the network in clear text in DTLS 1.2. So it names nobody: the subject
is the one that libwebrtc writes, the serial number is random, the dates tell when it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeAlias, TypedDict

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from refreeze.jsep import NotSupportedError

LIFETIME: Final = timedelta(days=30)
"""By default, as the W3C has it."""

LONGEST: Final = timedelta(days=365)
_SKEW: Final = timedelta(days=1)
"""A certificate is valid from before its making: the peer's clock may be behind."""

_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
_RSA_BITS: Final = 2048
_RSA_EXPONENT: Final = 65537

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KeygenAlgorithm: TypeAlias = str | Mapping[str, object]
"""WebCrypto's AlgorithmIdentifier, whose ``expires`` is in milliseconds."""


class RTCDtlsFingerprint(TypedDict):
    """W3C's dictionary."""

    algorithm: str
    value: str


class CertificateProblem(ValueError):
    """What is wrong with a certificate's PEM, in one line that holds nothing of it."""


@frozen(eq=False, repr=False)
class RTCCertificate:
    """A certificate whose fingerprint goes into the SDP, and its key."""

    _certificate: x509.Certificate
    key: PrivateKey
    """For the TLS library."""

    @classmethod
    def generate(cls, now: datetime, *, lifetime: timedelta = LIFETIME) -> RTCCertificate:
        """A fresh one of ECDSA on P-256, valid from a day before *now*, for *lifetime* from now.

        *now* has a time zone. More than a year is not had: W3C's limit.
        """
        return _self_signed(ec.generate_private_key(ec.SECP256R1()), now, lifetime)

    @classmethod
    def generate_for(cls, algorithm: KeygenAlgorithm, now: datetime) -> RTCCertificate:
        """As ``RTCPeerConnection.generateCertificate`` wants it (webrtc-pc section 4.9.1).

        ECDSA on P-256, or RSASSA-PKCS1-v1_5 of 2048 bits with SHA-256, which takes some 0.1 s.
        NotSupportedError for any other; TypeError where a member is missing or is none.
        """
        members: Mapping[str, object]
        members = {"name": algorithm} if isinstance(algorithm, str) else algorithm
        lifetime = _lifetime(members)
        return _self_signed(_key_for(members), now, lifetime)

    @classmethod
    def from_pem(cls, pem: bytes) -> RTCCertificate:
        """What :meth:`to_pem` wrote; CertificateProblem."""
        certificate, key = _read_certificate(pem), _read_key(pem)
        try:
            fit = key.public_key() == certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            fit = False
        if not fit:
            raise CertificateProblem("the key is not that of the certificate")
        return cls(certificate, key)

    def to_pem(self) -> bytes:
        """The key, without a passphrase, and the certificate."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self._certificate.public_bytes(Encoding.PEM)

    @property
    def x509(self) -> x509.Certificate:
        """For the TLS library."""
        return self._certificate

    @property
    def der(self) -> bytes:
        """The certificate, and nothing of the key."""
        return self._certificate.public_bytes(Encoding.DER)

    @property
    def not_before(self) -> datetime:
        """When its validity begins, a day before it was made."""
        return self._certificate.not_valid_before_utc

    @property
    def made(self) -> datetime:
        """When we made it."""
        return self.not_before + _SKEW

    @property
    def expires(self) -> datetime:
        """When its validity ends."""
        return self._certificate.not_valid_after_utc

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """(algorithm, colon-separated upper-case hex), as SDP writes them (RFC 8122)."""
        return [("sha-256", sha256(self.der).digest().hex(":").upper())]

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        """The same, as W3C has them: in lower case."""
        return [{"algorithm": name, "value": value.lower()} for name, value in self.fingerprints]


def _self_signed(key: PrivateKey, now: datetime, lifetime: timedelta) -> RTCCertificate:
    now = now.astimezone(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + min(lifetime, LONGEST))
        .sign(key, SHA256())
    )
    return RTCCertificate(certificate, key)


# WebCrypto's words


def _key_for(members: Mapping[str, object]) -> PrivateKey:
    name = _text(members, "name")
    if name.upper() == "ECDSA":
        if _text(members, "namedCurve") != "P-256":
            raise NotSupportedError("of the curves there is P-256 only")
        return ec.generate_private_key(ec.SECP256R1())
    if name.upper() != "RSASSA-PKCS1-V1_5":
        raise NotSupportedError("a certificate's key is ECDSA or RSASSA-PKCS1-v1_5")
    digest = members.get("hash")
    digest = _text(digest if isinstance(digest, Mapping) else {"name": digest}, "name")
    if _number(members, "modulusLength") != _RSA_BITS or digest.upper() != "SHA-256":
        raise NotSupportedError("RSA has 2048 bits, and SHA-256")
    if _exponent(members) != _RSA_EXPONENT:
        raise NotSupportedError("the public exponent of RSA is 65537")
    return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)


def _lifetime(members: Mapping[str, object]) -> timedelta:
    if "expires" not in members:
        return LIFETIME
    limit = LONGEST // timedelta(milliseconds=1)
    return timedelta(milliseconds=min(_number(members, "expires"), limit))


def _text(members: Mapping[str, object], key: str) -> str:
    value = members.get(key)
    if not isinstance(value, str):
        raise TypeError(f"{key} of the algorithm must be a text")
    return value


def _number(members: Mapping[str, object], key: str) -> int:
    value = members.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{key} of the algorithm must be a number that is not negative")
    return value


def _exponent(members: Mapping[str, object]) -> int:
    """WebCrypto's BigInteger: bytes, the greatest first."""
    value = members.get("publicExponent")
    if not isinstance(value, bytes):
        raise TypeError("publicExponent of the algorithm must be bytes")
    return int.from_bytes(value, "big")


# PEM


def _read_certificate(pem: bytes) -> x509.Certificate:
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem)
        # What is read only when it is asked for is asked for now.
        known = isinstance(certificate.public_key(), ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        valid = certificate.not_valid_before_utc < certificate.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise CertificateProblem("holds not one certificate that can be read") from None
    if not known or not valid:
        raise CertificateProblem("its certificate is of no use")
    return certificate


def _read_key(pem: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise CertificateProblem("the key has a passphrase; nobody is there to type it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateProblem("holds no key that can be read") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise CertificateProblem("the key is neither ECDSA on P-256 nor RSA of 2048 bits or more")
