"""One target, for a time: see :mod:`tests.fuzz`."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.engine import Broken, Fuzzer
from tests.fuzz.settings import seconds, seed
from tests.fuzz.targets import TARGETS


def main() -> int:
    """0: nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--list", action="store_true", help="the targets' names")
    parser.add_argument("--keep", action="store_true", help="write what reached something new")
    options = parser.parse_args()
    if options.list or options.target is None:
        print(*sorted(TARGETS))
        return 0
    fuzzer = Fuzzer(TARGETS[options.target], seed())
    print(f"fuzz {options.target}: REFREEZE_FUZZ_SEED={fuzzer.seed}", flush=True)
    try:
        fuzzer.run(seconds(60.0))
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    said = f"{fuzzer.runs} inputs, {len(fuzzer.reached)} places, {len(fuzzer.new)} inputs were new"
    if options.keep:
        said += f", {len(fuzzer.keep())} kept"
    print(f"fuzz {options.target}: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
