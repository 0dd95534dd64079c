"""What a TURN server did wrong, or we did, in a slug and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from refreeze.basics import Address, format_address
from refreeze.net.servers import UNREACHABLE, ServerProblem, ServerUrl
from refreeze.turn import TurnProblem

_IN_WORDS: Final[Mapping[str, str]] = {
    "unanswered": "no answer",
    "unauthorized": "it does not take our credentials",
    "wrong-credentials": "it has another user's allocation there",
    "forbidden": "it forbids us to be relayed",
    "mismatch": "it has another allocation on every socket we tried",
    "stale-nonce": "it calls every nonce stale",
    "address-family": "it has no relayed address of that family",
    "unsupported-transport": "it does not relay UDP",
    "quota": "this user has as many allocations as it allows",
    "capacity": "it has no relayed address to spare",
    "server-error": "it has a trouble of its own",
    "bad-request": "it does not understand what we ask for",
    "bad-address": "it relays from an address that cannot be its own",
    "bad-alternate": "it sends us where no server of ours can be",
    "redirections": "it sends us on and on",
    "bid-down": "somebody took its better ways to hash a password out of its answer",
    "bad-challenge": "it does not say what to sign with",
    "no-password-algorithm": "it hashes passwords in ways that we do not know",
    "unknown-attribute": "one of us does not understand the other",
    "integrity": "its answers are not signed with our password",
    "malformed": "its answers cannot be read",
    "stray-response": "its answers are to other requests than ours",
    "unexpected": "it says what nobody asked for",
    "unbound-channel": "it says what nobody asked for",
}
"""By the slugs of :mod:`refreeze.turn.meanings` and our own; others are words already."""

_SAYS_LITTLE: Final = ("no-address", "unreachable", "timeout", "refused", "unresolved")
"""The least first. When several addresses of a server failed, what they said decides."""


def from_turn(
    url: ServerUrl, server: Address, local: Address | None, problem: TurnProblem
) -> ServerProblem:
    """What the allocation says, for people."""
    words = _IN_WORDS.get(problem.reason, problem.reason.replace("-", " "))
    said = "" if problem.code is None else f" says {problem.code}"
    return ServerProblem(
        url=str(url),
        reason="unreachable" if problem.reason == "unanswered" else problem.reason,
        text=f"{url}: {format_address(server)}{said}: {words}",
        code=UNREACHABLE if problem.code is None else problem.code,
        local=local,
    )


def before_turn(
    url: ServerUrl, reason: str, text: str, server: Address | None = None
) -> ServerProblem:
    """The server was not even asked: no address, no connection, no trust, no credentials."""
    where = "" if server is None else f" {format_address(server)}:"
    return ServerProblem(str(url), reason, f"{url}:{where} {text}")


def most_telling(problems: Iterable[ServerProblem]) -> ServerProblem:
    """The one that a person needs to read, of at least one; among equals the first."""
    return max(problems, key=_weight)


def _weight(problem: ServerProblem) -> int:
    known = problem.reason in _SAYS_LITTLE
    return _SAYS_LITTLE.index(problem.reason) if known else len(_SAYS_LITTLE)
