"""Everything about a session that can be set."""

from __future__ import annotations

from attrs import field, frozen

from refreeze.sessions.forward import ForwardSettings

PROTECTIONS = ("dtls", "none")
CARRIERS = ("hub", "control", "http")


@frozen(kw_only=True)
class SessionSettings:
    """Validated on construction: ValueError in one line that begins with the key."""

    peer: str
    protect: str = "dtls"
    """``none``: payload that protects itself crosses the network as it is."""
    signaling: str = "hub"
    offerer: str | None = None
    """The daemon whose watchdog offers; default: the smaller name of the two, on HTTP ours."""
    liveness: str = "default"
    forward: ForwardSettings = field(factory=ForwardSettings)

    def __attrs_post_init__(self) -> None:
        if self.protect not in PROTECTIONS:
            raise ValueError(f"protect: one of {', '.join(PROTECTIONS)}, not {self.protect!r}")
        if self.signaling not in CARRIERS:
            raise ValueError(f"signaling: one of {', '.join(CARRIERS)}, not {self.signaling!r}")
