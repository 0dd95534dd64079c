"""MESSAGE-INTEGRITY, its SHA-256 sibling, and FINGERPRINT (RFC 8489 sections 14.5 to 14.7)."""

from __future__ import annotations

import hashlib
import hmac
from hashlib import md5, sha1
from typing import Final, Protocol, Self
from zlib import crc32

from attrs import define, field

FINGERPRINT_XOR: Final = 0x5354554E
_BLOCK: Final = 64
_IPAD: Final = bytes(x ^ 0x36 for x in range(256))
_OPAD: Final = bytes(x ^ 0x5C for x in range(256))


class _Hash(Protocol):
    """What hashlib returns; it has no public name there."""

    def copy(self) -> Self: ...

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@define(eq=False, repr=False)
class IntegrityKey:
    """A key and its SHA-1 states after the padded key: half of an HMAC's work, done once.

    With ``sha256`` only a MESSAGE-INTEGRITY-SHA256 is made and believed.
    """

    key: bytes
    sha256: bool = field(default=False, kw_only=True)
    _inner: _Hash = field(init=False)
    _outer: _Hash = field(init=False)

    def __attrs_post_init__(self) -> None:
        """RFC 2104: a key longer than a block is hashed first."""
        block = self.key if len(self.key) <= _BLOCK else sha1(self.key).digest()
        block = block.ljust(_BLOCK, b"\0")
        self._inner = sha1(block.translate(_IPAD))
        self._outer = sha1(block.translate(_OPAD))

    def __repr__(self) -> str:
        return "<IntegrityKey>"

    def sign(self, data: bytes) -> bytes:
        """HMAC-SHA1 of *data*: 20 bytes."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def sign_sha256(self, data: bytes) -> bytes:
        """HMAC-SHA256 of *data*: 32 bytes."""
        return hmac.digest(self.key, data, "sha256")


def short_term_key(pwd: str) -> IntegrityKey:
    """The key of ICE's checks: the password itself (RFC 8489 section 9.1.1)."""
    return IntegrityKey(pwd.encode())


def long_term_key(
    username: str, realm: str, password: str, *, sha256: bool = False
) -> IntegrityKey:
    """MD5 of user, realm and password; with *sha256* its SHA-256, and only a
    MESSAGE-INTEGRITY-SHA256 is made and believed (RFC 8489 section 18.5.1).

    The caller did OpaqueString (RFC 8265) if the texts are not plain ASCII.
    """
    text = f"{username}:{realm}:{password}".encode()
    if sha256:
        return IntegrityKey(hashlib.sha256(text).digest(), sha256=True)
    return IntegrityKey(md5(text, usedforsecurity=False).digest())


def fingerprint(data: bytes) -> bytes:
    """The value of FINGERPRINT over *data*, whose length field already counts it."""
    return (crc32(data) ^ FINGERPRINT_XOR).to_bytes(4, "big")
