"""Session descriptions and candidate lines (RFC 8866, RFC 8839). Sans-IO."""

from refreeze.sdp.candidates import format_candidate, parse_candidate
from refreeze.sdp.errors import SdpError, UnsupportedCandidate
from refreeze.sdp.session import OWNED, MediaSection, SessionDescription

__all__ = [
    "OWNED",
    "MediaSection",
    "SdpError",
    "SessionDescription",
    "UnsupportedCandidate",
    "format_candidate",
    "parse_candidate",
]
