"""What a daemon may be called, and how its certificate says so."""

from __future__ import annotations

import re
from typing import Final, TypeGuard

SCHEME: Final = "refreeze:"
"""A certificate names a daemon by a URI in its subjectAltName, ``refreeze:NAME``.

A DNS name could not hold every name that a daemon may have, and would mix them up with hosts.
"""

CONTROL_SCHEME: Final = "refreeze-control:"
"""An operator's certificate names role and holder, ``refreeze-control:ROLE/NAME``."""

ROLES: Final = ("observer", "operator", "admin")

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63}")
"""Of a daemon, or a session."""


def is_name(value: object) -> TypeGuard[str]:
    """Whether *value* can name a daemon or a session."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def name_uri(name: str) -> str:
    """The URI for the daemon *name*; every character of a name may stand in it as it is."""
    return SCHEME + name


def name_of_uri(uri: str) -> str | None:
    """The daemon that *uri* names; None when it names none."""
    name = uri.removeprefix(SCHEME)
    return name if name != uri and is_name(name) else None


def control_uri(name: str, role: str) -> str:
    """The URI that gives *name* a role on control ports."""
    return f"{CONTROL_SCHEME}{role}/{name}"


def control_of_uri(uri: str) -> tuple[str, str] | None:
    """(role, name) that *uri* gives; None when it gives none."""
    rest = uri.removeprefix(CONTROL_SCHEME)
    role, slash, name = rest.partition("/")
    good = rest != uri and slash and role in ROLES and is_name(name)
    return (role, name) if good else None
