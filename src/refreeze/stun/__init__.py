"""STUN (RFC 8489): codec, integrity, and the retransmission schedule. Sans-IO."""

from refreeze.stun.attributes import Attribute
from refreeze.stun.behavior import (
    FilteringBehavior,
    FilteringProbe,
    MappingBehavior,
    MappingProbe,
)
from refreeze.stun.builder import MessageBuilder, encode_error
from refreeze.stun.codec import is_stun, parse
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import IntegrityKey, long_term_key, short_term_key
from refreeze.stun.message import Message
from refreeze.stun.message_type import MessageClass, Method
from refreeze.stun.retransmission import (
    MIN_RTO,
    RetransmissionSchedule,
    check_rto,
    gathering_rto,
)
from refreeze.stun.security import (
    PasswordAlgorithm,
    SecurityFeature,
    cookie_of,
    encode_algorithms,
    nonce_features,
    user_hash,
)
from refreeze.stun.templates import RequestTemplate, encode_indication, encode_success
from refreeze.stun.transaction import ClientTransaction

__all__ = [
    "MIN_RTO",
    "Attribute",
    "ClientTransaction",
    "FilteringBehavior",
    "FilteringProbe",
    "IntegrityKey",
    "MappingBehavior",
    "MappingProbe",
    "Message",
    "MessageBuilder",
    "MessageClass",
    "Method",
    "PasswordAlgorithm",
    "RequestTemplate",
    "RetransmissionSchedule",
    "SecurityFeature",
    "StunError",
    "check_rto",
    "cookie_of",
    "encode_algorithms",
    "encode_error",
    "encode_indication",
    "encode_success",
    "gathering_rto",
    "is_stun",
    "long_term_key",
    "nonce_features",
    "parse",
    "short_term_key",
    "user_hash",
]
