"""What DTLS costs a packet: forwarders with and without it, against other stacks and OpenSSL.

    python benchmarks/protect.py [PACKETS]

Packets of 200 and of 1200 bytes go one way through two forwarders and the path between them, all
in one process (see data_path.py). aiortc's DTLS transport carries them between asyncio endpoints,
libdatachannel's data channel between sockets of node (its CPU is that of all its threads). The
floor is one encryption and one decryption by OpenSSL's AES-128-GCM, called from Python. `make
peers` installs both stacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from common import Figures, Row, run
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from forwarders import forwarded

LENGTHS = (200, 1200)
HERE = Path(__file__).resolve().parent
AGENTS = HERE.parent / "tests" / "lab" / "agents"


async def dtls(total: int) -> Figures:
    return await _both(total, dtls=True)


async def raw(total: int) -> Figures:
    return await _both(total, dtls=False)


async def _both(total: int, *, dtls: bool) -> Figures:
    figures: Figures = {}
    for length in LENGTHS:
        found = await forwarded(total, length, dtls=dtls)
        figures |= {f"{key}{length}": value for key, value in found.items()}
    return figures


async def openssl(total: int) -> Figures:
    figures: Figures = {}
    cipher, nonce, header = AESGCM(bytes(16)), bytes(12), bytes(13)
    for length in LENGTHS:
        payload = bytes(length)
        began = time.process_time()
        for _ in range(total):
            cipher.decrypt(nonce, cipher.encrypt(nonce, payload, header), header)
        figures[f"cpu{length}"] = (time.process_time() - began) / total * 1e6
    return figures


async def libdatachannel(total: int) -> Figures:
    module = AGENTS / "node_modules" / "node-datachannel"
    if not module.exists():
        return {}
    return _others(["node", str(HERE / "peers" / "datachannel_path.js")], total, [str(module)])


async def aiortc(total: int) -> Figures:
    python = AGENTS / ".venv" / "bin" / "python"
    if not python.exists():
        return {}
    return _others([str(python), str(HERE / "peers" / "aiortc_path.py")], total, [])


def _others(command: Sequence[str], total: int, more: Sequence[str]) -> Figures:
    figures: Figures = {}
    for length in LENGTHS:
        output = subprocess.run(
            [*command, str(total), str(length), *more],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdout=subprocess.PIPE,
            check=False,  # libdatachannel's program ends itself by a signal
            timeout=120,
        ).stdout
        found = json.loads(output.splitlines()[-1])
        figures |= {f"{key}{length}": value for key, value in found.items()}
    return figures


if __name__ == "__main__":
    run(
        __file__,
        {
            "dtls": dtls,
            "raw": raw,
            "openssl": openssl,
            "libdatach.": libdatachannel,
            "aiortc": aiortc,
        },
        20_000,
        [Row(f"{length} bytes, CPU us a packet", f"cpu{length}") for length in LENGTHS]
        + [Row(f"{length} bytes, wall us a packet", f"wall{length}") for length in LENGTHS],
        title="packets one way through two forwarders, with DTLS, without, and by others",
    )
