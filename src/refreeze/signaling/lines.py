"""Lines out of a stream, bounded. Sans-IO."""

from __future__ import annotations

from attrs import define, field

from refreeze.signaling.envelope import MAX_LINE


@define(eq=False, repr=False)
class LineBuffer:
    """Splits a byte stream at LF; one trailing CR is ignored.

    A line longer than *limit* bytes (its LF included) comes out as None, once, when its end has
    come; nothing of it is kept meanwhile. So one bad line does not end the connection.
    """

    limit: int = MAX_LINE
    _rest: bytearray = field(factory=bytearray, init=False)
    _skipping: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that *data* completes, without their ends."""
        *ended, rest = data.split(b"\n")
        lines = [self._line(part) for part in ended]
        self._keep(rest)
        return lines

    def _line(self, part: bytes) -> bytes | None:
        self._keep(part)
        line, too_long = bytes(self._rest), self._skipping
        self._rest.clear()
        self._skipping = False
        return None if too_long else line.removesuffix(b"\r")

    def _keep(self, part: bytes) -> None:
        if self._skipping or len(self._rest) + len(part) >= self.limit:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += part
