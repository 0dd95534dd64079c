"""Random networks: NATs on either side, firewalls, a TURN server, and servers that are dead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve

from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
    LinkSettings,
    NatSettings,
    SeededRandom,
)
from refreeze.watchdog import PolicySettings
from tests.simulation.scene import DEAD, TURN, Shape, TurnShape
from tests.simulation.schedule import IMPATIENT, Schedule, random_faults, random_protect
from tests.simulation.serverfaults import ALL_KINDS

_NATS: Sequence[NatSettings | None] = (
    None,
    FULL_CONE,
    ADDRESS_RESTRICTED,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
)
_NAME = "turn:turn.example"
"""Both addresses of it."""
_T = TypeVar("_T")


def _of(random: SeededRandom, choices: Sequence[_T]) -> _T:
    return choices[int(random.random() * len(choices))]


def _addresses(
    random: SeededRandom, four: Sequence[str], six: str, *, six_alone: bool
) -> list[str]:
    """IPv4 alone, both families, or now and then IPv6 alone."""
    if six_alone and random.random() < 0.15:
        return [six]
    own = list(four[: 1 + int(random.random() * len(four))])
    return [*own, six] if random.random() < 0.3 else own


def _nat(random: SeededRandom) -> NatSettings | None:
    """Of any kind; some forget soon."""
    chosen = _of(random, _NATS)
    if chosen is None:
        return None
    timeout = _of(random, (30.0, 120.0))
    return evolve(chosen, timeout=timeout, refresh_inbound=random.random() < 0.5)


def _turn(random: SeededRandom, *, blocked: bool, six_alone: bool) -> TurnShape:
    url = _NAME if six_alone else _of(random, (_NAME, f"turn:{TURN[0]}"))
    urls = [url]
    if blocked or random.random() < 0.3:
        urls.append(_of(random, (f"{url}?transport=tcp", "turns:turn.example")))
    if random.random() < 0.3:
        urls.append(f"turn:{DEAD}")
    return TurnShape(
        urls=urls,
        credentials=_of(random, ("file", "secret")),
        ttl=_of(random, (60.0, 300.0)),
        sha256=random.random() < 0.5,
        max_lifetime=_of(random, (30.0, 120.0, 3600.0)),
        nonce_seconds=_of(random, (20.0, 3600.0)),
    )


def random_network_shape(random: SeededRandom) -> Shape:
    """A path exists in any of them once all faults are over: through the relay if not directly."""
    nat, bob_nat = _nat(random), _nat(random)
    blocked = any(each is not None and each.udp_blocked for each in (nat, bob_nat))
    stun = [f"stun:{TURN[0]}"] if random.random() < 0.6 else []
    if random.random() < 0.3:
        stun.append(_of(random, (f"stun:{DEAD}", "stun:dead.example", "stun:nowhere.example")))
    inside = ("10.0.0.1", "10.0.0.2") if nat else ("192.0.2.1",)
    alice = _addresses(random, inside, "2001:db8::1", six_alone=True)
    inside = ("10.1.0.1",) if bob_nat else ("192.0.2.2",)
    return Shape(
        alice=alice,
        bob=_addresses(random, inside, "2001:db8::2", six_alone=False),
        nat=nat,
        bob_nat=bob_nat,
        protect=random_protect(random),
        turn=_turn(random, blocked=blocked, six_alone=alice == ["2001:db8::1"]),
        stun=stun,
        link=LinkSettings(
            delay=random.uniform(0.0, 0.05),
            jitter=random.uniform(0.0, 0.01),
            loss=_of(random, (0.0, 0.0, 0.02)),
        ),
        liveness=_of(random, ("default", "default", "fast", "patient")),
        offerer=_of(random, ("alice", "bob")),
        watchdog=_of(random, (IMPATIENT, PolicySettings())),
        rate=random.uniform(1.0, 8.0),
    )


def random_network(seed: int) -> Schedule:
    """Hosts that may need a server, and everything that goes wrong with all of them."""
    random = SeededRandom(f"network/{seed}")
    shape = random_network_shape(random.child("shape"))
    return Schedule(seed, shape, random_faults(random.child("faults"), ALL_KINDS))
