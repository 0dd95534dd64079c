"""Who we are to a server: static, or for a limited time."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode

from twisted.trial.unittest import SynchronousTestCase

from refreeze.turn import TurnCredentials, time_limited


class CredentialTests(SynchronousTestCase):
    def test_the_password_is_the_hmac_of_the_name(self) -> None:
        """What coturn's use-auth-secret takes; computed here by other means."""
        made = time_limited("north", "alice", 1_700_000_000)
        self.assertEqual(made.username, "1700000000:alice")
        expected = hmac.new(b"north", b"1700000000:alice", hashlib.sha1).digest()
        self.assertEqual(b64decode(made.password), expected)

    def test_nothing_shows_the_password(self) -> None:
        made = TurnCredentials(username="alice", password="hunter2")
        self.assertNotIn("hunter2", f"{made!r} {made}")
        self.assertIn("alice", repr(made))
