"""What applying a description asks of the transport, in order."""

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
    """Both sides of that generation are known: check."""

    local_ufrag: str
    remote: Credentials
    remote_lite: bool


@frozen
class AbandonGeneration:
    """The offer that staged it was rolled back (rule 26)."""

    local_ufrag: str


@frozen
class AddRemoteCandidate:
    """For the generation with that remote ufrag, which may not have started yet."""

    remote_ufrag: str
    candidate: Candidate


@frozen
class EndOfRemoteCandidates:
    """The peer has no more for that generation."""

    remote_ufrag: str


@frozen
class ForgetRemote:
    """The remote offer with that ufrag was rolled back."""

    remote_ufrag: str


@frozen
class IceDropped:
    """The answer has no ICE although it was in use; our next offer restarts (rule 37)."""


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
    | ForgetRemote
    | IceDropped
    | Fire
)
