"""How long, and which run: of the environment."""

from __future__ import annotations

import os
import random


def seconds(usual: float) -> float:
    """REFREEZE_FUZZ_SECONDS."""
    return float(os.environ.get("REFREEZE_FUZZ_SECONDS", usual))


def seed() -> int:
    """REFREEZE_FUZZ_SEED, or one that nobody knows before."""
    given = os.environ.get("REFREEZE_FUZZ_SEED")
    return int(given) if given else random.SystemRandom().getrandbits(32)
