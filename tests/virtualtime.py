"""What tests need whose DTLS handshakes are to run in virtual time."""

from __future__ import annotations

from refreeze.testing import openssltime
from tests.interop.peers import missing


def true_openssl_time() -> None:
    """For real sockets: the world of an earlier test may not have been collected yet."""
    if openssltime.unavailable() is None:
        openssltime.follow(None)


def need_openssl_time() -> None:
    """Skip with the reason where OpenSSL's clock is its own, or fail where all is required."""
    reason = openssltime.unavailable()
    if reason is not None:
        missing(f"virtual time in OpenSSL: {reason}")
