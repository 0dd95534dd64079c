"""What must not be shown, in every form in which it could be, and who looks for it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

EDGE = 16
"""So many characters at either end of a form are found alone, too: a log may cut its lines."""


def forms(secret: str | bytes) -> set[str]:
    """A secret as text, as hex, in base64, as Python and JSON write it."""
    raw = secret.encode() if isinstance(secret, str) else secret
    encoded = base64.b64encode(raw).decode().rstrip("=")
    found = {raw.hex(), raw.hex().upper(), raw.hex(":"), encoded, repr(raw)[2:-1]}
    found |= {raw.decode("latin-1"), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    if isinstance(secret, str):
        found |= {secret, json.dumps(secret)[1:-1]}
    return found


@define(eq=False, repr=False)
class Secrets:
    """I learn secrets by the name of what they are, and find them in text."""

    _needles: dict[str, str] = field(factory=dict, init=False)
    """What a secret is, by what to look for."""

    def learn(self, what: str, *secrets: str | bytes) -> None:
        """Each of at least eight characters: shorter ones are everywhere."""
        for secret in secrets:
            assert len(secret) >= 8, what
            for form in forms(secret):
                self._needles[form[:EDGE]] = self._needles[form[-EDGE:]] = what

    def learn_key(self, what: str, pem: bytes) -> None:
        """A private key in PEM: its lines, and its number."""
        key = load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value
        self.learn(what, str(number), number.to_bytes(32, "big"))
        body = pem.split(b"-----BEGIN PRIVATE KEY-----\n")[1].split(b"\n-----END")[0]
        self.learn(what, *body.decode().splitlines())

    def learn_passwords(self, sdp: str) -> None:
        """Those of one description."""
        for line in sdp.splitlines():
            if line.startswith("a=ice-pwd:"):
                self.learn("ice-pwd", line.removeprefix("a=ice-pwd:"))

    def kinds(self) -> set[str]:
        """What was learnt."""
        return set(self._needles.values())

    def count(self) -> int:
        """How many texts are looked for."""
        return len(self._needles)

    def found(self, text: str) -> list[str]:
        """What of it is in *text*, with the text around it."""
        return [
            f"{what}: {text[max(0, at - 100) : at + 60]!r}"
            for needle, what in self._needles.items()
            if (at := text.find(needle)) >= 0
        ]

    def found_in_files(self, directory: str, *spare: str) -> list[str]:
        """The same for all files below *directory* but those with a name of *spare*."""
        return [
            f"{path}: {each}"
            for path in sorted(Path(directory).rglob("*"))
            if path.is_file() and path.name not in spare
            for each in self.found(path.read_bytes().decode("latin-1"))
        ]
