"""Who may ask: long-term credentials as a server checks them (RFC 8489 section 9.2.4)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hmac import digest
from typing import Final

from attrs import define, field, frozen

from refreeze.basics import Randomness
from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    PasswordAlgorithm,
    SecurityFeature,
    cookie_of,
    encode_algorithms,
    long_term_key,
    user_hash,
)
from refreeze.testing.reactor import WALL_BEGIN
from refreeze.testing.servers.answers import Attributes, Refused

OFFERED: Final = (PasswordAlgorithm.SHA256, PasswordAlgorithm.MD5)


@frozen
class Visitor:
    """Who signed a request, and with what the answer is signed."""

    username: str
    key: IntegrityKey


@define(eq=False, repr=False, kw_only=True)
class Gate:
    """I know the users, and the one nonce that is good now.

    With *sha256* I offer PASSWORD-ALGORITHMS, and the nonce says so; with *anonymous* it also
    says that I understand USERHASH. *secret* is the one of time-limited credentials, whose names
    begin with the Unix time at which they end, and a colon.
    """

    realm: str
    users: Mapping[str, str]
    secret: str | None
    sha256: bool
    anonymous: bool
    nonce_seconds: float
    random: Randomness
    _nonce: str = field(default="", init=False)
    _nonce_until: float = field(default=0.0, init=False)

    def nonce(self, now: float) -> str:
        """The nonce of the moment."""
        if now >= self._nonce_until:
            features = SecurityFeature.NONE
            if self.sha256:
                features |= SecurityFeature.PASSWORD_ALGORITHMS
            if self.anonymous:
                features |= SecurityFeature.USERNAME_ANONYMITY
            cookie = cookie_of(features) if features else ""
            self._nonce = cookie + self.random.randbytes(8).hex()
            self._nonce_until = now + self.nonce_seconds
        return self._nonce

    def expire(self) -> None:
        """The nonce that clients have is stale."""
        self._nonce_until = 0.0

    def challenge(self, now: float) -> Attributes:
        """REALM and NONCE, and the algorithms where they are offered."""
        nonce = self.nonce(now)
        said = [(int(Attribute.REALM), self.realm.encode())]
        said.append((Attribute.NONCE, nonce.encode()))
        if self.sha256:
            said.append((Attribute.PASSWORD_ALGORITHMS, encode_algorithms(OFFERED)))
        return said

    def admit(self, message: Message, now: float) -> Visitor:
        """Who signed *message*; Refused when nobody did who may."""
        if not message.has_integrity and not message.has_integrity_sha256:
            raise Refused(401, challenge=True)
        if message.realm is None or message.nonce is None:
            raise Refused(400)
        algorithm = self._algorithm(message)
        username = self._username(message)
        password = None if username is None else self._password(username, now)
        if username is None or password is None or message.realm != self.realm:
            raise Refused(401, challenge=True)
        key = self._key(username, password, algorithm)
        if not message.verify(key):
            raise Refused(401, challenge=True)
        if message.nonce != self.nonce(now):
            raise Refused(438, challenge=True)
        return Visitor(username, key)

    def _username(self, message: Message) -> str | None:
        """RFC 8489 section 9.2.4: one of USERNAME and USERHASH."""
        hashed = message.attribute(Attribute.USERHASH)
        if hashed is None:
            if message.username is None:
                raise Refused(400)
            return message.username
        return next((name for name in self.users if user_hash(name, self.realm) == hashed), None)

    def _algorithm(self, message: Message) -> PasswordAlgorithm | None:
        """What the client chose of what I offered; None: it says nothing of any.

        A list that is not mine was changed on the way (RFC 8489 section 9.2.4).
        """
        offered = message.attribute(Attribute.PASSWORD_ALGORITHMS)
        chosen = message.attribute(Attribute.PASSWORD_ALGORITHM)
        if not self.sha256 or (offered is None and chosen is None):
            return None
        if chosen is None or offered != encode_algorithms(OFFERED):
            raise Refused(400)
        algorithm = next((each for each in OFFERED if encode_algorithms((each,)) == chosen), None)
        if algorithm is None:
            raise Refused(400)
        return algorithm

    def _password(self, username: str, now: float) -> str | None:
        if self.secret is None:
            return self.users.get(username)
        until = username.partition(":")[0]
        if not until.isdecimal() or int(until) <= WALL_BEGIN + now:
            return None
        return b64encode(digest(self.secret.encode(), username.encode(), "sha1")).decode()

    def _key(
        self, username: str, password: str, algorithm: PasswordAlgorithm | None
    ) -> IntegrityKey:
        """With an algorithm chosen, every message has MESSAGE-INTEGRITY-SHA256."""
        sha256 = algorithm is PasswordAlgorithm.SHA256
        key = long_term_key(username, self.realm, password, sha256=sha256)
        return key if algorithm is None else IntegrityKey(key.key, sha256=True)
