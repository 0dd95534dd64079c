"""A user's name and password, static or made of a secret for a limited time."""

from __future__ import annotations

from base64 import b64encode
from hmac import digest

from attrs import field, frozen


@frozen(kw_only=True)
class TurnCredentials:
    """Long-term credentials (RFC 8489 section 9.2); nothing shows the password."""

    username: str
    password: str = field(repr=False)


def time_limited(secret: str, user: str, expires: int) -> TurnCredentials:
    """What a server that shares *secret* takes until *expires* (seconds since 1970).

    The form of coturn's ``use-auth-secret``: the name is ``EXPIRES:USER``, the password the
    base64 of the name's HMAC-SHA1.
    """
    username = f"{expires}:{user}"
    password = b64encode(digest(secret.encode(), username.encode(), "sha1")).decode()
    return TurnCredentials(username=username, password=password)
