"""Why an association ended, in a slug and a line; never more than OpenSSL's own words."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from OpenSSL import SSL

FINGERPRINT: Final = "dtls-fingerprint"
CERTIFICATE: Final = "dtls-certificate"
ALERT: Final = "dtls-alert"
TIMEOUT: Final = "dtls-timeout"
HANDSHAKE: Final = "dtls-handshake"
REFUSED: Final = "dtls-refused"

_NO_CERTIFICATE: Final = "peer did not return a certificate"
_TOO_OFTEN: Final = "read timeout expired"


@frozen
class DtlsProblem:
    """*reason* is one of this module's slugs; *heals*: another association may well succeed."""

    reason: str
    text: str

    @property
    def heals(self) -> bool:
        """What was lost on the way may arrive the next time; what was refused will be again."""
        return self.reason == TIMEOUT


MISMATCH: Final = DtlsProblem(
    FINGERPRINT, "the peer's certificate is not the one that its description names"
)
WEAK_KEY: Final = DtlsProblem(
    CERTIFICATE, "the key of the peer's certificate is so small that others can find it"
)


def from_openssl(error: SSL.Error) -> DtlsProblem:
    """What pyOpenSSL raised: a list of (library, function, reason), or nothing to speak of."""
    words = _words(error)
    if _NO_CERTIFICATE in words:
        return DtlsProblem(CERTIFICATE, "the peer has no certificate")
    if _TOO_OFTEN in words:
        return DtlsProblem(TIMEOUT, "a flight was sent a dozen times without an answer")
    if "alert" in words:
        return DtlsProblem(ALERT, f"the peer's alert: {words.rpartition('alert ')[2]}")
    return DtlsProblem(HANDSHAKE, words or type(error).__name__)


def _words(error: SSL.Error) -> str:
    details = error.args[0] if error.args else None
    if not isinstance(details, list) or not details:
        return ""
    return ", ".join(str(each[-1]) for each in details)[:200]
