"""One allocation on one TURN server: the shell around its parts (RFC 8656 sections 7 and 8)."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Final

from attrs import Attribute as AttrsAttribute
from attrs import define, field
from attrs.setters import NO_OP

from refreeze.basics import Address, Randomness, canonical_host, on_grid
from refreeze.stun import (
    Attribute,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    StunError,
    encode_indication,
    parse,
)
from refreeze.turn.authentication import Authenticator
from refreeze.turn.channels import Channels
from refreeze.turn.credentials import TurnCredentials
from refreeze.turn.data import (
    decode_channel_data,
    decode_data,
    deserves_channel,
    encode_channel_data,
    encode_send,
    family_of,
    is_channel_data,
    longest_payload,
)
from refreeze.turn.events import (
    Allocated,
    AllocationFailed,
    AllocationLost,
    PermissionRefused,
    Released,
    TurnEvent,
    TurnProblem,
)
from refreeze.turn.granting import FAMILIES, fill_allocate, relayed_in, why_missing
from refreeze.turn.meanings import is_temporary, meaning
from refreeze.turn.permissions import Permission, Permissions, PermissionState
from refreeze.turn.redirection import alternate_in, is_usable
from refreeze.turn.requests import Outcome, Request, Requests
from refreeze.turn.settings import TurnSettings
from refreeze.turn.states import AllocationState
from refreeze.turn.timing import believed_lifetime, end_of, refresh_time, soon

NEVER: Final = float("inf")
MAX_RECEIVED: Final = 1024
"""Payloads that wait for :meth:`Allocation.take_received`."""


def _check_families(_: object, __: AttrsAttribute[tuple[int, ...]], value: object) -> None:
    if value not in FAMILIES:
        raise ValueError("families are (4,), (6,) or (4, 6)")


# NO_OP: one validator would make attrs' own setter of every assignment, and each packet has some.
@define(eq=False, repr=False, kw_only=True, on_setattr=NO_OP)
class Allocation:
    """I am one allocation on one 5-tuple to one server, and die with it.

    I never start again: my owner makes another one, on another 5-tuple. I begin with
    :meth:`start` and end in exactly one of ``AllocationFailed``, ``TryAlternate``,
    ``AllocationLost`` and ``Released``. What is sent, received and told is taken with the three
    ``take_`` methods, after every call. Times are monotonic seconds. ``families`` are the
    versions of IP to be relayed: (4,), (6,) or (4, 6).
    """

    server: Address
    reliable: bool
    credentials: TurnCredentials
    families: tuple[int, ...] = field(default=(4,), validator=_check_families)
    settings: TurnSettings = field(factory=TurnSettings)
    random: Randomness

    state: AllocationState = field(init=False, default=AllocationState.NEW)
    relayed: dict[int, Address] = field(init=False, factory=dict)
    """Version of IP to relayed transport address, once READY. Of two families one may be missing:
    ``missing`` says why."""
    missing: dict[int, TurnProblem] = field(init=False, factory=dict)
    mapped: Address | None = field(init=False, default=None)
    """Our address as the server sees it."""
    software: str | None = field(init=False, default=None)
    rtt: float | None = field(init=False, default=None)
    """Seconds, of the latest Allocate or Refresh that was sent once."""
    lifetime: float | None = field(init=False, default=None)
    """Seconds that the server granted last, within reason."""
    problem: TurnProblem | None = field(init=False, default=None)
    """Why there is no allocation (any more)."""
    dropped: Counter[str] = field(init=False, factory=Counter)
    """What was ignored, refused or dropped, by reason: slugs of ours."""

    _requests: Requests = field(init=False)
    _permissions: Permissions = field(init=False)
    _channels: Channels = field(init=False)
    _current: Request | None = field(init=False, default=None)
    """The Allocate or Refresh that is under way: never two."""
    _refresh_at: float = field(init=False, default=NEVER)
    _expires_at: float = field(init=False, default=NEVER)
    _keepalive_at: float = field(init=False, default=NEVER)
    _sent_at: float = field(init=False, default=0.0)
    _release_by: float = field(init=False, default=NEVER)
    _max_payload: int = field(init=False)
    _transmits: list[bytes] = field(init=False, factory=list)
    _received: list[tuple[int, Address, bytes]] = field(init=False, factory=list)
    _events: list[TurnEvent] = field(init=False, factory=list)

    @property
    def doubt(self) -> str | None:
        """What was mostly wrong with what came instead of answers; None if nothing came."""
        return max(self.dropped, key=self.dropped.__getitem__, default=None)

    def __attrs_post_init__(self) -> None:
        family = family_of(self.server[0])
        self._max_payload = longest_payload(family, self.families, self.reliable)
        self._requests = Requests(
            authenticator=Authenticator(self.credentials),
            settings=self.settings,
            random=self.random,
            reliable=self.reliable,
            transmit=self._transmit,
            dropped=self.dropped,
        )
        self._permissions = Permissions(
            settings=self.settings,
            random=self.random,
            requests=self._requests,
            dropped=self.dropped,
            tell=self._tell,
            flow=self._flow,
            doubt=self.verify,
        )
        self._channels = Channels(
            settings=self.settings,
            random=self.random,
            requests=self._requests,
            dropped=self.dropped,
            tell=self._tell,
            doubt=self.verify,
        )

    def __repr__(self) -> str:
        return f"<Allocation {self.state} at {self.server[0]} port {self.server[1]}>"

    @property
    def max_payload(self) -> int:
        """The longest payload that fits through in any framing, in bytes."""
        return self._max_payload

    # What the owner asks for

    def start(self, now: float) -> None:
        """Ask for the allocation (RFC 8656 section 7.1)."""
        if self.state is not AllocationState.NEW:
            return
        self.state = AllocationState.ALLOCATING
        request = Request(
            method=Method.ALLOCATE,
            fill=self._fill_allocate,
            settled=self._allocate_settled,
            give_up_at=now + self.settings.allocate_seconds,
        )
        self._current = request
        self._requests.start(request, now)

    def send(self, peer: Address, payload: bytes, now: float) -> bool:
        """Relay *payload* to *peer*. False, and counted, when that cannot be.

        Without a permission yet it is kept, within bounds, until the server said yes or no.
        """
        channel = self._channels.by_peer.get(peer)
        if channel is not None and now < channel.until and now < channel.permission.until:
            if len(payload) > self.max_payload:
                return self._refuse("too-long")
            channel.permission.used_at = now
            self._transmit(encode_channel_data(channel.number, payload, self.reliable), now)
            return True
        if self.state is not AllocationState.READY:
            return self._refuse("not-ready")
        if len(payload) > self.max_payload:
            return self._refuse("too-long")
        if not _is_peer(peer):
            return self._refuse("bad-peer")
        if family_of(peer[0]) not in self.relayed:
            return self._refuse("peer-address-family")
        permission = self._permissions.want(peer[0], now)
        if permission is None:
            return False
        if now < permission.until:
            self._flow(permission, peer, payload, now)
            return True
        if permission.state is PermissionState.REFUSED:
            return self._refuse("no-permission")
        return self._permissions.wait(permission, peer, payload)

    def permit(self, host: str, now: float) -> None:
        """Ask for the permission of *host* before anything is sent there.

        May come before the allocation is there. A host that cannot be is told at once.
        """
        if self.state in (AllocationState.RELEASING, AllocationState.OVER):
            return
        if not _is_peer((host, 1)):
            self._tell(PermissionRefused(host, TurnProblem(None, "bad-peer")))
        elif family_of(host) not in (self.relayed or self.families):
            self._tell(PermissionRefused(host, TurnProblem(None, "peer-address-family")))
        elif self._permissions.want(host, now) is None:
            self._tell(PermissionRefused(host, TurnProblem(None, "too-many-permissions")))

    def verify(self, now: float) -> None:
        """Is it still there? A Refresh now; without an answer soon, the allocation is lost."""
        if self.state is AllocationState.READY:
            request = self._current or self._start_refresh(now)
            self._requests.hurry(request, now + self.settings.verify_seconds)

    def release(self, now: float) -> None:
        """Give it back: lifetime 0 on its own 5-tuple (T29). ``Released`` follows soon.

        One that is only being asked for is waited for, so that it can be given back (T34).
        """
        if self.state is AllocationState.NEW:
            self._end(Released())
        elif self.state in (AllocationState.ALLOCATING, AllocationState.READY):
            ready = self.state is AllocationState.READY
            self.state = AllocationState.RELEASING
            self._release_by = now + self.settings.release_seconds
            self._refresh_at = self._keepalive_at = NEVER
            self._permissions.end()
            self._channels.end()
            if ready:
                self._requests.clear()
                self._start_refresh(now)
            elif self._current is not None:
                self._requests.make_last(self._current)

    def lost(self, reason: str, now: float) -> None:
        """The 5-tuple is gone; *reason* is the owner's slug."""
        self._lost(TurnProblem(None, reason))

    # What arrives

    def receive(self, data: bytes, now: float) -> None:
        """One datagram, or one whole frame, from the server; anything else is counted."""
        if is_channel_data(data):
            self._channel_data(data, now)
            return
        try:
            message = parse(data)
        except StunError:
            self._requests.damaged(data[8:20], "malformed")
            return
        if message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR):
            self._requests.receive(message, now)
        elif message.message_class is MessageClass.INDICATION and message.method == Method.DATA:
            self._data_indication(message, now)
        else:
            self.dropped["unexpected"] += 1

    def _channel_data(self, data: bytes, now: float) -> None:
        decoded = decode_channel_data(data)
        if decoded is None:
            self.dropped["malformed"] += 1
            return
        channel = self._channels.by_number.get(decoded[0])
        if channel is None or not (channel.binding or now < channel.until):
            self.dropped["unbound-channel"] += 1
            return
        channel.permission.used_at = now
        self._deliver(channel.family, channel.peer, decoded[1])

    def _data_indication(self, message: Message, now: float) -> None:
        """RFC 8656 section 11.4: what no permission lets in is no data.

        Data of the one we talk to deserves a channel as ours does; a stranger at any other port
        of a host gets none.
        """
        decoded = decode_data(message)
        if decoded is None:
            icmp = message.attribute(Attribute.ICMP) is not None
            self.dropped["icmp" if icmp else "malformed"] += 1
            return
        peer, payload = decoded
        permission = self._permissions.of(peer[0], now)
        if permission is None:
            self.dropped["not-permitted"] += 1
            return
        permission.used_at = now
        if peer == permission.peer and deserves_channel(payload):
            self._channels.bind(peer, permission, now)
        self._deliver(family_of(peer[0]), peer, payload)

    def _deliver(self, family: int, peer: Address, payload: bytes) -> None:
        if len(self._received) >= MAX_RECEIVED:
            self.dropped["not-taken"] += 1
        else:
            self._received.append((family, peer, payload))

    # What leaves

    def _flow(self, permission: Permission, peer: Address, payload: bytes, now: float) -> None:
        """Send to a peer that is permitted: on its channel, if it has one."""
        channel = self._channels.by_peer.get(peer)
        if channel is not None and now < channel.until:
            channel.permission = permission
            self._transmit(encode_channel_data(channel.number, payload, self.reliable), now)
            return
        permission.peer = peer
        self._transmit(encode_send(peer, payload, self.random.randbytes(12)), now)
        if deserves_channel(payload):
            self._channels.bind(peer, permission, now)

    def _transmit(self, data: bytes, now: float) -> None:
        self._sent_at = now
        self._transmits.append(data)

    def _refuse(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False

    # Allocate

    def _fill_allocate(self, builder: MessageBuilder) -> None:
        fill_allocate(builder, self.families, self.settings.lifetime)

    def _allocate_settled(self, request: Request, outcome: Outcome, now: float) -> None:
        self._current = None
        if isinstance(outcome, TurnProblem):
            self._allocate_refused(request.refusal, outcome)
            return
        if self.state is AllocationState.RELEASING:
            self._start_refresh(now)
            return
        self.relayed = relayed = relayed_in(outcome, self.families)
        if not relayed:
            self._fail(TurnProblem(None, "bad-address"))
            return
        lacking = [family for family in self.families if family not in relayed]
        self.missing = {family: why_missing(outcome, family) for family in lacking}
        self.state = AllocationState.READY
        self.rtt = request.rtt
        self.mapped = outcome.xor_mapped_address
        self.software = outcome.software
        self._keepalive_at = on_grid(now + self.settings.keepalive)
        self._granted(outcome, request.started_at)
        self._tell(Allocated())
        self._permissions.begin(now)

    def _allocate_refused(self, refusal: Message | None, problem: TurnProblem) -> None:
        if self.state is AllocationState.RELEASING:
            self._end(Released())
            return
        if problem.code == 300 and refusal is not None:
            alternate = alternate_in(refusal, self.server)
            if alternate is not None:
                self.problem = TurnProblem(300, "redirected")
                self._end(alternate)
                return
        self._fail(problem)

    def _fail(self, problem: TurnProblem) -> None:
        """A named reason of ours (``bid-down``) does not change with the credentials."""
        self.problem = problem
        known = None if problem.code is None else meaning(problem.code)
        if known is None or known.reason != problem.reason:
            self._end(AllocationFailed(problem, "later"))
        else:
            self._end(AllocationFailed(problem, known.retry, known.wait))

    # Refresh

    def _start_refresh(self, now: float) -> Request:
        """RFC 8656 section 8.1. One at a time; while releasing its lifetime is 0."""
        releasing = self.state is AllocationState.RELEASING
        request = Request(
            method=Method.REFRESH,
            fill=self._fill_refresh,
            settled=self._refresh_settled,
            give_up_at=self._release_by if releasing else None,
        )
        self._current, self._refresh_at = request, NEVER
        self._requests.start(request, now)
        return request

    def _fill_refresh(self, builder: MessageBuilder) -> None:
        releasing = self.state is AllocationState.RELEASING
        lifetime = 0 if releasing else self.settings.lifetime
        builder.add(Attribute.LIFETIME, lifetime.to_bytes(4, "big"))

    def _refresh_settled(self, request: Request, outcome: Outcome, now: float) -> None:
        self._current = None
        if self.state is AllocationState.RELEASING:
            self._end(Released())
        elif isinstance(outcome, Message):
            self.rtt = request.rtt or self.rtt
            self._granted(outcome, request.started_at)
        elif outcome.code is not None and is_temporary(outcome) and now < self._expires_at:
            self._refresh_at = soon(now, self.random)
        else:
            self._lost(outcome)

    def _granted(self, message: Message, asked_at: float) -> None:
        self.lifetime = believed_lifetime(message.lifetime, self.settings)
        self._expires_at = end_of(asked_at, self.lifetime)
        self._refresh_at = refresh_time(asked_at, self.lifetime, self.random)

    # The end

    def _lost(self, problem: TurnProblem) -> None:
        if self.state is AllocationState.READY:
            self.problem = problem
            self._end(AllocationLost(problem.reason))
        elif self.state is AllocationState.RELEASING:
            self._end(Released())
        elif self.state is not AllocationState.OVER:
            self._fail(problem)

    def _end(self, event: TurnEvent) -> None:
        self.state = AllocationState.OVER
        self._current = None
        self._refresh_at = self._keepalive_at = self._release_by = NEVER
        self._requests.clear()
        self._permissions.end()
        self._channels.end()
        self._tell(event)

    # Time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` has something to do; None: only when something arrives."""
        at = min(
            self._requests.next_deadline() or NEVER,
            self._refresh_at,
            self._keepalive_at,
            self._release_by,
            self._permissions.deadline,
            self._channels.deadline,
        )
        return None if at == NEVER else at

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._requests.run(now)
        if now >= self._release_by:
            self._end(Released())
        if now >= self._refresh_at:
            self._start_refresh(now)
        self._permissions.run(now)
        self._channels.run(now)
        if now >= self._keepalive_at:
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        """Silence on the way to the server would let the NATs forget us."""
        if now >= on_grid(self._sent_at + self.settings.keepalive):
            self._transmit(encode_indication(self.random.randbytes(12)), now)
        self._keepalive_at = on_grid(self._sent_at + self.settings.keepalive)

    # For the owner to take

    def _tell(self, event: TurnEvent) -> None:
        self._events.append(event)

    def take_transmits(self) -> list[bytes]:
        """What is to be sent to the server now: one datagram, or one write, each."""
        taken, self._transmits = self._transmits, []
        return taken

    def take_received(self) -> list[tuple[int, Address, bytes]]:
        """(family, peer, payload) of what peers sent, in order of arrival."""
        taken, self._received = self._received, []
        return taken

    def take_events(self) -> list[TurnEvent]:
        """What happened, in order."""
        taken, self._events = self._events, []
        return taken


def _is_peer(peer: Address) -> bool:
    with suppress(ValueError):
        return canonical_host(peer[0]) == peer[0] and is_usable(peer)
    return False
