"""Session descriptions and candidate lines (RFC 8866, RFC 8839). Sans-IO."""

from refreeze.sdp.candidates import format_candidate, parse_candidate
from refreeze.sdp.errors import SdpError, UnsupportedCandidate
from refreeze.sdp.session import (
    MAX_BYTES,
    MAX_CANDIDATES,
    MAX_LINES,
    MAX_SECTIONS,
    OWNED,
    MediaSection,
    SessionDescription,
    attribute_name,
)

__all__ = [
    "MAX_BYTES",
    "MAX_CANDIDATES",
    "MAX_LINES",
    "MAX_SECTIONS",
    "OWNED",
    "MediaSection",
    "SdpError",
    "SessionDescription",
    "UnsupportedCandidate",
    "attribute_name",
    "format_candidate",
    "parse_candidate",
]
