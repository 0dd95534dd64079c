"""W3C's errors of offer/answer (webrtc-pc, WebIDL's DOMException names)."""

from __future__ import annotations

from typing import ClassVar


class JsepError(Exception):
    """A description or call that is refused; the state is as before."""

    name: ClassVar[str] = "OperationError"
    """W3C's name of it."""

    def __init_subclass__(cls) -> None:
        cls.name = cls.__dict__.get("name", cls.__name__)


class InvalidStateError(JsepError):
    """Not in this signaling state."""


class InvalidAccessError(JsepError):
    """A description that is malformed, or well-formed and not to be applied.

    *line* is the one in its text that is wrong, counted from 1, where there is such a line.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class NotRestarted(InvalidAccessError):
    """An answer to an ICE restart that has the old credentials (rule 23): the peer cannot, or
    does not know that it should. Its W3C name is InvalidAccessError."""

    name = "InvalidAccessError"


class InvalidModificationError(JsepError):
    """A local description that is not the one created last (webrtc-pc 4.4.1.5)."""


class OperationError(JsepError):
    """It cannot be carried out."""


class RTCError(OperationError):
    """Text that is no description at all (webrtc-pc 4.4.1.5); its W3C name is OperationError."""

    name = "OperationError"
    errorDetail: ClassVar[str] = "sdp-syntax-error"

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.sdpLineNumber = line


class SyntaxProblem(JsepError):
    """W3C's SyntaxError, whose name Python has for something else."""

    name = "SyntaxError"


class NotSupportedError(JsepError):
    """Something that the standard leaves room for, and that is not here."""
