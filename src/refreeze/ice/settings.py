"""Everything about an agent that can be set, with its default and its source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from refreeze.bounds import count, number


@frozen(kw_only=True)
class LivenessProfile:
    """When silence means what. Times are seconds since the last packet on the pair."""

    name: str
    disconnected_after: float = 2.5
    failed_after: float = 7.0
    probe_interval: float = 0.5
    disconnected_probes: int = 2
    failed_probes: int = 5
    reply_wait: float = 1.0
    """Outbound data unanswered for so long starts probing."""
    one_way_grace: float = 3.0
    """Data that arrives while our probes go unanswered delays ``failed`` by this at most."""
    consent_only: bool = False
    """Fail on the end of consent alone, as webrtc-pc has it."""


PROFILES: Final[Mapping[str, LivenessProfile]] = MappingProxyType(
    {
        "default": LivenessProfile(name="default"),
        "fast": LivenessProfile(
            name="fast",
            disconnected_after=1.0,
            failed_after=2.5,
            probe_interval=0.25,
            reply_wait=0.5,
        ),
        "patient": LivenessProfile(name="patient", disconnected_after=5.0, failed_after=25.0),
        "w3c": LivenessProfile(
            name="w3c", disconnected_after=5.0, failed_after=30.0, consent_only=True
        ),
    }
)


@frozen(kw_only=True)
class AgentSettings:
    """Times are seconds. RFC 8445 section 14, RFC 7675 section 5.1, RFC 8863 section 4.

    ValueError for a value outside of its range.
    """

    ta: float = number(0.05, 0.005, 1.0)
    rto: float = number(0.5, 0.5, 10.0)
    rc: int = count(7, 1, 16)
    rm: int = count(16, 1, 64)
    max_pairs: int = count(100, 1, 100)
    consent_interval: float = number(5.0, 5.0, 12.5)
    """Mean of the consent interval; never below RFC 7675's 5 s, and with its 20 % never above
    the 15 s after which RFC 8445 section 11 wants a keepalive: the check is the keepalive."""
    consent_expiry: float = number(30.0, 15.0, 30.0)
    pac: float = number(39.5, 0.0, 600.0)
    relay_wait: float = number(1.0, 0.0, 60.0)
    liveness: LivenessProfile = PROFILES["default"]
    allow_loopback: bool = False
    max_early_checks: int = count(32, 0, 1000)
    max_error_answers: int = count(10, 0, 1000)
    """400, 401 and 420 answers of one agent in a second."""
    strict_pacing: bool = False
    """RFC 8445 to the letter: triggered checks and nominations wait for Ta like ordinary ones."""
    clock_jump: float = number(2.0, 1.0, 60.0)
    """A timer that is later than this was held up: silence in that time proves nothing (T37)."""
    rebind_settle: float = number(3.0, 0.0, 60.0)
    """Checks from new addresses so soon after the nomination are the peer's last ordinary ones."""
