"""Randomness from a seed, in independent streams by name."""

from __future__ import annotations

import hashlib
import random


class SeededRandom(random.Random):
    """A :class:`~refreeze.basics.Randomness` that repeats itself.

    A *child* has a stream of its own that depends on the seed and its name only, so one part of
    a simulation can draw more, or less, without any other noticing.
    """

    def __init__(self, seed: int | str) -> None:
        digest = hashlib.sha256(str(seed).encode()).digest()
        super().__init__(int.from_bytes(digest, "big"))
        self.name = str(seed)

    def child(self, name: str) -> SeededRandom:
        """The stream of that name below this one; asked again, it starts again."""
        return SeededRandom(f"{self.name}/{name}")

    def __repr__(self) -> str:
        return f"SeededRandom({self.name!r})"
