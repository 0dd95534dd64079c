"""What tests need whose DTLS handshakes are to run in virtual time."""

from __future__ import annotations

from refreeze.testing import openssltime
from tests.interop.peers import missing


def need_openssl_time() -> None:
    """Skip with the reason where OpenSSL's clock is its own, or fail where all is required."""
    reason = openssltime.unavailable()
    if reason is not None:
        missing(f"virtual time in OpenSSL: {reason}")
