"""Permissions: which hosts may reach us through the relay (RFC 8656 sections 9 and 10).

One host, one CreatePermission: a server refuses a request as a whole, and one peer that is
refused must not take others with it (T31).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Final

from attrs import define, field

from refreeze.basics import Address, Randomness, on_grid
from refreeze.stun import Message, Method
from refreeze.turn.data import add_peer
from refreeze.turn.events import PermissionRefused, TurnEvent, TurnProblem
from refreeze.turn.meanings import DOUBTFUL, is_passing, is_temporary
from refreeze.turn.requests import Outcome, Request, Requests
from refreeze.turn.settings import TurnSettings
from refreeze.turn.timing import end_of, refresh_time, soon

NEVER: Final = float("inf")
EVICTABLE: Final = 60.0
"""Seconds without use after which a permission makes room for a new one."""


class PermissionState(Enum):
    """A refusal is remembered for a while; a permission that lapsed is forgotten."""

    WANTED = auto()
    GRANTED = auto()
    REFUSED = auto()


@define(eq=False, repr=False)
class Permission:
    """The permission of one host. Times are monotonic seconds."""

    host: str
    used_at: float
    state: PermissionState = PermissionState.WANTED
    asking: bool = False
    until: float = 0.0
    """The end of what was granted."""
    next_at: float = NEVER
    """When it is refreshed, lapses, or when a refusal is forgotten."""
    peer: Address | None = None
    """To which of the host's addresses we last sent an indication."""
    waiting: deque[tuple[Address, bytes]] = field(factory=deque)


@define(eq=False, repr=False, kw_only=True)
class Permissions:
    """I am all permissions of one allocation."""

    settings: TurnSettings
    random: Randomness
    requests: Requests
    dropped: Counter[str]
    tell: Callable[[TurnEvent], None]
    flow: Callable[[Permission, Address, bytes, float], None]
    """Gets what waited for a permission that is there now."""
    doubt: Callable[[float], None]
    """The allocation itself may be gone."""
    _hosts: dict[str, Permission] = field(init=False, factory=dict)
    _queue: deque[Permission] = field(init=False, factory=deque)
    _asking: int = field(init=False, default=0)
    _open: bool = field(init=False, default=False)
    _deadline: float = field(init=False, default=NEVER)

    def begin(self, now: float) -> None:
        """The allocation is there: ask for all that was wanted before."""
        self._open = True
        self._pump(now)

    def end(self) -> None:
        """The allocation is no more: nothing waits any longer."""
        self._open = False
        for each in self._hosts.values():
            self._drop_waiting(each)
        self._hosts.clear()
        self._queue.clear()
        self._deadline = NEVER

    def want(self, host: str, now: float) -> Permission | None:
        """The permission of *host*, asked for unless it is there; None when there is no room."""
        permission = self._hosts.get(host)
        if permission is None:
            if not self._make_room(now):
                self.dropped["too-many-permissions"] += 1
                return None
            permission = self._hosts[host] = Permission(host, now)
            self._ask(permission, now)
        permission.used_at = now
        if permission.state is PermissionState.GRANTED and now >= permission.until:
            permission.state = PermissionState.WANTED
            self._ask(permission, now)
        return permission

    def of(self, host: str, now: float) -> Permission | None:
        """The permission by which *host* may send to us now."""
        permission = self._hosts.get(host)
        return permission if permission is not None and now < permission.until else None

    def wait(self, permission: Permission, peer: Address, payload: bytes) -> bool:
        """Keep *payload* until the permission is there; the oldest makes room."""
        waiting, most = permission.waiting, self.settings.waiting_packets
        if not waiting:
            busy = sum(1 for each in self._hosts.values() if each.waiting)
            if most == 0 or busy >= self.settings.waiting_hosts:
                self.dropped["no-room-to-wait"] += 1
                return False
        elif len(waiting) >= most:
            waiting.popleft()
            self.dropped["waited-in-vain"] += 1
        waiting.append((peer, payload))
        return True

    def _make_room(self, now: float) -> bool:
        if len(self._hosts) < self.settings.permissions:
            return True
        oldest = min(self._hosts.values(), key=lambda each: each.used_at)
        if now - oldest.used_at < EVICTABLE:
            return False
        self._forget(oldest)
        return True

    def _forget(self, permission: Permission) -> None:
        self._drop_waiting(permission)
        del self._hosts[permission.host]

    def _drop_waiting(self, permission: Permission) -> None:
        if permission.waiting:
            self.dropped["waited-in-vain"] += len(permission.waiting)
            permission.waiting.clear()

    # Asking

    def _ask(self, permission: Permission, now: float) -> None:
        if not permission.asking:
            permission.asking = True
            permission.next_at = NEVER
            self._queue.append(permission)
            self._pump(now)

    def _pump(self, now: float) -> None:
        """Start as many requests as may be under way."""
        while self._open and self._queue and self._asking < self.settings.in_flight:
            permission = self._queue.popleft()
            if self._hosts.get(permission.host) is not permission:
                continue  # it made room for another one meanwhile
            self._asking += 1
            request = Request(
                method=Method.CREATE_PERMISSION,
                fill=partial(add_peer, peer=(permission.host, 0)),
                settled=partial(self._settled, permission),
            )
            self.requests.start(request, now)

    def _settled(
        self, permission: Permission, request: Request, outcome: Outcome, now: float
    ) -> None:
        self._asking -= 1
        permission.asking = False
        if self._hosts.get(permission.host) is permission:
            if isinstance(outcome, Message):
                self._granted(permission, request.started_at, now)
            else:
                self._refused(permission, outcome, now)
        self._pump(now)
        self._plan()

    def _granted(self, permission: Permission, asked_at: float, now: float) -> None:
        lifetime = self.settings.permission_lifetime
        permission.state = PermissionState.GRANTED
        permission.until = end_of(asked_at, lifetime)
        permission.next_at = refresh_time(asked_at, lifetime, self.random)
        waiting, permission.waiting = permission.waiting, deque()
        for peer, payload in waiting:
            self.flow(permission, peer, payload, now)

    def _refused(self, permission: Permission, problem: TurnProblem, now: float) -> None:
        """A refresh that failed for a moment is tried again as long as there is time."""
        if is_temporary(problem) and permission.state is PermissionState.GRANTED:
            permission.next_at = min(soon(now, self.random), permission.until)
        else:
            permission.state = PermissionState.REFUSED
            permission.until = 0.0
            settings = self.settings
            pause = settings.passing_refusal if is_passing(problem) else settings.refusal
            permission.next_at = on_grid(now + pause)
            self._drop_waiting(permission)
            self.tell(PermissionRefused(permission.host, problem))
        if problem.code in DOUBTFUL:
            self.doubt(now)

    # Time

    @property
    def deadline(self) -> float:
        """When :meth:`run` has something to do."""
        return self._deadline

    def _plan(self) -> None:
        self._deadline = min((each.next_at for each in self._hosts.values()), default=NEVER)

    def run(self, now: float) -> None:
        """Refresh what is used, idle or not; forget what lapsed and old refusals."""
        if now < self._deadline:
            return
        for permission in [each for each in self._hosts.values() if each.next_at <= now]:
            if permission.state is PermissionState.REFUSED or now >= permission.until:
                self._forget(permission)
            elif now - permission.used_at >= self.settings.keep_idle:
                permission.next_at = permission.until
            else:
                self._ask(permission, now)
        self._plan()
