"""ICE credentials: one ufrag and pwd per side and generation (RFC 8445 section 5.3)."""

from __future__ import annotations

from attrs import field, frozen

from refreeze.basics import Randomness

ICE_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
UFRAG_LENGTH = 10
PWD_LENGTH = 24
_ALLOWED = frozenset(ICE_CHARS)


@frozen
class Credentials:
    """A ufrag and its pwd. The pwd is a secret: it is not in the repr, nor may it be logged."""

    ufrag: str
    pwd: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        """Raise ValueError (without the values) for what RFC 8839 section 5.4 does not allow."""
        if not 4 <= len(self.ufrag) <= 256 or not _ALLOWED.issuperset(self.ufrag):
            raise ValueError("ice-ufrag is not 4 to 256 ice-chars")
        if not 22 <= len(self.pwd) <= 256 or not _ALLOWED.issuperset(self.pwd):
            raise ValueError("ice-pwd is not 22 to 256 ice-chars")


def ice_string(random: Randomness, length: int) -> str:
    """*length* ice-chars, six random bits each."""
    bits = random.getrandbits(6 * length)
    return "".join(ICE_CHARS[(bits >> (6 * i)) & 63] for i in range(length))


def new_credentials(random: Randomness) -> Credentials:
    """Fresh credentials: 60 random bits of ufrag (the mux demultiplexes by it), 144 of pwd."""
    return Credentials(ice_string(random, UFRAG_LENGTH), ice_string(random, PWD_LENGTH))
