"""The verdict on the other end's certificate, inside the handshake, and why in words.

Everything is decided while the handshake runs: OpenSSL judges the chain, and we, at its leaf,
the names. So nobody who is refused ever gets a byte, and TLS's own alert tells him.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import define, field
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.exceptions import CertificateError as BadNames
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    ServiceID,
    verify_service_identity,
)
from twisted.python.failure import Failure

from refreeze.net.servers import is_numeric
from refreeze.net.tls import openssl_words
from refreeze.signaling.certificates import hosts_of, names_of

MAX_SHOWN: Final = 4
"""Names of a foreign certificate in one text."""

_FOREIGN: Final = frozenset({2, 19, 20, 21})
"""Of the numbers below: no certificate of the chain comes from a CA that we trust."""

_CHAIN_ERRORS: Final[Mapping[int, str]] = {
    **dict.fromkeys(_FOREIGN, "comes from a CA that is not ours"),
    7: "has a wrong signature",
    9: "is not valid yet (is the clock right?)",
    10: "has expired",
    18: "is signed by itself",
    24: "comes from a certificate that is not a CA's",
    25: "comes from a CA that was not allowed to make it",
    26: "is not for this end of a connection",
}
"""By OpenSSL's numbers (x509_vfy.h, X509_V_ERR_*)."""

_SAID: Final[Mapping[str, str]] = {
    "did not return a certificate": "it showed no certificate",
    "unsupported protocol": "it does not speak TLS 1.3",
    "alert protocol version": "it does not speak TLS 1.3",
    "wrong version number": "it does not speak TLS",
    "http request": "it does not speak TLS",
    "packet length too long": "it does not speak TLS",
    "record layer failure": "it does not speak TLS",
    "alert certificate required": "it wants a certificate and got none",
    "alert unknown ca": "it does not trust the CA of our certificate",
    "alert certificate expired": "it says that our certificate has expired",
    "alert bad certificate": "it refuses our certificate",
    "alert unsupported certificate": "it refuses our certificate for this purpose",
    "alert certificate unknown": "it refuses our certificate",
    # The alert for a refusal of our own kind, which OpenSSL has no number for.
    "alert internal error": "it refuses the names in our certificate, or has failed",
}
"""By what OpenSSL says, in parts of its words; those with "alert" come from the other end."""


@define(eq=False, repr=False)
class Verification:
    """Of one handshake. *host*: whom the other end must be; None: anybody with a name.

    *names_in* finds the names in a certificate, daemons' unless said otherwise; *nobody* says in
    words what a certificate without any is.
    """

    host: str | None = None
    names_in: Callable[[x509.Certificate], Sequence[str]] = names_of
    nobody: str = "names no daemon"
    names: Sequence[str] = field(default=(), init=False)
    """Who the other end may be; empty until its certificate is found good."""
    problem: str = field(default="", init=False)
    """Why there is no connection, seen from here; empty when TLS has nothing against it."""

    def judge(self, certificate: crypto.X509, error: int, depth: int, fine: bool) -> bool:
        """One certificate of the chain, from the CA down to depth 0; must not raise."""
        try:
            shown = certificate.to_cryptography()
            if not fine:
                self._judge_chain(shown, error, depth)
            elif depth == 0:
                self._judge_names(shown)
        except Exception:  # whatever two parsers may make of a stranger's bytes
            self.problem = "its certificate cannot be read"
        return not self.problem

    def _judge_chain(self, certificate: x509.Certificate, error: int, depth: int) -> None:
        why = _CHAIN_ERRORS.get(error, f"is refused (OpenSSL's error {error})")
        whose = "its certificate" if depth == 0 or error in _FOREIGN else "its CA's certificate"
        self.problem = f"{whose}{described(certificate)} {why}"

    def lost(self, reason: Failure) -> str:
        """The connection has ended: why, in words."""
        if not self.problem and isinstance(reason.value, SSL.Error):
            said = openssl_words(reason.value)
            known = [text for words, text in _SAID.items() if words in said]
            self.problem = known[0] if known else f"TLS failed: {said}"
        return self.problem or reason.getErrorMessage()

    def _judge_names(self, certificate: x509.Certificate) -> None:
        if self.host is not None:
            if not is_host(certificate, self.host):
                whose = described(certificate) or " for no name at all"
                self.problem = f"its certificate is{whose}, not for {self.host}"
            return
        self.names = self.names_in(certificate)
        if not self.names:
            self.problem = f"its certificate{described(certificate)} {self.nobody}"


def judged(connection: SSL.Connection, shown: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """The callback of all our contexts; a connection's own data is Twisted's transport."""
    verification = verification_of(connection.get_app_data())
    return verification is not None and verification.judge(shown, error, depth, bool(ok))


def is_host(certificate: x509.Certificate, host: str) -> bool:
    """Whether *certificate* is for *host*, by service-identity's rules (RFC 9525).

    Only host names and addresses are compared: a daemon's URI is no service's.
    """
    patterns: list[CertificatePattern] = []
    try:
        for each in hosts_of(certificate):
            if isinstance(each, str):
                patterns.append(DNSPattern.from_bytes(each.encode()))
            else:
                patterns.append(IPAddressPattern(each))
        wanted = _service(host)
        verify_service_identity(patterns, obligatory_ids=[wanted], optional_ids=[])
    except (VerificationError, BadNames):
        return False
    return True


def _service(host: str) -> ServiceID:
    return IPAddress_ID(host.partition("%")[0]) if is_numeric(host) else DNS_ID(host)


def described(certificate: x509.Certificate) -> str:
    """`` for NAME, ...``: printable and short, whatever stands in it; empty when nothing does."""
    try:
        found = [*names_of(certificate), *map(str, hosts_of(certificate))]
    except ValueError:
        return ""
    shown = [name[:64] if name.isprintable() else ascii(name)[:64] for name in found[:MAX_SHOWN]]
    more = f" and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
    return f" for {', '.join(shown)}{more}" if shown else ""


def verification_of(transport: object) -> Verification | None:
    """What :mod:`.tls` has put there; None without it."""
    verification = getattr(transport, "verification", None)
    return verification if isinstance(verification, Verification) else None
