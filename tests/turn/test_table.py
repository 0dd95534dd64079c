"""Every state x input pair of an allocation, against the table that documents it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import Attribute, MessageBuilder, MessageClass, Method
from refreeze.stun.attributes import encode_address, encode_error_code, xor_address
from refreeze.turn import AllocationState
from refreeze.turn.states import REACTIONS, may_follow
from tests.turn.duet import PEER, Duet
from tests.turn.server import RELAYED, data_indication

TOLD = ("AllocationFailed", "TryAlternate", "AllocationLost", "Released")


def new() -> Duet:
    return Duet()


def allocating() -> Duet:
    """The challenge was met, the second Allocate is under way."""
    return Duet().start(0.05)


def ready() -> Duet:
    return Duet().ready(PEER)


def refreshing() -> Duet:
    """With a Refresh, a permission and a channel under way."""
    duet = ready()
    duet.send()
    duet.allocation.permit("203.0.113.99", duet.now)
    duet.allocation.verify(duet.now)
    return duet


def releasing() -> Duet:
    duet = ready()
    duet.allocation.release(duet.now)
    return duet


def releasing_early() -> Duet:
    """What may be granted is waited for."""
    duet = allocating()
    duet.allocation.release(duet.now)
    return duet


def over() -> Duet:
    duet = ready()
    duet.allocation.lost("closed", duet.now)
    return duet


SCENARIOS: dict[AllocationState, list[Callable[[], Duet]]] = {
    AllocationState.NEW: [new],
    AllocationState.ALLOCATING: [allocating],
    AllocationState.READY: [ready, refreshing],
    AllocationState.RELEASING: [releasing, releasing_early],
    AllocationState.OVER: [over],
}


def answer(method: Method, *attributes: tuple[int, bytes]) -> Callable[[Duet], None]:
    """What arrives answers the request of that method that is under way, or none."""
    failed = any(kind == Attribute.ERROR_CODE for kind, _ in attributes)
    message_class = MessageClass.ERROR if failed else MessageClass.SUCCESS

    def feed(duet: Duet) -> None:
        under_way = duet.allocation._requests._in_flight.items()
        ids = [tid for tid, (request, _) in under_way if request.method == method]
        builder = MessageBuilder(method, message_class, ids[0] if ids else bytes(12))
        for kind, value in attributes:
            masked = kind == Attribute.XOR_RELAYED_ADDRESS
            builder.add(kind, xor_address(value, builder.transaction_id) if masked else value)
        duet.allocation.receive(builder.build(duet.server.key()), duet.now)

    return feed


def error(code: int) -> tuple[int, bytes]:
    return Attribute.ERROR_CODE, encode_error_code(code, "")


def silence(duet: Duet) -> None:
    """What is under way is given up."""
    duet.allocation.take_transmits()
    duet.fate = list
    duet._wire.clear()
    duet.server.silent.update(map(int, Method))
    end = duet.now + 41.0
    while (at := duet.allocation.next_deadline()) is not None and at <= end:
        duet.now = max(duet.now, at)
        duet.allocation.handle_timeout(duet.now)
        duet.collect()


CHALLENGE = (Attribute.REALM, b"example.org"), (Attribute.NONCE, b"fresh")
INPUTS: dict[str, Callable[[Duet], object]] = {
    "start": lambda duet: duet.allocation.start(duet.now),
    "Allocate granted": answer(
        Method.ALLOCATE, (Attribute.XOR_RELAYED_ADDRESS, encode_address(RELAYED[4]))
    ),
    "Allocate challenged": answer(Method.ALLOCATE, error(438), *CHALLENGE),
    "Allocate redirected": answer(
        Method.ALLOCATE, error(300), (Attribute.ALTERNATE_SERVER, encode_address(("192.0.2.9", 1)))
    ),
    "Allocate refused": answer(Method.ALLOCATE, error(486)),
    "Refresh granted": answer(Method.REFRESH, (Attribute.LIFETIME, (600).to_bytes(4, "big"))),
    "Refresh challenged": answer(Method.REFRESH, error(438), *CHALLENGE),
    "Refresh delayed": answer(Method.REFRESH, error(500)),
    "Refresh refused": answer(Method.REFRESH, error(437)),
    "permission refused": answer(Method.CREATE_PERMISSION, error(403)),
    "channel refused": answer(Method.CHANNEL_BIND, error(403)),
    "nobody answers": silence,
    "permit": lambda duet: duet.allocation.permit("203.0.113.77", duet.now),
    "send": lambda duet: duet.allocation.send(PEER, b"\x80", duet.now),
    "data": lambda duet: duet.allocation.receive(data_indication(PEER, b"x"), duet.now),
    "verify": lambda duet: duet.allocation.verify(duet.now),
    "release": lambda duet: duet.allocation.release(duet.now),
    "lost": lambda duet: duet.allocation.lost("closed", duet.now),
}


class TableTests(SynchronousTestCase):
    def test_every_input_and_every_state_has_a_row_and_a_column(self) -> None:
        self.assertEqual(list(REACTIONS), list(INPUTS))
        self.assertEqual(set(SCENARIOS), set(AllocationState))

    def test_every_scenario_is_in_its_state(self) -> None:
        for state, builders in SCENARIOS.items():
            for build in builders:
                self.assertIs(build().allocation.state, state)

    def test_every_pair_does_what_the_table_says(self) -> None:
        for name, feed in INPUTS.items():
            for state, builders in SCENARIOS.items():
                seen = set()
                for build in builders:
                    duet = build()
                    feed(duet)
                    seen.add(duet.allocation.state)
                self.assertEqual(seen, may_follow(name, state), f"{name} in {state}")

    def test_every_end_is_told_once(self) -> None:
        """And whatever follows it tells nothing more."""
        for name, feed in INPUTS.items():
            for builders in SCENARIOS.values():
                for build in builders:
                    duet = build()
                    for again in (feed, *INPUTS.values()):
                        again(duet)
                    duet.allocation.lost("closed", duet.now)
                    duet.collect()
                    ends = [e for e in duet.told if type(e).__name__ in TOLD]
                    self.assertEqual(len(ends), 1, f"{name}: {duet.told}")

    def test_over_is_final_and_wants_no_time(self) -> None:
        for name, feed in INPUTS.items():
            duet = over()
            feed(duet)
            self.assertIsNone(duet.allocation.next_deadline(), name)
            self.assertEqual(may_follow(name, AllocationState.OVER), {AllocationState.OVER})

    def test_a_state_without_a_deadline_waits_for_its_owner(self) -> None:
        for state, builders in SCENARIOS.items():
            for build in builders:
                waits = state in (AllocationState.NEW, AllocationState.OVER)
                self.assertEqual(build().allocation.next_deadline() is None, waits, str(state))
