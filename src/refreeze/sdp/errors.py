"""What is wrong with a description, in one line."""

from __future__ import annotations


class SdpError(ValueError):
    """*line* counts from 1 (None: the whole); *expected* says what would have been right.

    *syntax*: the text is no description at all; else a value in it cannot be (webrtc-pc 4.4.1.5).

    The offending text is not repeated: it may be a password.
    """

    def __init__(self, expected: str, line: int | None = None, *, syntax: bool = False) -> None:
        where = f"line {line}: " if line is not None else ""
        super().__init__(f"{where}expected {expected}")
        self.expected = expected
        self.line = line
        self.syntax = syntax

    def at(self, line: int) -> SdpError:
        """The same, found in that line."""
        return type(self)(self.expected, line, syntax=self.syntax)


class UnsupportedCandidate(SdpError):
    """Well-formed, but not for us: the line is ignored (RFC 8839 section 5.1)."""
