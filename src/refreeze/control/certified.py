"""Clients of the control port on TLS: their certificates say who they are (:mod:`refreeze.names`).

Both ends show a certificate and speak TLS 1.3; a daemon's certificate opens no control port, and
an operator's joins no hub.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamServerEndpoint

from refreeze.signaling.certificates import holders_of
from refreeze.signaling.places import TlsPlace, server_endpoint
from refreeze.signaling.tls import TlsIdentity, TlsServerEndpoint
from refreeze.signaling.verification import Verification, verification_of


def control_endpoint(reactor: Any, place: TlsPlace, identity: TlsIdentity) -> IStreamServerEndpoint:
    """Listens at *place*; who has no certificate for it ends in the handshake."""
    endpoint = server_endpoint(reactor, place)
    return TlsServerEndpoint(endpoint, identity, reactor, verification=_verification)


def holder_of(transport: object) -> tuple[str, str]:
    """(role, name) in the certificate of the other end, whose handshake is over."""
    verification = verification_of(transport)
    names = () if verification is None else verification.names
    role, _, name = (names[0] if names else "").partition("/")
    return role, name


def _verification() -> Verification:
    return Verification(names_in=holders_of, nobody="is for no client of the control port")
