"""The two-way cookie handshake of loopback TCP, after Tor's SAFECOOKIE. Sans-IO but for the file.

Both sides read the same 32-byte file and prove that they could, without showing it: the client
sends a nonce; the server answers with its own and HMAC-SHA256(cookie, server label, both
nonces); the client checks that before it sends HMAC-SHA256(cookie, client label, both nonces).
A program that merely took the port learns nothing it could use elsewhere: the labels differ for
the two directions and, by *purpose*, for the hub and the control port.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat

from attrs import define, field, frozen

from refreeze.basics import Randomness
from refreeze.net.files import write_private

COOKIE_LENGTH = 32
NONCE_LENGTH = 32
PROOF_LENGTH = hashlib.sha256().digest_size
COOKIE_MODE = 0o640


class CookieError(Exception):
    """The handshake or the cookie file is not right; the text is one line without secrets."""


@frozen
class Cookie:
    """The shared secret. It is not in the repr."""

    secret: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if len(self.secret) != COOKIE_LENGTH:
            raise CookieError(f"a cookie has {COOKIE_LENGTH} bytes")

    def proof(self, purpose: str, side: str, client_nonce: bytes, server_nonce: bytes) -> bytes:
        """What *side* ("server" or "client") shows to prove that it knows the cookie."""
        label = f"refreeze {purpose} cookie v1, {side} proof\n".encode()
        return hmac.digest(self.secret, label + client_nonce + server_nonce, "sha256")


@define(eq=False, repr=False)
class CookieServer:
    """The listening side of one handshake."""

    _cookie: Cookie = field(repr=False)
    _purpose: str
    _random: Randomness = field(repr=False)
    _expected: bytes | None = field(default=None, init=False, repr=False)

    def challenge(self, client_nonce: bytes) -> tuple[bytes, bytes]:
        """(our nonce, our proof); CookieError when the nonce has not the right length."""
        if len(client_nonce) != NONCE_LENGTH:
            raise CookieError(f"a nonce has {NONCE_LENGTH} bytes")
        nonce = self._random.randbytes(NONCE_LENGTH)
        self._expected = self._cookie.proof(self._purpose, "client", client_nonce, nonce)
        return nonce, self._cookie.proof(self._purpose, "server", client_nonce, nonce)

    def verify(self, client_proof: bytes) -> bool:
        """Whether the client knows the cookie. One attempt a challenge."""
        expected, self._expected = self._expected, None
        return expected is not None and hmac.compare_digest(expected, client_proof)


@define(eq=False, repr=False)
class CookieClient:
    """The connecting side of one handshake."""

    _cookie: Cookie = field(repr=False)
    _purpose: str
    _random: Randomness = field(repr=False)
    nonce: bytes = field(init=False, repr=False)
    """To be sent first."""

    def __attrs_post_init__(self) -> None:
        self.nonce = self._random.randbytes(NONCE_LENGTH)

    def answer(self, server_nonce: bytes, server_proof: bytes) -> bytes:
        """Our proof, once the server's is good; CookieError (and no proof) otherwise."""
        if len(server_nonce) != NONCE_LENGTH:
            raise CookieError(f"a nonce has {NONCE_LENGTH} bytes")
        expected = self._cookie.proof(self._purpose, "server", self.nonce, server_nonce)
        if not hmac.compare_digest(expected, server_proof):
            raise CookieError("the server does not know the cookie")
        return self._cookie.proof(self._purpose, "client", self.nonce, server_nonce)


def load_cookie(path: str) -> Cookie:
    """The cookie in the file at *path*; CookieError when it is missing or open to everybody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CookieError(f"{path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CookieError(f"{path}: not a regular file")
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise CookieError(f"{path}: more than its owner may write it, or others may read it")
        secret = os.read(descriptor, COOKIE_LENGTH + 1)
    finally:
        os.close(descriptor)
    if len(secret) != COOKIE_LENGTH:
        raise CookieError(f"{path}: not {COOKIE_LENGTH} bytes")
    return Cookie(secret)


def ensure_cookie(path: str, random: Randomness) -> Cookie:
    """The cookie at *path*, made (mode 0640) when there is none. For the listening side."""
    try:
        if not os.path.lexists(path):
            write_private(path, random.randbytes(COOKIE_LENGTH), COOKIE_MODE)
    except OSError as error:
        raise CookieError(f"{path}: {error.strerror}") from None
    return load_cookie(path)
