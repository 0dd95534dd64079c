"""Channels: two bytes that stand for a peer's address (RFC 8656 section 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import define, field

from refreeze.basics import Address, Randomness
from refreeze.stun import Attribute, Message, MessageBuilder, Method
from refreeze.turn.data import FIRST_CHANNEL, LAST_CHANNEL, add_peer, family_of
from refreeze.turn.events import ChannelBound, TurnEvent, TurnProblem
from refreeze.turn.meanings import DOUBTFUL, is_temporary
from refreeze.turn.permissions import Permission
from refreeze.turn.requests import Outcome, Request, Requests
from refreeze.turn.settings import TurnSettings
from refreeze.turn.timing import end_of, refresh_time, soon

NEVER: Final = float("inf")


@define(eq=False, repr=False)
class Channel:
    """One number, for one peer until it has rested. Times are monotonic seconds."""

    number: int
    peer: Address
    permission: Permission
    family: int = field(init=False)
    binding: bool = False
    until: float = 0.0
    """The end of the binding: nothing is sent on it after."""
    next_at: float = NEVER
    """When it is refreshed, or ends."""
    retry_at: float = 0.0
    """A bind that was refused is not tried again before."""
    free_at: float = 0.0
    """From then on the number may be another peer's."""

    def __attrs_post_init__(self) -> None:
        self.family = family_of(self.peer[0])


@define(eq=False, repr=False, kw_only=True)
class Channels:
    """I am all channels of one allocation. ``by_peer`` and ``by_number`` hold the same ones."""

    settings: TurnSettings
    random: Randomness
    requests: Requests
    dropped: Counter[str]
    tell: Callable[[TurnEvent], None]
    doubt: Callable[[float], None]
    """The allocation itself may be gone."""
    by_peer: dict[Address, Channel] = field(init=False, factory=dict)
    by_number: dict[int, Channel] = field(init=False, factory=dict)
    _last: int = field(init=False, default=LAST_CHANNEL)
    _deadline: float = field(init=False, default=NEVER)

    def end(self) -> None:
        """The allocation is no more."""
        self.by_peer.clear()
        self.by_number.clear()
        self._deadline = NEVER

    def bind(self, peer: Address, permission: Permission, now: float) -> None:
        """Ask for a channel to *peer*, whose permission is there, unless it has one or was refused.

        A peer that had one gets the same number again: it is still its own.
        """
        channel = self.by_peer.get(peer)
        if channel is None:
            number = self._free_number(now)
            if number is None:
                self.dropped["no-free-channel"] += 1
                return
            channel = Channel(number, peer, permission)
            self.by_peer[peer] = self.by_number[number] = channel
        channel.permission = permission
        if not channel.binding and now >= max(channel.until, channel.retry_at):
            self._ask(channel, now)

    def _free_number(self, now: float) -> int | None:
        """Numbers go round, so that each rests as long as possible (T31)."""
        if len(self.by_number) >= self.settings.channels:
            self._forget_rested(now)
        if len(self.by_number) >= self.settings.channels:
            return None
        number = self._last
        while True:
            number = FIRST_CHANNEL if number == LAST_CHANNEL else number + 1
            if number not in self.by_number:
                self._last = number
                return number

    def _forget_rested(self, now: float) -> None:
        for channel in list(self.by_number.values()):
            if not channel.binding and now >= channel.free_at:
                del self.by_number[channel.number], self.by_peer[channel.peer]

    def _ask(self, channel: Channel, now: float) -> None:
        channel.binding = True
        channel.next_at = NEVER
        request = Request(
            method=Method.CHANNEL_BIND,
            fill=partial(_fill, channel=channel),
            settled=partial(self._settled, channel),
        )
        self.requests.start(request, now)

    def _settled(self, channel: Channel, request: Request, outcome: Outcome, now: float) -> None:
        """Whatever the answer: the server may have bound it just now."""
        settings = self.settings
        channel.binding = False
        channel.free_at = now + settings.channel_lifetime + settings.channel_rest
        if isinstance(outcome, Message):
            fresh, asked_at = now >= channel.until, request.started_at
            channel.until = end_of(asked_at, settings.channel_lifetime)
            channel.next_at = refresh_time(asked_at, settings.channel_lifetime, self.random)
            if fresh:
                self.tell(ChannelBound(channel.peer))
        else:
            self._refused(channel, outcome, now)
        self._plan()

    def _refused(self, channel: Channel, problem: TurnProblem, now: float) -> None:
        """Data goes on in indications. A refresh that failed for a moment is tried again."""
        if is_temporary(problem) and now < channel.until:
            channel.next_at = min(soon(now, self.random), channel.until)
        else:
            channel.until = 0.0
            channel.next_at = NEVER
            channel.retry_at = now + self.settings.refusal
        if problem.code in DOUBTFUL:
            self.doubt(now)

    # Time

    @property
    def deadline(self) -> float:
        """When :meth:`run` has something to do."""
        return self._deadline

    def _plan(self) -> None:
        self._deadline = min((each.next_at for each in self.by_number.values()), default=NEVER)

    def run(self, now: float) -> None:
        """Refresh what is used, idle or not; let the rest end."""
        if now < self._deadline:
            return
        for channel in [each for each in self.by_number.values() if each.next_at <= now]:
            if now >= channel.until:
                channel.next_at = NEVER
            elif now - channel.permission.used_at >= self.settings.keep_idle:
                channel.next_at = channel.until
            else:
                self._ask(channel, now)
        self._plan()


def _fill(builder: MessageBuilder, channel: Channel) -> None:
    builder.add(Attribute.CHANNEL_NUMBER, channel.number.to_bytes(2, "big") + bytes(2))
    add_peer(builder, channel.peer)
