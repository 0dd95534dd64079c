"""What applying a description asks of the transport, in the order in which it is to be done."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials


@frozen
class StageGeneration:
    """New local credentials were applied: a generation exists, gather for it (rule 22)."""

    local: Credentials


@frozen
class StartGeneration:
    """Both sides of that generation are known: check.

    ``controlling`` is the decision of the first exchange, or of a restart that changed who is
    lite; None: roles stay as they are (rule 42).
    """

    local_ufrag: str
    remote: Credentials
    remote_lite: bool
    controlling: bool | None = None


@frozen
class AbandonGeneration:
    """The offer that staged it was rolled back or replaced (rule 26); the others go on."""

    local_ufrag: str


@frozen
class AddRemoteCandidate:
    """For the newest started generation with that remote ufrag."""

    remote_ufrag: str
    candidate: Candidate


@frozen
class EndOfRemoteCandidates:
    """The peer has no more for that generation."""

    remote_ufrag: str


@frozen
class RemoteCredentialsPending:
    """A remote offer restarts (or begins) ICE; nothing starts before our answer is applied."""

    remote: Credentials


@frozen
class ForgetRemote:
    """The remote offer that announced that ufrag was rolled back or replaced."""

    remote_ufrag: str


@frozen
class IceDropped:
    """The answer has no ICE although it was in use; our next offer restarts (rule 37)."""


@frozen
class DtlsAgreed:
    """An answer, or a provisional one, began a new DTLS association (RFC 8842).

    Without this effect the one in force goes on. ``client``: we handshake first.
    ``fingerprints``: the peer's, any may match (RFC 8122).
    ``payload``: what the peer says it sends, ``a=refreeze``; None when it is no refreeze.
    """

    client: bool
    fingerprints: tuple[str, ...]
    local_tls_id: str | None
    remote_tls_id: str | None
    payload: str | None


@frozen
class Fire:
    """An event for scripts."""

    event: str


Effect: TypeAlias = (
    StageGeneration
    | StartGeneration
    | AbandonGeneration
    | AddRemoteCandidate
    | EndOfRemoteCandidates
    | RemoteCredentialsPending
    | ForgetRemote
    | IceDropped
    | DtlsAgreed
    | Fire
)
