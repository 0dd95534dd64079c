"""What the states of the transports amount to (webrtc-pc section 4.3.3)."""

from __future__ import annotations


def connection_state(ice: str, dtls: str | None) -> str:
    """RTCPeerConnectionState for one ICE transport and its DTLS transport (rule 63).

    *dtls* is None where payload crosses the network as it is: then ICE alone decides.
    """
    states = [ice] if dtls is None else [ice, dtls]
    if "failed" in states:
        return "failed"
    if ice == "disconnected":
        return "disconnected"
    if all(state in {"new", "closed"} for state in states):
        return "new"
    if all(state in {"connected", "completed", "closed"} for state in states):
        return "connected"
    return "connecting"
