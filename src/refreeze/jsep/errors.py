"""W3C's errors of offer/answer (webrtc-pc, WebIDL's DOMException names)."""

from __future__ import annotations


class JsepError(Exception):
    """A description or call that is refused; the state is as before."""


class InvalidStateError(JsepError):
    """Not in this signaling state."""


class InvalidAccessError(JsepError):
    """Well-formed, but not to be applied."""


class OperationError(JsepError):
    """It cannot be carried out."""
