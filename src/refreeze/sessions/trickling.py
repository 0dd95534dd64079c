"""Candidates that are found after a description was sent follow it, each once (RFC 8838)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from refreeze.peer import Event, RTCIceCandidate
from refreeze.signaling import CandidateInit, Conversation, Envelope


@define(eq=False, repr=False)
class Trickling:
    """I know what the peer was told with the last description, and tell the rest."""

    _conversation: Conversation
    _send: Callable[[Envelope], None]
    _sdp: str = field(default="", init=False)

    def sent(self, sdp: str) -> None:
        """This description went to the peer, with what it has of candidates."""
        self._sdp = sdp

    def gathered(self, event: Event) -> None:
        """``icecandidate``: one of the generation that the description is of, or its end."""
        candidate = event.candidate
        if not isinstance(candidate, RTCIceCandidate) or not self._is_news(candidate):
            return
        if not candidate.candidate:
            self._send(self._conversation.make_end(candidate.usernameFragment))
            return
        init = CandidateInit(
            candidate.candidate,
            sdp_mid=candidate.sdpMid,
            sdp_mline_index=candidate.sdpMLineIndex,
            username_fragment=candidate.usernameFragment,
        )
        self._send(self._conversation.make_candidate(init))

    def _is_news(self, candidate: RTCIceCandidate) -> bool:
        line = candidate.candidate or "a=end-of-candidates"
        return f"a=ice-ufrag:{candidate.usernameFragment}" in self._sdp and line not in self._sdp
