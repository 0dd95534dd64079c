"""Measures every pairing and every fault in the lab, and writes docs/networks.md.

python tests/lab/figures.py             # as root; a quarter of an hour
python tests/lab/figures.py --once      # each pairing once; prints, and writes nothing
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from tests.lab.commands import LabError, lacking, until
from tests.lab.faults import ALL, Fault
from tests.lab.kinds import PAIRINGS, HostKind, is_direct
from tests.lab.mobility import Cost
from tests.lab.namespaces import Lab
from tests.lab.traffic import USUAL_RATE, Flow
from tests.lab.world import LINK, Machine, World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
REPEATS = 5
WITH_UDP, WITHOUT_UDP = 1.0, 3.0
"""Seconds from `open` to the first data that are promised at most."""
_LATE = 20.0
_RATE = 100.0
_NAME = "measured"
_LISTEN, _DELIVER = 7001, 7100

_HEAD = """# Networks, in figures

Written by `python tests/lab/figures.py` (as root) with the lab of [lab.md](lab.md): coturn, NAT
routers of nftables, 20 ms from any machine to any other, one way.

## Every pairing
Seconds from `open` at the offering end, the other being open, until data has arrived at both;
the median of {repeats}, allocations and all made anew each time. The types are local/remote, of the
first end; the URIs are those of the relays that the pair uses. Promised: {with_udp:g} s, and
{without_udp:g} s where UDP is blocked. The last line is such a machine that is given `turns:` only.

"""
_FAULTS = """
## Every fault
With {rate:g} packets a second each way. Of the two ways the worse counts. Restarts are rounds.

"""


@frozen
class Connected:
    """One run of one pairing."""

    seconds: float
    types: str
    server: str


def connect(world: World, one: Machine, two: Machine) -> Connected:
    """Open a session at both ends, see data arrive, close it, and see nothing remain."""
    offerer, answerer = sorted((one, two), key=lambda machine: machine.name)
    programs = [
        world.traffic.program(
            machine.namespace, port=_DELIVER, target=("127.0.0.1", _LISTEN), rate=_RATE
        )
        for machine in (one, two)
    ]
    flow = Flow(*programs)
    began = 0.0
    for me, peer in ((answerer, offerer), (offerer, answerer)):
        began = time.monotonic()
        me.daemon.ask(
            f"open {_NAME} peer={peer.name} protect=none "
            f"listen=127.0.0.1:{_LISTEN} deliver=127.0.0.1:{_DELIVER}"
        )
    until(lambda: flow.flows(0.0), f"data between {one.name} and {two.name}", _LATE)
    arrived = max(stream.arrivals[0][1] for stream in (flow.there, flow.back))
    pairs = [machine.daemon.pair(_NAME) for machine in (one, two)]
    for machine in (one, two):
        machine.daemon.ask(f"close {_NAME}")
    world.traffic.drop(*programs)
    until(lambda: not world.turn.allocations(), "the end of the allocations")
    servers = {str(pair["server"]) for pair in pairs if pair["server"]}
    return Connected(arrived - began, str(pairs[0]["types"]), " and ".join(sorted(servers)))


def pairings(repeats: int) -> list[Sequence[str]]:
    """A row for each."""
    lab = Lab()
    world = World(lab, delay=LINK)
    try:
        machines = {
            (kind, copy): world.machine(f"{kind.value}-{copy}", kind)
            for kind in HostKind
            for copy in (1, 2)
        }
        tls = {"servers": {"lab": world.server("turns:{}")}}
        guarded = world.machine("tls-only", HostKind.UDP_BLOCKED, tls)
        world.start()
        rows = []
        ends = [(machines[one, 1], machines[two, 2]) for one, two in PAIRINGS]
        for one, two in [*ends, (guarded, machines[HostKind.NONE, 1])]:
            runs = [connect(world, one, two) for _ in range(repeats)]
            rows.append(_pairing(one.kind, two.kind, runs))
            print(*rows[-1], sep="\t", flush=True)
        return rows
    finally:
        world.close()
        lab.close()


def _pairing(one: HostKind, two: HostKind, runs: Sequence[Connected]) -> Sequence[str]:
    seconds = statistics.median(run.seconds for run in runs)
    target = WITHOUT_UDP if HostKind.UDP_BLOCKED in (one, two) else WITH_UDP
    types = sorted({run.types for run in runs})
    direct = not any("relay" in each for each in types)
    right = direct if is_direct(one, two) else all("relay" in each for each in types)
    return (
        one.value,
        two.value,
        ("direct" if direct else "relay") + ("" if right else " (wrong)"),
        ", ".join(types),
        ", ".join(sorted({run.server for run in runs} - {""})),
        f"{seconds:.2f}",
        "met" if seconds <= target else "missed",
    )


def fault_row(fault: Fault) -> Sequence[str]:
    """Let it happen once."""
    lab = Lab()
    world = World(lab, delay=LINK)
    try:
        cost = fault.happen(fault.begin(world))
        row = _fault(fault, cost)
    except LabError as error:
        row = [fault.name, "-", "-", "-", f"{fault.target:g}", str(error).partition("\n")[0]]
    finally:
        world.close()
        lab.close()
    print(*row, sep="\t", flush=True)
    return row


def _fault(fault: Fault, cost: Cost) -> list[str]:
    return [
        fault.name,
        f"{cost.silence:.2f}",
        str(cost.lost),
        str(cost.restarts),
        f"{fault.target:g}",
        "met" if cost.silence <= fault.target else "missed",
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def page() -> str:
    """The whole document."""
    text = _HEAD.format(repeats=REPEATS, with_udp=WITH_UDP, without_udp=WITHOUT_UDP)
    ends = ["one", "other", "path", "types", "relays", "seconds", "promise"]
    text += table(ends, pairings(REPEATS)) + _FAULTS.format(rate=USUAL_RATE)
    faults = ["fault", "seconds without data", "lost", "restarts", "promised", "promise"]
    return text + table(faults, [fault_row(fault) for fault in ALL])


def main() -> None:
    """Measure, and write."""
    what = lacking()
    if what is not None:
        sys.exit(f"this needs {what}")
    if "--once" in sys.argv:
        pairings(1)
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
