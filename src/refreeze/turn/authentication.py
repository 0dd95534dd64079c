"""Long-term credentials: challenges, keys, and what is never done twice (RFC 8489 section 9.2)."""

from __future__ import annotations

from typing import Final
from unicodedata import category, normalize

from attrs import define, field

from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    MessageBuilder,
    PasswordAlgorithm,
    SecurityFeature,
    encode_algorithms,
    long_term_key,
    nonce_features,
    user_hash,
)
from refreeze.turn.credentials import TurnCredentials

LONGEST: Final = 128
"""Letters of a REALM and of a NONCE (RFC 8489 sections 14.9 and 14.10)."""

STALE_NONCE: Final = 438
_SUPPORTED: Final = frozenset(map(int, PasswordAlgorithm))


def opaque_string(text: str) -> str:
    """*text* as it is hashed: every space is an ASCII one, letters are composed (RFC 8265 section
    4.2.2). What that RFC forbids is the server's to refuse.
    """
    if text.isascii():
        return text
    return normalize("NFC", "".join(" " if category(each) == "Zs" else each for each in text))


@define(eq=False, repr=False)
class Authenticator:
    """I know what one server wants to be told, and sign with it.

    I start without anything: the first request is unsigned. Once a server offered password
    algorithms I never go back to less.
    """

    _credentials: TurnCredentials
    key: IntegrityKey | None = field(init=False, default=None)
    """What requests are signed with; None before the first challenge."""
    _realm: str = field(init=False, default="")
    _nonce: str = field(init=False, default="")
    _anonymous: bool = field(init=False, default=False)
    _offered: bytes | None = field(init=False, default=None)
    """PASSWORD-ALGORITHMS as it came: it is sent back, so that nobody can have changed it."""
    _algorithm: int | None = field(init=False, default=None)

    def challenged(self, message: Message, code: int, used: IntegrityKey | None) -> str | None:
        """A 401 or 438 answered a request that was signed with *used*.

        None when the request may be made again, else a slug: why it must not.
        """
        realm, nonce = message.realm, message.nonce
        if realm is None and code == STALE_NONCE and self.key is not None:
            realm = self._realm
        if realm is None or nonce is None or len(realm) > LONGEST or len(nonce) > LONGEST:
            return "bad-challenge"
        features, offered = nonce_features(nonce), message.password_algorithms
        algorithm = None
        if offered is None:
            if SecurityFeature.PASSWORD_ALGORITHMS in features or self._algorithm is not None:
                return "bid-down"
        else:
            algorithm = next((each for each in offered if each in _SUPPORTED), None)
            if algorithm is None:
                return "no-password-algorithm"
        same = (realm, algorithm) == (self._realm, self._algorithm)
        if code != STALE_NONCE and used is not None and used is self.key and same:
            return "unauthorized"
        self._nonce = nonce
        self._anonymous = SecurityFeature.USERNAME_ANONYMITY in features
        self._offered = message.attribute(Attribute.PASSWORD_ALGORITHMS)
        if self.key is None or not same:
            self._realm, self._algorithm = realm, algorithm
            self.key = self._make_key()
        return None

    def _make_key(self) -> IntegrityKey:
        """With PASSWORD-ALGORITHMS only SHA-256 signs, whatever makes the key (section 9.2.5)."""
        key = long_term_key(
            self._credentials.username,
            opaque_string(self._realm),
            opaque_string(self._credentials.password),
            sha256=self._algorithm == PasswordAlgorithm.SHA256,
        )
        return IntegrityKey(key.key, sha256=self._algorithm is not None)

    def introduce(self, builder: MessageBuilder) -> None:
        """Add who we are; nothing before the first challenge."""
        if self.key is None:
            return
        if self._anonymous:
            name = user_hash(self._credentials.username, self._realm)
            builder.add(Attribute.USERHASH, name)
        else:
            builder.add(Attribute.USERNAME, self._credentials.username.encode())
        builder.add(Attribute.REALM, self._realm.encode())
        builder.add(Attribute.NONCE, self._nonce.encode())
        if self._offered is not None and self._algorithm is not None:
            builder.add(Attribute.PASSWORD_ALGORITHMS, self._offered)
            builder.add(Attribute.PASSWORD_ALGORITHM, encode_algorithms([self._algorithm]))
