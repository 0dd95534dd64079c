"""What control asks of a daemon. The supervisor has these; control knows only their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from twisted.internet.defer import Deferred

Record: TypeAlias = dict[str, Any]


class Refused(Protocol):
    """The exception of a refusal: a stable code, and fields."""

    code: str
    fields: Mapping[str, Any]


class Operations(Protocol):
    """Every method may raise an exception of :attr:`refusal`."""

    @property
    def refusal(self) -> type[Exception]: ...

    @property
    def faults_enabled(self) -> bool: ...

    def status(self) -> Record: ...

    def list_sessions(self) -> list[Record]: ...

    def show(self, session_id: str) -> list[Record]: ...

    def stats(self) -> list[Record]: ...

    def history(self, session_id: str) -> list[Record]: ...

    def restart(self, session_id: str, *, reason: str, force: bool) -> Deferred[Record]: ...

    def cancel(self, session_id: str) -> None: ...

    def hold(self, session_id: str, seconds: float | None) -> None: ...

    def release(self, session_id: str) -> None: ...

    def reset(self, session_id: str) -> None: ...

    def open(self, name: str, options: dict[str, str]) -> Record: ...

    def close(self, session_id: str, reason: str) -> None: ...

    def fault(self, session_id: str, what: str, seconds: float) -> Record: ...

    def metrics(self) -> str: ...

    def signal(self, envelope: str) -> None: ...

    def settings(self) -> Record: ...

    def reload(self) -> Record: ...

    def examine(self) -> Deferred[tuple[list[Record], Record]]:
        """The network without any session: records, and counts for the final line."""
        ...

    def drain(self) -> None: ...

    def shutdown(self) -> None: ...


@runtime_checkable
class Settable(Protocol):
    """A daemon whose settings can be changed while it runs: then `set` and `log` exist."""

    def set(self, name: str, value: str) -> None:
        """ValueError in one line, or an exception of ``refusal``; the log level is `log.level`."""
        ...
