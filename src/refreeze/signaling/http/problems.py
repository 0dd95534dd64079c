"""What goes wrong over HTTP, as RFC 9457 has it: one JSON object, no secret in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from attrs import field, frozen

MEDIA_TYPE = "application/problem+json"


@frozen
class Problem(Exception):
    """Raised by what answers a request; *detail* is one sentence for people."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(factory=dict)

    def body(self) -> bytes:
        """RFC 9457 section 3; the type is HTTP's own."""
        status = HTTPStatus(self.status)
        return json.dumps(
            {
                "type": "about:blank",
                "title": status.phrase,
                "status": self.status,
                "detail": self.detail,
            }
        ).encode()


def busy(detail: str, seconds: int = 1) -> Problem:
    """503: the same again after *seconds* may do."""
    return Problem(503, detail, {"Retry-After": str(seconds)})
