"""Records and handshake messages that nobody's OpenSSL would make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refreeze.peer.dtls.records import ALERT, APPLICATION, CHANGE_CIPHER_SPEC, HANDSHAKE
from refreeze.testing import SeededRandom

DTLS_1_2 = b"\xfe\xfd"
CLIENT_HELLO = 1
CLOSE_NOTIFY = 0
HANDSHAKE_FAILURE = 40
WARNING, FATAL = 1, 2
TYPES = (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION)


def record(kind: int, body: bytes, *, epoch: int = 0, number: int = 0) -> bytes:
    """One record (RFC 6347 section 4.1), with a true length."""
    head = bytes([kind]) + DTLS_1_2 + epoch.to_bytes(2, "big") + number.to_bytes(6, "big")
    return head + len(body).to_bytes(2, "big") + body


def fragment(
    message: int, body: bytes, *, length: int | None = None, number: int = 0, offset: int = 0
) -> bytes:
    """A handshake message's part (section 4.2.2); *length* is what it claims of the whole."""
    head = bytes([message]) + (len(body) if length is None else length).to_bytes(3, "big")
    head += number.to_bytes(2, "big") + offset.to_bytes(3, "big") + len(body).to_bytes(3, "big")
    return head + body


def alert(level: int, what: int, **header: int) -> bytes:
    """A record with one alert."""
    return record(ALERT, bytes([level, what]), **header)


def noise(random: SeededRandom) -> bytes:
    """Bytes of any length whose first is DTLS's (RFC 7983)."""
    size = int(random.random() ** 3 * 1500)
    return bytes([20 + int(random.random() * 44)]) + random.randbytes(size)


def plausible(random: SeededRandom) -> bytes:
    """Some records whose headers are good and whose bodies are not."""

    def of(choices: Sequence[int]) -> int:
        return choices[int(random.random() * len(choices))]

    found = b""
    for _ in range(1 + int(random.random() * 3)):
        kind, body = of(TYPES), random.randbytes(1 + int(random.random() ** 3 * 1000))
        if kind == HANDSHAKE:
            body = fragment(
                of((0, 1, 2, 4, 11, 12, 13, 14, 15, 16, 20, 99)),
                body,
                length=of((0, 1, len(body), 16384, 16385, 2**24 - 1)),
                number=of((0, 1, 2, 3, 9, 10, 11, 65535)),
                offset=of((0, 0, 1, 5000, 2**24 - 1)),
            )
        elif kind == ALERT:
            body = bytes([of((0, WARNING, WARNING, 3)), of((0, 10, 20, 41, 90, 100, 255))])
        found += record(kind, body, epoch=of((0, 0, 1, 2, 65535)), number=of((0, 1, 5, 2**48 - 1)))
    return found


def forgery(random: SeededRandom) -> bytes:
    """What must never do any harm: no plaintext of a handshake, which nobody can tell from true."""
    if random.random() < 0.3:
        return noise(random)
    kind = TYPES[int(random.random() * len(TYPES))]
    epoch = (1, 1, 2, 65535)[int(random.random() * 4)]
    number = int(random.random() * 2000)
    return record(
        kind, random.randbytes(1 + int(random.random() * 200)), epoch=epoch, number=number
    )


def spoiled(datagram: bytes, random: SeededRandom) -> bytes:
    """A true datagram, cut short, lengthened, or with bits that changed."""
    data = bytearray(datagram)
    what = random.random()
    if what < 0.3:
        return datagram[: int(random.random() * len(datagram))]
    if what < 0.4:
        return datagram + random.randbytes(1 + int(random.random() * 40))
    for _ in range(1 + int(random.random() * 4)):
        data[int(random.random() * len(data))] ^= 1 << int(random.random() * 8)
    return bytes(data)


def flips(datagram: bytes) -> Iterator[bytes]:
    """It with each of its bits changed, one at a time."""
    for at in range(len(datagram) * 8):
        data = bytearray(datagram)
        data[at // 8] ^= 1 << at % 8
        yield bytes(data)
