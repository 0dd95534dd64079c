"""What a peer connection is given by whoever composes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from refreeze.basics import Randomness
from refreeze.ice import AgentSettings, CheckBucket
from refreeze.net.gathering import Gatherer
from refreeze.net.mux import Mux
from refreeze.net.scheduler import Scheduler
from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.configuration import RTCConfiguration
from refreeze.peer.dtls import DtlsContext
from refreeze.peer.icetransport import QueueTask
from refreeze.peer.named import ResolveName


@frozen
class PeerEnvironment:
    """Collaborators, and the manner in which the connection is used."""

    mux: Mux
    scheduler: Scheduler
    random: Randomness
    bucket: CheckBucket
    queue_task: QueueTask
    """Runs a function later, in order: what scripts can see changes nowhere else."""
    settings: AgentSettings
    certificate: RTCCertificate
    """Whose fingerprints descriptions name where there is no DTLS; WebRTC's need some."""
    gatherer: Gatherer
    """Where candidates come from; :class:`~refreeze.net.HostGatherer` needs no servers."""
    resolve_mdns: ResolveName | None = None
    """Resolves the ``.local`` names of remote candidates; None: they are as if unreachable."""
    dtls: Callable[[], DtlsContext] | None = None
    """The identity for the next association; None: payload crosses the network as it is."""
    wall: Callable[[], datetime] | None = None
    """The date, with a zone; None: no certificate is looked at for its dates."""
    configure: Callable[[RTCConfiguration], None] | None = None
    """Takes the servers and the policy for the next gathering; None: they are not ours to set."""
    closed: Callable[[], object] = lambda: None
    """Told once by close(), at its end: what the connection had for itself can go."""
    as_service: bool = False
    """Where a daemon is better off otherwise than a browser: candidates that are known at once
    are in the description that setLocalDescription leaves, candidates of a description that is
    still to come are kept for it (T2), audio and video of the peer are rejected, and a peer may put
    another connection in its own's place, with other sections."""
