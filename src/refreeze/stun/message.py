"""A message that parsed (RFC 8489 section 5): its attributes are read when asked for."""

from __future__ import annotations

from contextlib import suppress
from hmac import compare_digest
from struct import Struct
from typing import Final

from attrs import define

from refreeze.basics import Address
from refreeze.stun import attributes as values
from refreeze.stun.attributes import Attribute
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import IntegrityKey
from refreeze.stun.message_type import MessageClass
from refreeze.stun.security import decode_algorithms
from refreeze.stun.shapes import learn

_HEAD: Final = Struct("!HH")
_U16: Final = Struct("!H")
_U32: Final = Struct("!I")
_U64: Final = Struct("!Q")
# Plain ints: a member of an IntEnum is slow to hash and to compare.
_USERNAME: Final = int(Attribute.USERNAME)
_PRIORITY: Final = int(Attribute.PRIORITY)
_USE_CANDIDATE: Final = int(Attribute.USE_CANDIDATE)
_CONTROLLING: Final = int(Attribute.ICE_CONTROLLING)
_CONTROLLED: Final = int(Attribute.ICE_CONTROLLED)
_XOR_MAPPED: Final = int(Attribute.XOR_MAPPED_ADDRESS)
_XOR_PEER: Final = int(Attribute.XOR_PEER_ADDRESS)
_DATA: Final = int(Attribute.DATA)
_INTEGRITY: Final = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)


