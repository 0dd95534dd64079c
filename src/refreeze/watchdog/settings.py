"""Every number of the watchdog, with its default; a bad one is refused with its key (T16)."""

from __future__ import annotations

from math import isfinite
from typing import Any

from attrs import Attribute, field, fields, frozen

LONGEST = 86400.0
"""No time of the watchdog is longer than a day (seconds)."""


def _positive(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{attribute.name}: a number is wanted, not {value!r}")
    if value <= 0:
        raise ValueError(f"{attribute.name}: must be greater than 0, not {value!r}")
    if value > LONGEST:
        raise ValueError(f"{attribute.name}: must be at most {LONGEST:g}, not {value!r}")


def _positive_or_none(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None:
        _positive(instance, attribute, value)


def _count(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{attribute.name}: a whole number is wanted, not {value!r}")
    if not 1 <= value <= 1_000_000:
        raise ValueError(f"{attribute.name}: must be 1 to 1000000, not {value!r}")


def _share(instance: object, attribute: Attribute[Any], value: float) -> None:
    _positive(instance, attribute, value)
    if value >= 1:
        raise ValueError(f"{attribute.name}: must be less than 1, not {value!r}")


def _ascending(instance: object, attribute: Attribute[Any], value: tuple[float, ...]) -> None:
    if len(value) > 32:
        raise ValueError(f"{attribute.name}: at most 32 times")
    for each in value:
        _positive(instance, attribute, each)
    if list(value) != sorted(set(value)):
        raise ValueError(f"{attribute.name}: each time must be later than the one before")


def _seconds(default: float) -> float:
    value: float = field(default=default, validator=_positive)
    return value


def _whole(default: int) -> int:
    value: int = field(default=default, validator=_count)
    return value


def _not_more(settings: object, smaller: str, greater: str) -> None:
    low, high = getattr(settings, smaller), getattr(settings, greater)
    if low > high:
        raise ValueError(f"{smaller}: {low:g} contradicts {greater} = {high:g}, must not be more")


@frozen(kw_only=True)
class PolicySettings:
    """The policy of one session. Times are seconds."""

    first_delay: float = _seconds(0.5)
    """Attempt 1 is delayed by uniform(0, this)."""
    backoff_base: float = _seconds(1.0)
    """Attempt n > 1 is delayed by uniform(d/2, d), d = this x 2^(n-1), at most backoff_cap."""
    backoff_cap: float = _seconds(60.0)
    attempts: int = _whole(5)
    """So many failed attempts within attempts_window open the circuit."""
    attempts_window: float = _seconds(120.0)
    stable_after: float = _seconds(60.0)
    """A connection of this age resets the counters; a younger one that dies is a failure."""
    recovered_restart_after: float = _seconds(10.0)
    """A failed path that was heard again cancels the queued restart, but stays `failed` until a
    generation connects: if nothing else made one, restart after this."""
    early_restart_after: float | None = field(default=None, validator=_positive_or_none)
    """Restart a path that was `disconnected` for so long; None: wait for `failed`."""
    flap_limit: int = _whole(6)
    flap_window: float = _seconds(300.0)

    initial_grace: float = _seconds(5.0)
    """`failed` before the first connection waits so long for late candidates..."""
    initial_hard: float = _seconds(15.0)
    """...but not longer than this after the first `failed` of the round."""
    initial_restarts: int = _whole(2)
    """Restarts of a never connected session before it is held (and probed)."""

    please_interval: float = _seconds(5.0)
    """At most one restart-please is sent in this time."""
    offer_wait: float = _seconds(10.0)
    """How long the side that asked waits for an offer before it promotes itself."""
    peer_interval: float = _seconds(5.0)
    """At most one restart for the peer's restart-please in this time."""
    rebind_interval: float = _seconds(5.0)
    operator_interval: float = _seconds(5.0)

    offer_resends: tuple[float, ...] = field(
        default=(2.0, 5.0, 10.0), converter=tuple, validator=_ascending
    )
    """When the same unanswered offer goes out again, from the start of the round."""
    answer_timeout: float = _seconds(15.0)
    round_timeout: float = _seconds(20.0)
    start_timeout: float = _seconds(5.0)
    """How long the session may take to begin or end a round that it was told to."""

    probe_first: float = _seconds(300.0)
    """An open circuit is probed after this, give or take probe_jitter; doubling to probe_max."""
    probe_jitter: float = field(default=0.2, validator=_share)
    probe_max: float = _seconds(3600.0)

    network_first: float = _seconds(0.2)
    """A major network change restarts within this."""
    network_debounce: float = _seconds(1.0)
    resets: int = _whole(3)
    """Changes outside (network, signaling, presence) reset the budget so often at most in..."""
    resets_window: float = _seconds(300.0)
    clock_jump: float = _seconds(2.0)
    """A suspend of more than this counts as a major network change."""
    send_error_interval: float = _seconds(5.0)

    def __attrs_post_init__(self) -> None:
        _not_more(self, "backoff_base", "backoff_cap")
        _not_more(self, "initial_grace", "initial_hard")
        _not_more(self, "please_interval", "offer_wait")
        _not_more(self, "answer_timeout", "round_timeout")
        _not_more(self, "probe_first", "probe_max")
        _not_more(self, "network_first", "network_debounce")
        if self.offer_resends and self.offer_resends[-1] >= self.answer_timeout:
            raise ValueError(
                f"offer_resends: {self.offer_resends[-1]:g} contradicts "
                f"answer_timeout = {self.answer_timeout:g}, must be less"
            )


@frozen(kw_only=True)
class StormSettings:
    """The budget of all sessions. Times are seconds."""

    rate: float = _seconds(250.0)
    """Restart offers a second, all sessions together."""
    burst: int = _whole(500)
    max_pending: int = _whole(1000)
    pending_timeout: float = _seconds(60.0)
    """A granted restart whose end nobody reported is forgotten after this."""
    network_spread_above: int = _whole(30)
    network_spread: float = _seconds(1.0)
    """With more sessions than network_spread_above, a major change is spread over this."""

    storm_sessions: int = _whole(30)
    storm_share: float = field(default=0.1, validator=_share)
    """More failures than max(storm_sessions, storm_share of all) within storm_window: a storm."""
    storm_window: float = _seconds(10.0)
    canaries: int = _whole(5)
    canary_timeout: float = _seconds(30.0)
    hold_first: float = _seconds(5.0)
    """After all canaries failed the rest is held so long; doubling to hold_max."""
    hold_max: float = _seconds(60.0)
    release_min: float = _seconds(5.0)
    release_max: float = _seconds(120.0)
    calm_share: float = field(default=0.01, validator=_share)
    calm_after: float = _seconds(60.0)
    """The storm is over when fewer than calm_share failed, for so long."""

    def __attrs_post_init__(self) -> None:
        _not_more(self, "hold_first", "hold_max")
        _not_more(self, "release_min", "release_max")
        _not_more(self, "calm_share", "storm_share")
        _not_more(self, "canaries", "max_pending")


def setting_names(settings: type[PolicySettings] | type[StormSettings]) -> tuple[str, ...]:
    """The keys that a config file may set, in the order of the documentation."""
    return tuple(attribute.name for attribute in fields(settings))
