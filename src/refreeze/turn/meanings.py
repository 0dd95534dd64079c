"""What the error codes of RFC 8489 and RFC 8656 mean to a client (RFC 8656 sections 7.4, 8.3, 19).

300 is a redirection, 401 and 438 are challenges: those are met before anybody looks here.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from refreeze.stun import Attribute, Message
from refreeze.turn.events import Retry, TurnProblem


@frozen
class Meaning:
    """*retry* and *wait* are those of :class:`~refreeze.turn.events.AllocationFailed`."""

    reason: str
    retry: Retry
    wait: float = 0.0


MEANINGS: Final[dict[int, Meaning]] = {
    300: Meaning("bad-alternate", "later"),
    # A server that lost its mind about a 5-tuple answers 400 as well: another one may do.
    400: Meaning("bad-request", "later"),
    401: Meaning("unauthorized", "other-credentials"),
    403: Meaning("forbidden", "no"),
    420: Meaning("unknown-attribute", "no"),
    437: Meaning("mismatch", "later"),
    438: Meaning("stale-nonce", "later"),
    440: Meaning("address-family", "no"),
    441: Meaning("wrong-credentials", "other-credentials"),
    442: Meaning("unsupported-transport", "no"),
    443: Meaning("peer-address-family", "no"),
    486: Meaning("quota", "later", 60.0),
    500: Meaning("server-error", "later"),
    508: Meaning("capacity", "later", 60.0),
}

_BY_CLASS: Final[dict[int, Meaning]] = {
    3: Meaning("redirected", "no"),
    4: Meaning("refused", "no"),
    5: Meaning("server-error", "later"),
    6: Meaning("global-error", "no"),
}
"""Codes that nobody here knows."""

UNANSWERED: Final = TurnProblem(None, "unanswered")

DOUBTFUL: Final = frozenset((401, 437, 438, 441, None))
"""Said about a permission or a channel, these say something about the allocation: None is silence.
A Refresh tells the truth.
"""


def meaning(code: int) -> Meaning:
    """What *code* (300..699) means; one that is not known, by its class."""
    return MEANINGS.get(code) or _BY_CLASS[code // 100]


def problem_of(message: Message) -> TurnProblem:
    """What an error response says."""
    error = message.error_code
    if error is None:
        return TurnProblem(None, "malformed")
    return TurnProblem(error[0], meaning(error[0]).reason)


def is_temporary(problem: TurnProblem) -> bool:
    """Whether asking the same again, a little later, may help."""
    return problem.code is None or problem.code // 100 == 5


def is_passing(problem: TurnProblem) -> bool:
    """Whether a refused permission says something of this moment, and nothing of the peer."""
    return is_temporary(problem) or problem.code in DOUBTFUL


def lacks_nothing(message: Message) -> bool:
    """Whether everything that a success response wants us to understand is understood."""
    return not message.unknown_required and message.attribute(Attribute.ERROR_CODE) is None
