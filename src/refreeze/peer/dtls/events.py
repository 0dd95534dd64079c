"""What becomes of the associations of one transport, told at once to whoever composed it."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from refreeze.peer.dtls.problems import DtlsProblem


@frozen
class DtlsConnected:
    """Payload is protected from now on; *association* counts from 1."""

    association: int
    protocol: str
    cipher: str


@frozen
class DtlsFailed:
    """There is no association, and no record will be sent before another is negotiated."""

    problem: DtlsProblem


@frozen
class DtlsClosed:
    """The peer said close_notify."""


DtlsEvent: TypeAlias = DtlsConnected | DtlsFailed | DtlsClosed
