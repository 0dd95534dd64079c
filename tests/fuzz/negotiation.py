"""What is promised of offer and answer (:mod:`refreeze.jsep`), whatever the peer describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from refreeze.jsep import Description, DescriptionType, JsepError, OperationError
from refreeze.sdp import SessionDescription
from tests.corpus import NAMES, load
from tests.fuzz.engine import Target
from tests.jsep.sides import ANSWER, OFFER, PRANSWER, Side, connected


def _offering() -> Side:
    side = Side(1)
    side.offer()
    return side


def _restarting() -> Side:
    side, _ = connected()
    side.offer(restart=True)
    return side


_SITUATIONS: Final[tuple[tuple[Callable[[], Side], DescriptionType], ...]] = (
    (lambda: Side(1), OFFER),
    (lambda: connected()[1], OFFER),
    (_offering, OFFER),
    (_offering, PRANSWER),
    (_offering, ANSWER),
    (_restarting, OFFER),
    (_restarting, ANSWER),
)


def negotiation(text: str) -> str:
    """In every situation a description is refused and all stays, or it can be answered.

    Only what fills a whole description leaves no room for our next one.
    """
    return " ".join(_outcome(made(), Description(kind, text)) for made, kind in _SITUATIONS)


def _outcome(side: Side, description: Description) -> str:
    before, refused = _state(side), None
    try:
        side.jsep.set_remote(description)
    except JsepError as error:
        refused = error
    if refused is not None:
        assert _state(side) == before, f"{refused} has changed something"
        assert len(str(refused)) < 200
        return refused.name
    if description.type is not OFFER:
        return side.state
    try:
        side.jsep.set_local()
        assert side.jsep.local_description is not None
        SessionDescription.parse(side.jsep.local_description.sdp)
        side.jsep.set_local(side.jsep.create_offer())
    except OperationError:
        return "full"
    return "answered"


def _state(side: Side) -> object:
    jsep = side.jsep
    side.run_tasks()
    return (
        *(jsep.signaling_state, jsep.can_trickle, jsep.local_description, jsep.remote_description),
        *(jsep.current_local, jsep.pending_local, jsep.current_remote, jsep.pending_remote),
    )


def _seeds() -> list[str]:
    """Real ones, and one that fits each situation."""
    one, two = Side(1), Side(2)
    offer = one.offer()
    two.take(offer)
    answer = two.answer()
    one, two = connected()
    two.take(one.offer(restart=True))
    again = two.answer()
    return [offer.sdp, answer.sdp, again.sdp, two.offer().sdp, *map(load, NAMES[::2])]


NEGOTIATION: Final = Target(
    "negotiation",
    negotiation,
    _seeds(),
    ("refreeze/jsep/",),
    lambda length: 150_000 + 60 * length,
    (
        "a=setup:holdconn",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "a=mid:0",
        "a=refreeze:none",
        "a=inactive",
    ),
)
