"""One wish for an allocation at one TURN URL, kept true as long as it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Protocol

from attrs import define, field
from twisted.logger import Logger

from refreeze.basics import Address, format_address, on_grid
from refreeze.ice.hostile import refused_address
from refreeze.net.mux import Mux
from refreeze.net.relayattempt import Attempt, RelayTools
from refreeze.net.relaylife import RelayLife
from refreeze.net.relayport import RelayPort
from refreeze.net.relayproblem import before_turn, from_turn
from refreeze.net.scheduler import Handle
from refreeze.net.servers import (
    CredentialError,
    IceServer,
    ServerProblem,
    ServerUrl,
    TimedCredentials,
)
from refreeze.net.tls import ServerTrust
from refreeze.turn import AllocationFailed, TurnProblem

_LOOK_SECONDS: Final = 1.0
"""Between two looks at whether an old allocation is still used."""
_MOVE_SECONDS: Final = 10.0
"""An old allocation stays for so long at least: its candidates may be on their way."""


_READ_SECONDS: Final = 60.0
"""Between two looks at a file with credentials: a rotated one is noticed without a touch."""
_AGAIN_SECONDS: Final = 1.0
"""Between two attempts, whoever has a reason for another one."""


class WishOwner(Protocol):
    """Whose wish it is."""

    def wish_settled(self, wish: Wish) -> None:
        """It has ports (others than before, if its credentials changed), or it has none and its
        latest attempt failed as the one before did not: ``wish.problem`` says why."""
        ...

    def wish_lost(self, wish: Wish, bases: Sequence[Address], reason: str) -> None:
        """Those ports left the mux; it comes back by itself."""
        ...


@define(eq=False, repr=False, kw_only=True)
class Wish:
    """I have an allocation, or I am trying, or I know why not and when to try again.

    ========= ============================== ==============================================
    state     what there is                  goes on by
    ========= ============================== ==============================================
    trying    an attempt                     ready, or waiting when it failed
    ready     an allocation and its ports    trying when it is lost, renewing when its
                                             credentials change or end
    renewing  both: the attempt's has new    ready, by what it has won, or by its failure,
              credentials and a socket of    with the old allocation as long as that lives
              its own (T30)
    waiting   neither, or only a time        trying when it is time, or there is a reason
    over      nothing                        --
    ========= ============================== ==============================================

    An attempt that was cancelled says nothing more, and a life that is being released neither, so
    nothing comes too late. An allocation that was succeeded stays until nobody holds a 5-tuple on
    it, within bounds.
    """

    server: IceServer
    url: ServerUrl
    families: tuple[int, ...]
    """Versions of IP to be relayed."""
    owner: WishOwner
    tools: RelayTools
    trust: ServerTrust
    mux: Mux
    wall: Callable[[], float]
    attempts: int = field(default=0, init=False)
    settled: bool = field(default=False, init=False)
    """Whether an attempt ended, well or not, since there was an allocation or a first wish."""
    problem: ServerProblem | None = field(default=None, init=False)
    """Why the latest attempt gave nothing."""
    over: bool = field(default=False, init=False)
    _life: RelayLife | None = field(default=None, init=False)
    _attempt: Attempt | None = field(default=None, init=False)
    _leaving: dict[RelayLife, float] = field(factory=dict, init=False)
    """Succeeded ones, and since when."""
    _held: TimedCredentials | None = field(default=None, init=False)
    """Those of the life."""
    _tried: TimedCredentials | None = field(default=None, init=False)
    """Those of the latest attempt."""
    _tried_wall: float = field(default=0.0, init=False)
    _held_wall: float = field(default=0.0, init=False)
    """Wall time they were made for."""
    _tried_at: float = field(default=0.0, init=False)
    _retry_at: float | None = field(default=None, init=False)
    _blocked_until: float = field(default=0.0, init=False)
    """The server asked for that much patience (RFC 8656 section 7.4)."""
    _renew_at: float | None = field(default=None, init=False)
    _look_at: float | None = field(default=None, init=False)
    _read_at: float | None = field(default=None, init=False)
    _handle: Handle | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    # What can be seen

    @property
    def life(self) -> RelayLife | None:
        """The allocation that is there."""
        return self._life

    @property
    def state(self) -> str:
        """See the table above."""
        if self.over:
            return "over"
        if self._life is not None:
            return "ready" if self._attempt is None else "renewing"
        return "waiting" if self._attempt is None else "trying"

    @property
    def ports(self) -> Sequence[RelayPort]:
        """In the mux; none unless there is an allocation."""
        return () if self._life is None else self._life.ports

    @property
    def leaving(self) -> list[Address]:
        """The bases of allocations that have a successor, and are still there."""
        return [base for life in self._leaving for base in life.bases]

    def start(self) -> None:
        """Begin to try."""
        self._handle = self.tools.scheduler.add(self)
        self._try()
        self._update()

    def end(self) -> None:
        """Release everything, in whatever state (T29, T34). Idempotent."""
        self.over = True
        if self._handle is not None:
            self._handle.remove()
        self._stop_trying()
        lives = self._lives()
        self._leaving.clear()
        self._life = None
        for life in lives:
            self._forget_ports(life)
            self.tools.releases.take(life)

    # What makes it act at once

    def refresh(self) -> None:
        """A restart, or another configuration: look at the credentials, and try if it waits."""
        if not self.over and self._attempt is None and (self._life is None or self._outdated()):
            if self._failed_with_others():
                self.settled, self.problem = False, None
            self._try_if_allowed()

    def _failed_with_others(self) -> bool:
        """Whether what is known of failing says nothing of the credentials to have now."""
        if self._life is not None or self.tools.scheduler.now() < self._blocked_until:
            return False
        return self._tried is not None and self._source_differs(self._tried, self._tried_wall)

    def verify(self) -> None:
        """Somebody suspects the allocation: it is lost within about 4 s if nobody answers."""
        if self._life is not None:
            self._life.verify()
        elif self._attempt is None and not self.over:
            self._try_if_allowed()

    def look(self, hosts: Sequence[str]) -> None:
        """The local addresses are these: what was reached from another one is lost."""
        for life in self._lives():
            if life.channel.local[0] not in hosts:
                life.lost("our address is gone")
        if self._life is None:
            self.verify()

    def slept(self, seconds: float) -> None:
        """The machine slept: its allocations may be over, and credentials do not wait."""
        for life in self._lives():
            life.slept(seconds)
        if self._renew_at is not None:
            self._renew_at -= seconds
        self._blocked_until -= seconds
        self.verify()
        self._update()

    def _lives(self) -> list[RelayLife]:
        return [*self._leaving, *([] if self._life is None else [self._life])]

    # Timed

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        times = [self._look_at, self._read_at, self._retry_at]
        if self._attempt is None and self._retry_at is None:
            times.append(self._renew_at)
        return min((at for at in times if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        if self._look_at is not None and now >= self._look_at:
            self._let_go(now)
        news = False
        if self._read_at is not None and now >= self._read_at:
            self._read_at = on_grid(now + _READ_SECONDS)
            news = self._source_differs(self._tried, self._tried_wall)
        if self._attempt is None and (news or self._is_time(now)):
            self._try()

    def _is_time(self, now: float) -> bool:
        """Whether what was put off, or is running out, is due."""
        if self._retry_at is not None:
            if now < self._retry_at:
                return False
            self._retry_at = None
            return self._life is None or self._outdated()
        return self._renew_at is not None and now >= self._renew_at

    def _let_go(self, now: float) -> None:
        """The old allocations that nobody is on any more."""
        for life in [life for life, since in self._leaving.items() if self._may_go(life, since)]:
            del self._leaving[life]
            self._forget_ports(life)
            self.tools.releases.take(life)
            self.owner.wish_lost(self, life.bases, "succeeded")
        self._look_at = on_grid(now + _LOOK_SECONDS) if self._leaving else None

    def _may_go(self, life: RelayLife, since: float) -> bool:
        age = self.tools.scheduler.now() - since
        if age >= self.tools.settings.retire_seconds:
            return True
        return age >= _MOVE_SECONDS and not any(map(self.mux.is_claimed, life.bases))

    # Attempts

    def _try_if_allowed(self) -> None:
        """Now, or when the server's wish for patience and a moment's rest are over."""
        allowed = max(self._blocked_until, self._tried_at + _AGAIN_SECONDS)
        if self.tools.scheduler.now() >= allowed:
            self._try()
        elif self._retry_at is None or allowed < self._retry_at:
            self._retry_at = allowed
        self._update()

    def _try(self) -> None:
        self._retry_at = None
        self._tried_at, self._tried_wall = self.tools.scheduler.now(), self.wall()
        self.attempts += 1
        self.tools.counters.attempts += 1
        if self._read_at is None and self.server.reads_files:
            self._read_at = on_grid(self._tried_at + _READ_SECONDS)
        try:
            self._tried = self.server.credentials(self._tried_wall)
        except CredentialError as error:
            problem = before_turn(self.url, "no-credentials", str(error))
            self._put_off(problem)
            return
        self._attempt = Attempt(
            tools=self.tools,
            url=self.url,
            trust=self.trust,
            families=self.families,
            credentials=self._tried.credentials,
            owner=self,
        )
        self._attempt.start()

    def _put_off(self, problem: ServerProblem) -> None:
        """Fail in a turn of its own: nobody is told inside of a call of theirs."""
        now, pause = self.tools.scheduler.now(), self.tools.settings.pause("other-credentials")
        self._retry_at = now + pause

        def fail() -> None:
            if not self.over and self._attempt is None:
                self._failed(problem, pause)

        self.tools.scheduler.call_at(now, fail)

    def _stop_trying(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def attempt_won(self, life: RelayLife) -> None:
        """See AttemptOwner."""
        self._attempt = None
        if not self._can_be(life):
            self.tools.releases.take(life)
            failure = TurnProblem(None, "bad-address")
            server, local = life.channel.server, life.channel.local
            problem = from_turn(self.url, server, local, failure)
            self._failed(problem, self.tools.settings.pause("no"))
            return
        life.owner = self
        old, self._life = self._life, life
        self.tools.counters.allocated += 1
        if old is not None:
            self.tools.counters.renewed += 1
            now = self.tools.scheduler.now()
            self._leaving[old] = now
            self._look_at = self._look_at or on_grid(now + _MOVE_SECONDS)
        self._remember_credentials()
        self._mind_news()
        for port in life.ports:
            self.mux.add_port(port)
        self.problem = None
        self._settle()
        self._log.info(
            "{url}: relayed by {server} at {bases}",
            url=str(self.url),
            server=format_address(life.channel.server),
            bases=", ".join(map(format_address, life.bases)),
        )

    def _can_be(self, life: RelayLife) -> bool:
        """A server that lies could name a socket of ours, and get its place in the mux."""
        local = refused_address(life.channel.server, False) == "loopback"
        return not any(
            base in self.mux.ports or refused_address(base, local) for base in life.bases
        )

    def attempt_failed(self, problem: ServerProblem, failure: AllocationFailed) -> None:
        """See AttemptOwner."""
        self._attempt = None
        self._blocked_until = self.tools.scheduler.now() + failure.wait
        self._failed(problem, max(failure.wait, self.tools.settings.pause(failure.retry)))
        self._mind_news()

    def _failed(self, problem: ServerProblem, pause: float) -> None:
        """Not this time; an allocation that is there stays."""
        now = self.tools.scheduler.now()
        self.tools.counters.failed += 1
        early = self.tools.random.uniform(0.75, 1.0)
        self._retry_at = max(now, self._tried_at + pause * early, self._blocked_until)
        before, self.problem = self.problem, problem
        known = before is not None and (before.reason, before.code) == (
            problem.reason,
            problem.code,
        )
        if not known:
            self._log.warn("{problem}", problem=problem.text)
        if self._life is None and not (known and self.settled):
            self._settle()
        self._update()

    def _settle(self) -> None:
        self.settled = True
        self.owner.wish_settled(self)
        self._update()

    # Credentials

    def _remember_credentials(self) -> None:
        """With an end, they are renewed before it: the old allocation dies with them."""
        self._held, self._held_wall = self._tried, self._tried_wall
        self._renew_at = None
        if self._held is not None and self._held.expires_at is not None:
            left = self._held.expires_at - self.wall()
            early = max(left * 0.75, left - self.tools.settings.renew_seconds)
            self._renew_at = self.tools.scheduler.now() + max(_AGAIN_SECONDS, early)

    def _outdated(self) -> bool:
        """Whether the allocation's credentials are not those to have now."""
        now = self.tools.scheduler.now()
        expiring = self._renew_at is not None and now >= self._renew_at
        return expiring or self._source_differs(self._held, self._held_wall)

    def _mind_news(self) -> None:
        """Others may have come while an attempt was under way, which did not know them."""
        if self._source_differs(self._tried, self._tried_wall):
            self._try_if_allowed()

    def _source_differs(self, from_these: TimedCredentials | None, at: float) -> bool:
        """Whether the source would have given others at that wall time; none is no others."""
        try:
            return self.server.credentials(at) != from_these
        except CredentialError:
            return False

    # The life, and what comes of its end

    def life_ready(self, life: RelayLife) -> None:
        """See LifeOwner; its attempt heard it."""

    def life_failed(self, life: RelayLife, failure: AllocationFailed) -> None:
        """See LifeOwner; only an attempt's can fail."""

    def life_redirected(self, life: RelayLife, server: Address, domain: str | None) -> None:
        """See LifeOwner; only an attempt's can be."""

    def life_lost(self, life: RelayLife, reason: str) -> None:
        """See LifeOwner: gone from the mux, and on to the next, but not in a tight loop."""
        self._forget_ports(life)
        self.tools.counters.lost += 1
        text = f"the allocation at {format_address(life.channel.server)} was lost: {reason}"
        self._log.info("{url}: {text}", url=str(self.url), text=text)
        if life is self._life:
            self._life = self._renew_at = None
            self.settled = False
            self.problem = before_turn(self.url, "lost", text)
            if self._attempt is None:
                self._retry_at = max(
                    self.tools.scheduler.now(), self._tried_at + self.tools.settings.fresh_seconds
                )
        else:
            self._leaving.pop(life, None)
        self.owner.wish_lost(self, life.bases, reason)
        self._update()

    def _forget_ports(self, life: RelayLife) -> None:
        for port in life.ports:
            if self.mux.ports.get(port.local) is port:
                self.mux.remove_port(port.local)
            port.close()

    def _update(self) -> None:
        if self._handle is not None:
            self._handle.update()
