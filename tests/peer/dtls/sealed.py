"""Records under the true keys that no OpenSSL would make: what a peer with bad manners sends.

TLS 1.2's key derivation and AES-128-GCM (RFC 5246 sections 5 and 6.3, RFC 5288 section 3).
"""

from __future__ import annotations

import hmac
from itertools import count

from attrs import define, field
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

from refreeze.peer.dtls import Association

_KEY, _SALT = 16, 4


@define(eq=False, repr=False)
class Sealer:
    """Speaks with the keys of a connected association, of a suite with AES-128-GCM and SHA-256."""

    association: Association
    client: bool | None = field(default=None, kw_only=True)
    """Whose keys; None: its own, which its peer can read."""
    _key: bytes = field(init=False)
    _salt: bytes = field(init=False)
    _numbers: count[int] = field(factory=lambda: count(40), init=False)
    """Within the window of what the association itself sends."""

    def __attrs_post_init__(self) -> None:
        assert "AES128-GCM-SHA256" in (self.association.cipher or "")
        connection = self.association._connection
        block = _key_block(connection)
        client = self.association.client if self.client is None else self.client
        at = 0 if client else 1
        self._key = block[at * _KEY : (at + 1) * _KEY]
        salts = block[2 * _KEY :]
        self._salt = salts[at * _SALT : (at + 1) * _SALT]

    def record(self, kind: int, body: bytes) -> bytes:
        """One record of epoch 1."""
        number = b"\x00\x01" + next(self._numbers).to_bytes(6, "big")
        about = number + bytes([kind]) + b"\xfe\xfd" + len(body).to_bytes(2, "big")
        sealed = number + AESGCM(self._key).encrypt(self._salt + number, body, about)
        return bytes([kind]) + b"\xfe\xfd" + number + len(sealed).to_bytes(2, "big") + sealed


def _key_block(connection: SSL.Connection) -> bytes:
    client, server = connection.client_random(), connection.server_random()
    secret = connection.master_key()
    if secret is None or client is None or server is None:
        raise AssertionError("there are no keys before the handshake is over")
    seed = b"key expansion" + server + client
    block, chain = b"", seed
    while len(block) < 2 * (_KEY + _SALT):
        chain = hmac.digest(secret, chain, "sha256")
        block += hmac.digest(secret, chain + seed, "sha256")
    return block