@define(eq=False, repr=False)
class Message:
    """A message that parsed: every value that a property decodes was found well-formed.

    ``unknown_required`` are the comprehension-required types that nobody here knows, each once,
    in order: a request that has any is answered with 420 (RFC 8489 section 6.3.1). ``_places``
    maps a type to the offset of its first attribute; what follows the integrity is not in it.
    """

    method: int
    message_class: MessageClass
    transaction_id: bytes
    raw: bytes
    _places: dict[int, int]
    unknown_required: tuple[int, ...]
    _new_shape: bool

    def __repr__(self) -> str:
        return f"<Message method={self.method} {self.message_class.name} {len(self.raw)} bytes>"

    def attribute(self, kind: int) -> bytes | None:
        """The value of the first attribute of that type."""
        at = self._places.get(kind)
        if at is None:
            return None
        raw = self.raw
        return raw[at + 4 : at + 4 + (raw[at + 2] << 8 | raw[at + 3])]

    def attributes(self, kind: int) -> tuple[bytes, ...]:
        """The values of all attributes of that type, in order, none from behind the signature.

        Parsing looked at the first value only: the others may be malformed.
        """
        raw, at, found = self.raw, 20, []
        end = min(self._places.get(each, len(raw)) for each in (_INTEGRITY, _INTEGRITY_SHA256))
        while kind in self._places and at < end:
            each, length = _HEAD.unpack_from(raw, at)
            if each == kind:
                found.append(raw[at + 4 : at + 4 + length])
            at += 4 + (length + 3 & ~3)
        return tuple(found)

    def _text(self, kind: int) -> str | None:
        value = self.attribute(kind)
        return None if value is None else value.decode()

    def _number(self, kind: int, layout: Struct) -> int | None:
        at = self._places.get(kind)
        if at is None:
            return None
        number: int = layout.unpack_from(self.raw, at + 4)[0]
        return number

    @property
    def username(self) -> str | None:
        """In a check: the receiver's ufrag, a colon, the sender's (RFC 8445 section 7.2.2)."""
        return self._text(_USERNAME)

    @property
    def realm(self) -> str | None:
        return self._text(Attribute.REALM)

    @property
    def nonce(self) -> str | None:
        return self._text(Attribute.NONCE)

    @property
    def software(self) -> str | None:
        return self._text(Attribute.SOFTWARE)

    @property
    def priority(self) -> int | None:
        """The priority that a peer-reflexive candidate found by this check would have."""
        return self._number(_PRIORITY, _U32)

    @property
    def use_candidate(self) -> bool:
        return _USE_CANDIDATE in self._places

    @property
    def ice_controlling(self) -> int | None:
        """The sender's tie-breaker, when it is (or believes to be) controlling."""
        return self._number(_CONTROLLING, _U64)

    @property
    def ice_controlled(self) -> int | None:
        """The sender's tie-breaker, when it is (or believes to be) controlled."""
        return self._number(_CONTROLLED, _U64)

    @property
    def xor_mapped_address(self) -> Address | None:
        value = self.attribute(_XOR_MAPPED)
        if value is None:
            return None
        return values.decode_xor_address(value, self.transaction_id)

    @property
    def mapped_address(self) -> Address | None:
        return self._address(Attribute.MAPPED_ADDRESS)

    def _address(self, kind: int) -> Address | None:
        value = self.attribute(kind)
        return None if value is None else values.decode_address(value)

    def _xor_addresses(self, kind: int) -> tuple[Address, ...]:
        """Those that are well-formed."""
        found = []
        for value in self.attributes(kind):
            with suppress(StunError):
                found.append(values.decode_xor_address(value, self.transaction_id))
        return tuple(found)

    @property
    def xor_relayed_addresses(self) -> tuple[Address, ...]:
        """One, or one of each family (RFC 8656 section 7.3)."""
        return self._xor_addresses(Attribute.XOR_RELAYED_ADDRESS)

    @property
    def xor_peer_address(self) -> Address | None:
        value = self.attribute(_XOR_PEER)
        if value is None:
            return None
        return values.decode_xor_address(value, self.transaction_id)

    @property
    def xor_peer_addresses(self) -> tuple[Address, ...]:
        """A CreatePermission request may name several peers (RFC 8656 section 10.1)."""
        return self._xor_addresses(_XOR_PEER)

    @property
    def alternate_server(self) -> Address | None:
        """Where a 300 sends us (RFC 8489 section 14.15)."""
        return self._address(Attribute.ALTERNATE_SERVER)

    @property
    def alternate_domain(self) -> str | None:
        """The name that the alternate server's certificate must have (RFC 8489 section 14.16)."""
        return self._text(Attribute.ALTERNATE_DOMAIN)

    @property
    def other_address(self) -> Address | None:
        """The server's other address and port (RFC 5780 section 7.4)."""
        return self._address(Attribute.OTHER_ADDRESS)

    @property
    def response_origin(self) -> Address | None:
        """Where the response was sent from (RFC 5780 section 7.3)."""
        return self._address(Attribute.RESPONSE_ORIGIN)

    @property
    def lifetime(self) -> int | None:
        """Seconds, 0..2^32 - 1 (RFC 8656 section 18.2)."""
        return self._number(Attribute.LIFETIME, _U32)

    @property
    def channel_number(self) -> int | None:
        """Any 16 bits: whether it is a channel's is not looked at (RFC 8656 section 18.1)."""
        return self._number(Attribute.CHANNEL_NUMBER, _U16)

    @property
    def data(self) -> bytes | None:
        """What a peer sent, or shall get (RFC 8656 section 18.4)."""
        return self.attribute(_DATA)

    @property
    def password_algorithms(self) -> tuple[int, ...] | None:
        """The numbers that the server offers, the best first; None when it does not say."""
        value = self.attribute(Attribute.PASSWORD_ALGORITHMS)
        return None if value is None else decode_algorithms(value)

    @property
    def address_error(self) -> tuple[int, int, str] | None:
        """Version of IP, code and phrase: why one of two addresses is missing (RFC 8656 18.12)."""
        value = self.attribute(Attribute.ADDRESS_ERROR_CODE)
        return None if value is None else values.decode_address_error(value)

    @property
    def error_code(self) -> tuple[int, str] | None:
        """Code and reason phrase."""
        value = self.attribute(Attribute.ERROR_CODE)
        return None if value is None else values.decode_error_code(value)

    @property
    def unknown_attributes(self) -> tuple[int, ...]:
        """What the sender of a 420 did not know; empty when it does not say."""
        value = self.attribute(Attribute.UNKNOWN_ATTRIBUTES)
        return () if value is None else values.decode_types(value)

    @property
    def has_integrity(self) -> bool:
        return _INTEGRITY in self._places

    @property
    def has_integrity_sha256(self) -> bool:
        return _INTEGRITY_SHA256 in self._places

    @property
    def has_fingerprint(self) -> bool:
        """Whether there is one; parsing verified it."""
        return _FINGERPRINT in self._places

    def verify(self, key: IntegrityKey) -> bool:
        """Whether the message is signed with *key*, and every signature in it is right.

        False without any. A key that wants SHA-256 is not content with SHA-1 alone: nobody on
        the path can bid us down. Takes the same time wherever a wrong signature differs.
        """
        places = self._places
        at = places.get(_INTEGRITY)
        if at is None or _INTEGRITY_SHA256 in places or key.sha256:
            return self._verify_sha256(key) and (at is None or self._verify_sha1(key, at))
        right = self._verify_sha1(key, at)
        if right and self._new_shape:
            learn(self.raw, (self.method, self.message_class), places, self.unknown_required)
            self._new_shape = False
        return right

    def _verify_sha1(self, key: IntegrityKey, at: int) -> bool:
        """The length that was signed ended with the signature (RFC 8489 section 14.5)."""
        raw = self.raw
        signed = raw[:2] + (at + 4).to_bytes(2, "big") + raw[4:at]
        return compare_digest(key.sign(signed), raw[at + 4 : at + 24])

    def _verify_sha256(self, key: IntegrityKey) -> bool:
        at, value = self._places.get(_INTEGRITY_SHA256), self.attribute(_INTEGRITY_SHA256)
        if at is None or value is None:
            return False
        signed = self.raw[:2] + (at - 16 + len(value)).to_bytes(2, "big") + self.raw[4:at]
        return compare_digest(key.sign_sha256(signed)[: len(value)], value)
