"""STUN (RFC 8489): codec, integrity, and the retransmission schedule. Sans-IO."""

from refreeze.stun.attributes import Attribute
from refreeze.stun.codec import (
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    encode_error,
    is_stun,
    parse,
)
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import IntegrityKey, long_term_key, short_term_key
from refreeze.stun.retransmission import RetransmissionSchedule
from refreeze.stun.templates import RequestTemplate, encode_indication, encode_success

__all__ = [
    "Attribute",
    "IntegrityKey",
    "Message",
    "MessageBuilder",
    "MessageClass",
    "Method",
    "RequestTemplate",
    "RetransmissionSchedule",
    "StunError",
    "encode_error",
    "encode_indication",
    "encode_success",
    "is_stun",
    "long_term_key",
    "parse",
    "short_term_key",
]
