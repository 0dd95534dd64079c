"""Sends bad packets at a steady rate and says how many: a child process of the flood test.

Arguments: seconds, packets a second, target host, target port, source host, and templates in
hex. Of each template the transaction id is drawn anew for every packet, and the FINGERPRINT at
its end is made to fit.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from zlib import crc32

BURST = 40
"""Packets between two looks at the clock: 2 ms at 20,000 a second."""


def packet(template: bytes, transaction: bytes) -> bytes:
    """One bad packet (RFC 8489 section 14.7)."""
    body = template[:8] + transaction + template[20:-8]
    check = crc32(body) ^ 0x5354554E
    return body + template[-8:-4] + check.to_bytes(4, "big")


def main() -> None:
    """Send, and print the number."""
    seconds, rate = float(sys.argv[1]), float(sys.argv[2])
    target = sys.argv[3], int(sys.argv[4])
    templates = [bytes.fromhex(each) for each in sys.argv[6:]]
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.bind((sys.argv[5], 0))
    begin, sent, total = time.monotonic(), 0, int(seconds * rate)
    while sent < total:
        random = os.urandom(12 * BURST)
        for number in range(BURST):
            template = templates[(sent + number) % len(templates)]
            out.sendto(packet(template, random[12 * number : 12 * number + 12]), target)
        sent += BURST
        ahead = begin + sent / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    sys.stdout.write(f"{sent} {time.monotonic() - begin:.1f}\n")


main()
