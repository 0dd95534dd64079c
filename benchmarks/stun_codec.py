"""STUN: encode, and parse + verify, of one connectivity check; refreeze against aioice.

    python benchmarks/stun_codec.py

Both speak the same message (USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY, FINGERPRINT)
with a fresh transaction id each time, in turns, in this one process; the figure is the best of
several repeats. "First of its shape" is what refreeze needs before it has met a verified message of
that layout; a flood of layouts never met costs as much. The budgets are those of the project.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import cycle
from random import Random
from time import perf_counter

from aioice import stun as aioice_stun

from refreeze import stun

REPEATS = 15
ROUNDS = 5000
USERNAME = "abcdefghij:klmnopqrst"
PWD = "abcdefghijklmnopqrstuvwx"
PRIORITY = 1862270975
TIE_BREAKER = 0x932FF9B151263B36
MAPPED = ("192.0.2.1", 32853)
ENCODE_BUDGET = 1.6
PARSE_BUDGET = 3.2

KEY = stun.short_term_key(PWD)
IDS = [Random(1).randbytes(12) for _ in range(256)]
TEMPLATE = stun.RequestTemplate(
    username=USERNAME, key=KEY, priority=PRIORITY, controlling=True, tie_breaker=TIE_BREAKER
)


def best_of(functions: dict[str, Callable[[Iterator[bytes]], None]]) -> dict[str, float]:
    """Microseconds per message of each, the best of REPEATS turns."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(REPEATS):
        for name, function in functions.items():
            start = perf_counter()
            function(cycle(IDS))
            best[name] = min(best[name], (perf_counter() - start) / ROUNDS * 1e6)
    return best


def encode(ids: Iterator[bytes]) -> None:
    template = TEMPLATE
    for _ in range(ROUNDS):
        template.encode(next(ids))


def encode_aioice(ids: Iterator[bytes]) -> None:
    key = PWD.encode()
    for _ in range(ROUNDS):
        message = aioice_stun.Message(
            aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST, next(ids)
        )
        message.attributes["USERNAME"] = USERNAME
        message.attributes["PRIORITY"] = PRIORITY
        message.attributes["ICE-CONTROLLING"] = TIE_BREAKER
        message.add_message_integrity(key)
        bytes(message)


def answer(ids: Iterator[bytes]) -> None:
    for _ in range(ROUNDS):
        stun.encode_success(next(ids), MAPPED, KEY)


def answer_aioice(ids: Iterator[bytes]) -> None:
    key = PWD.encode()
    for _ in range(ROUNDS):
        message = aioice_stun.Message(
            aioice_stun.Method.BINDING, aioice_stun.Class.RESPONSE, next(ids)
        )
        message.attributes["XOR-MAPPED-ADDRESS"] = MAPPED
        message.add_message_integrity(key)
        bytes(message)


def read(messages: dict[bytes, bytes]) -> Callable[[Iterator[bytes]], None]:
    def run(ids: Iterator[bytes]) -> None:
        for _ in range(ROUNDS):
            if not stun.parse(messages[next(ids)]).verify(KEY):
                raise AssertionError("refreeze refuses the message")

    return run


def refuse(messages: dict[bytes, bytes]) -> Callable[[Iterator[bytes]], None]:
    """With a wrong key no shape is learnt: run before any message of this shape verified."""
    wrong = stun.short_term_key(PWD[::-1])

    def run(ids: Iterator[bytes]) -> None:
        for _ in range(ROUNDS):
            if stun.parse(messages[next(ids)]).verify(wrong):
                raise AssertionError("refreeze accepts a wrong signature")

    return run


def read_aioice(messages: dict[bytes, bytes]) -> Callable[[Iterator[bytes]], None]:
    key = PWD.encode()

    def run(ids: Iterator[bytes]) -> None:
        for _ in range(ROUNDS):
            if not aioice_stun.parse_message(messages[next(ids)]).check_message_integrity(key):
                raise AssertionError("aioice refuses the message")

    return run


def row(what: str, ours: float, theirs: float | None = None, budget: float | None = None) -> None:
    columns = [f"{what:<38}", f"{ours:>9.2f}"]
    columns.append(f"{theirs:>9.2f}{theirs / ours:>8.1f}x" if theirs else " " * 18)
    if budget:
        columns.append(f"{budget:>8.1f}  {'met' if ours <= budget else 'MISSED'}")
    print("".join(columns).rstrip())


def main() -> None:
    gc.disable()
    checks = {each: TEMPLATE.encode(each) for each in IDS}
    answers = {each: stun.encode_success(each, MAPPED, KEY) for each in IDS}
    cold = best_of({"check": refuse(checks), "answer": refuse(answers)})
    figures = best_of(
        {
            "encode": encode,
            "encode aioice": encode_aioice,
            "answer": answer,
            "answer aioice": answer_aioice,
            "read": read(checks),
            "read aioice": read_aioice(checks),
            "read answer": read(answers),
            "read answer aioice": read_aioice(answers),
        }
    )
    print(f"us per message, best of {REPEATS} x {ROUNDS}")
    print(f"{'':<38}{'refreeze':>9}{'aioice':>9}{'ratio':>9}{'budget':>8}")
    row("encode a check", figures["encode"], figures["encode aioice"], ENCODE_BUDGET)
    row("parse + verify a check", figures["read"], figures["read aioice"], PARSE_BUDGET)
    row("encode an answer", figures["answer"], figures["answer aioice"], ENCODE_BUDGET)
    row(
        "parse + verify an answer",
        figures["read answer"],
        figures["read answer aioice"],
        PARSE_BUDGET,
    )
    row("the same, first of its shape, check", cold["check"])
    row("the same, first of its shape, answer", cold["answer"])


if __name__ == "__main__":
    main()
