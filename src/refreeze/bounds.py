"""Settings that are numbers within bounds, for attrs classes."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field


def _between(low: float, high: float) -> Any:
    """An attrs validator: the value is in the closed range, else ValueError."""

    def check(_: object, attribute: Attribute[float], value: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"{attribute.name} must be {low:g} to {high:g}, not {value:g}")

    return check


def number(default: float, low: float, high: float) -> float:
    """A field that is *low* to *high*, both included; ValueError in one line that names it."""
    value: float = field(default=default, validator=_between(low, high))
    return value


def count(default: int, low: int, high: int) -> int:
    """The same for whole numbers."""
    value: int = field(default=default, validator=_between(low, high))
    return value
