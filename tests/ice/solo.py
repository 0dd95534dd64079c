"""One agent against a peer that is played by hand, packet by packet."""

from __future__ import annotations

from random import Random

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice import Agent, AgentSettings, Credentials, IceRole, Transmit, new_credentials
from refreeze.ice.events import AgentEvent
from refreeze.stun import (
    IntegrityKey,
    Message,
    RequestTemplate,
    encode_error,
    encode_success,
    parse,
    short_term_key,
)
from tests.ice.duo import A1, B1, SETTINGS, START, host, make_agent, signaled

PRIORITY = 1862270975


@define(eq=False)
class Solo:
    """``agent`` is under test; I am its peer, with the candidate B1 unless told otherwise."""

    agent: Agent
    peer: Credentials
    random: Random
    now: float = START
    events: list[AgentEvent] = field(factory=list)

    def sent(self) -> list[Transmit]:
        """What the agent wants sent since the last look; its events are kept."""
        self.events += self.agent.take_events()
        return self.agent.take_transmits()

    def checks(self) -> list[Transmit]:
        """Only the requests among it."""
        return [t for t in self.sent() if t.transaction is not None]

    def of(self, kind: type) -> list[AgentEvent]:
        """The events of one kind so far."""
        self.events += self.agent.take_events()
        return [event for event in self.events if isinstance(event, kind)]

    def check(
        self,
        *,
        source: Address = B1,
        base: Address = A1,
        nominated: bool = False,
        controlling: bool | None = None,
        tie_breaker: int = 1,
        priority: int = PRIORITY,
        key: IntegrityKey | None = None,
        ufrag: str | None = None,
    ) -> None:
        """My check arrives at the agent, by default in the role it does not have."""
        if controlling is None:
            controlling = self.agent.role is IceRole.CONTROLLED
        template = RequestTemplate(
            username=f"{self.agent.local.ufrag}:{ufrag or self.peer.ufrag}",
            key=key or short_term_key(self.agent.local.pwd),
            priority=priority,
            controlling=controlling,
            tie_breaker=tie_breaker,
        )
        data = template.encode(self.random.randbytes(12), nominated)
        self.deliver(data, base=base, source=source)

    def deliver(self, data: bytes, *, source: Address = B1, base: Address = A1) -> None:
        """Any STUN message arrives at the agent."""
        self.agent.receive(parse(data), base, source, self.now)

    def answer(
        self,
        transmit: Transmit,
        *,
        mapped: Address | None = None,
        source: Address | None = None,
        base: Address | None = None,
        pwd: str | None = None,
        code: int | None = None,
    ) -> None:
        """I answer one of the agent's checks: success, or an error *code*."""
        assert transmit.transaction is not None
        key = short_term_key(pwd or self.peer.pwd)
        if code is None:
            data = encode_success(transmit.transaction, mapped or transmit.base, key)
        else:
            data = encode_error(transmit.transaction, code, "", key=key)
        self.deliver(data, source=source or transmit.remote, base=base or transmit.base)

    def wait(self, seconds: float) -> list[Transmit]:
        """Time passes; returns what the agent sent meanwhile."""
        end, sent = self.now + seconds, self.sent()
        while (at := self.agent.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.agent.handle_timeout(self.now)
            sent += self.sent()
        self.now = end
        return sent

    def answering(self, seconds: float) -> int:
        """Time passes, and I answer every check at once; returns how many there were."""
        end, count = self.now + seconds, 0
        while (at := self.agent.next_deadline()) is not None and at <= end:
            for check in [t for t in self.wait(at - self.now) if t.transaction is not None]:
                self.answer(check)
                count += 1
        self.now = end
        return count

    def parsed(self) -> list[Message]:
        """What the agent sent, parsed."""
        return [parse(t.data) for t in self.sent()]

    def connect(self) -> None:
        """The usual exchange until a pair is selected."""
        (check,) = self.checks()
        self.answer(check)
        if self.agent.role is IceRole.CONTROLLING:
            (nominating,) = self.checks()
            self.answer(nominating)
        else:
            self.check(nominated=True)
        assert self.agent.selected is not None


def make_solo(
    role: IceRole = IceRole.CONTROLLING,
    *,
    settings: AgentSettings = SETTINGS,
    tie_breaker: int = 1000,
    remote: bool = True,
    candidates: bool = True,
    seed: int = 7,
) -> Solo:
    """An agent with the host candidate A1; it knows me (*remote*) and my B1 (*candidates*)."""
    random = Random(seed)
    agent = make_agent(random, role, settings=settings, tie_breaker=tie_breaker)
    solo = Solo(agent, new_credentials(random), random)
    if candidates:
        agent.add_local_candidate(host(A1), START)
        agent.add_remote_candidate(signaled(host(B1)), START)
    if remote:
        agent.set_remote(solo.peer, START)
    return solo
