"""Writes the tables of the documentation that are data in the code.

    python docs/tables.py            # rewrites what stands between the markers in docs/*.md

A test fails when a document and the code differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.interop.matrix import CASES, PEERS, WORKS, load

from refreeze.control.codes import RETRY
from refreeze.control.verbs import VERBS
from refreeze.ice.outward import outward_state
from refreeze.ice.states import IceState
from refreeze.jsep.states import TRANSITIONS
from refreeze.net.expectations import DIRECT, Kind
from refreeze.signaling.acceptance import TABLE, Standing
from refreeze.turn import states as turn_states
from refreeze.watchdog.table import LETTERS, REACTIONS

DOCS = Path(__file__).resolve().parent
CONFIG = DOCS.parent / "etc" / "refreeze.toml"

_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_EXAMPLES = re.compile(r"(sessions|servers)\.\w+")
_KEY = re.compile(r"(?:# )?([a-z_]+) = (.*?)\s+#\s(.*)|(?:# )?([a-z_]+) = (.*)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def watchdog() -> str:
    """What follows on every input in every state."""
    names = ", ".join(f"{letter} {state.value}" for letter, state in LETTERS.items())
    rows = [[name, *cells.split()] for name, cells in REACTIONS.items()]
    return f"{names} (P: paused).\n\n" + table(["input", *LETTERS], rows)


def allocation() -> str:
    """What follows on every input in every state of a TURN allocation."""
    letters = turn_states.LETTERS
    names = ", ".join(f"{letter} {state.value}" for letter, state in letters.items())
    rows = [[name, *cells.split()] for name, cells in turn_states.REACTIONS.items()]
    return f"{names}.\n\n" + table(["input", *letters], rows)


def acceptance() -> str:
    """The verdict on every envelope."""
    rows = [[kind.value, *(row[each].value for each in Standing)] for kind, row in TABLE.items()]
    return table(["kind", *(each.value for each in Standing)], rows)


def signaling() -> str:
    """RTCSignalingState."""
    rows = [
        [state.value, f"{side.value} {kind.value}", following.value]
        for (state, side, kind), following in TRANSITIONS.items()
    ]
    return table(["state", "description", "next"], rows)


def outward() -> str:
    """The one state of two generations."""
    columns: list[IceState | None] = [None, IceState.CHECKING, IceState.CONNECTED, IceState.FAILED]
    states: list[IceState | None] = [None, *(s for s in IceState if s is not IceState.CLOSED)]
    rows = [
        [
            "none" if active is None else active.value,
            *(outward_state(active, pending, begun=True).value for pending in columns),
        ]
        for active in states
    ]
    return table(["active", *("none" if c is None else c.value for c in columns)], rows)


def verbs() -> str:
    """The control port's."""
    return table(
        ["usage", "role"],
        [[f"`{v.usage}`".replace("|", "\\|"), v.role.word] for v in VERBS.values()],
    )


def codes() -> str:
    """What stands after ERR."""
    rows = [[f"`{code}`", "yes" if retry else "no"] for code, retry in RETRY.items()]
    return table(["code", "retry"], rows)


def config() -> str:
    """Every key, as the shipped file explains it."""
    rows: list[list[str]] = []
    section = ""
    for line in CONFIG.read_text().splitlines():
        if line.removeprefix("# ").startswith("["):
            section = line[line.index("[") + 1 : line.index("]")]
            section = _EXAMPLES.sub(r"\1.NAME", section) + "."
            continue
        found = _KEY.fullmatch(line)
        if found is not None:
            key, value = found[1] or found[4], found[2] or found[5]
            if any(row[0] == f"`{section}{key}`" for row in rows):
                continue
            rows.append([f"`{section}{key}`", f"`{value.strip()}`", found[3] or ""])
    return table(["key", "default or example", ""], rows)


def expectations() -> str:
    """Who reaches whom without a relay."""
    rows = [
        [mine.value, *("direct" if peer in DIRECT[mine] else "relay" for peer in Kind)]
        for mine in Kind
    ]
    return table(["", *(peer.value for peer in Kind)], rows)


def interop() -> str:
    """Real peers, case by case: what the latest run of the tests wrote into interop.json."""
    found = load()
    gaps = dict.fromkeys(
        result for each in found.values() for result in each["cases"].values() if result != WORKS
    )
    marks = {WORKS: WORKS} | {gap: f"no ({number})" for number, gap in enumerate(gaps, 1)}
    head = ["", *(f"{PEERS[peer]} {each['version']}" for peer, each in found.items())]
    rows = [
        [words, *(marks[each["cases"][case]] for each in found.values())]
        for case, words in CASES.items()
    ]
    notes = "".join(f"{number}. {gap}\n" for number, gap in enumerate(gaps, 1))
    return f"{table(head, rows)}\n{notes}"


TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        watchdog,
        allocation,
        acceptance,
        signaling,
        outward,
        verbs,
        codes,
        config,
        expectations,
        interop,
    )
}


def filled(text: str) -> str:
    """*text* with every marked table as the code has it now."""
    return _MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def main() -> None:
    """Rewrite the documents."""
    for path in sorted(DOCS.glob("*.md")):
        path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
