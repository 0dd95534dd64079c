"""The loop: change an input, look what it reaches, keep what is new."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from tests.fuzz.mutator import Mutator
from tests.fuzz.traced import Place, Traced

CORPUS: Final = Path(__file__).with_name("corpus")
_SHRINKING: Final = 3.0
"""Seconds to make an input smaller."""


@frozen(eq=False)
class Target:
    """What is fuzzed.

    *check* takes any text; it raises when a promise is broken and otherwise returns what the
    parser said, in few different words. *work* is how many lines of the *watched* files may be
    executed for an input of so many characters.
    """

    name: str
    check: Callable[[str], str]
    seeds: Sequence[str]
    watched: tuple[str, ...]
    work: Callable[[int], int]
    dictionary: Sequence[str] = ()
    limit: int = 64 * 1024
    """Characters that the parser takes."""

    @property
    def kept(self) -> list[str]:
        """Inputs that found something, or that reach what the seeds do not."""
        return [unpack(path.read_bytes()) for path in sorted((CORPUS / self.name).glob("*.txt"))]


class Broken(AssertionError):
    """A promise is broken, by an input."""


@define(eq=False)
class Fuzzer:
    """One run of one target."""

    target: Target
    seed: int
    runs: int = field(default=0, init=False)
    reached: set[Place | str] = field(factory=set, init=False)
    """Lines, and outcomes in words."""
    new: list[str] = field(factory=list, init=False)
    """Inputs that reached what none before did."""
    _found: set[Place | str] = field(factory=set, init=False)
    """By the last input."""
    _traced: Traced = field(init=False)
    _pool: list[str] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._traced = Traced(self.target.watched)

    def run(self, seconds: float, most: int | None = None) -> None:
        """For that long, or for *most* inputs; Broken for the first that breaks a promise."""
        for text in [*self.target.seeds, *self.target.kept]:
            self.look(text)
            self._pool.append(text)
        draw = random.Random(self.seed)
        mutator = Mutator(draw, self._pool, self.target.dictionary, self.target.limit)
        end = time.monotonic() + seconds
        while time.monotonic() < end and (most is None or self.runs < most):
            # What was found last is the most worth to be gone on with.
            recent = draw.random() < 0.3
            text = mutator.changed(draw.choice(self._pool[-20:] if recent else self._pool))
            if self.look(text):
                self._pool.append(text)
                self.new.append(text)

    def look(self, text: str) -> bool:
        """Whether it reaches anything new."""
        self.runs += 1
        try:
            self._try(text)
        except Exception as error:
            small = shrunk(text, partial(self._fails_so, error=error))
            raise Broken(
                f"{self.target.name}, seed {self.seed}, input {self.runs}: {error!r}\n"
                f"smallest input found ({len(small)} characters): {small[:2000]!r}"
            ) from error
        found = self._found - self.reached
        self.reached |= found
        return bool(found)

    def _try(self, text: str) -> None:
        said = self._traced.call(self.target.check, text, self.target.work(len(text)))
        self._found = {*self._traced.places, said}

    def _fails_so(self, text: str, error: Exception) -> bool:
        try:
            self._try(text)
        except Exception as other:
            return type(other) is type(error)
        return False

    def _reached_by(self, text: str) -> set[Place | str]:
        self._try(text)
        return self._found

    def _gains(self, text: str, gain: set[Place | str]) -> bool:
        return gain <= self._reached_by(text)

    def keep(self) -> list[Path]:
        """Write the fewest of the new ones that reach all that they do together."""
        directory = CORPUS / self.target.name
        directory.mkdir(exist_ok=True, parents=True)
        known = set[Place | str]()
        for text in [*self.target.seeds, *self.target.kept]:
            known |= self._reached_by(text)
        written = []
        for found in sorted(self.new, key=len):
            gain = self._reached_by(found) - known
            if not gain:
                continue
            text = shrunk(found, partial(self._gains, gain=gain))
            known |= self._reached_by(text)
            data = pack(text)
            path = directory / f"{sha256(data).hexdigest()[:16]}.txt"
            path.write_bytes(data)
            written.append(path)
        return written


def shrunk(text: str, still: Callable[[str], bool], seconds: float = _SHRINKING) -> str:
    """A smaller text of which *still* holds: without lines, then without characters."""
    end = time.monotonic() + seconds
    for separator in ("\n", ""):
        parts = text.split(separator) if separator else list(text)
        size = max(1, len(parts) // 2)
        while size and time.monotonic() < end:
            at = 0
            while at < len(parts) and time.monotonic() < end:
                fewer = [*parts[:at], *parts[at + size :]]
                if still(separator.join(fewer)):
                    parts = fewer
                else:
                    at += size
            size //= 2
        text = separator.join(parts)
    return text


def pack(text: str) -> bytes:
    """As a file: surrogates are possible too."""
    return text.encode("utf-8", "surrogatepass")


def unpack(data: bytes) -> str:
    """Of a file."""
    return data.decode("utf-8", "surrogatepass")
