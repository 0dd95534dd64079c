"""Offers and answers of real peers, as :mod:`tests.corpus.generate` had them from running ones.

``PEER_STORY.sdp``, byte for byte; the stories are :mod:`tests.corpus.stories`'. Keys and addresses
are throwaway: each was made for its file, in a network namespace.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in HERE.glob("*.sdp")))
ANSWERS = tuple(name for name in NAMES if name.endswith("answer"))
OFFERS = tuple(name for name in NAMES if name not in ANSWERS)


def load(name: str) -> str:
    """The text of one, with the line ends that it has."""
    return (HERE / f"{name}.sdp").read_bytes().decode()
