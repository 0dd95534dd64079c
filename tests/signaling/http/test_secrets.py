"""No token, no path of a resource and no ICE password is shown: one long life, watched."""

from __future__ import annotations

import gc
import os

from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.http.access import Access, Tokens
from tests.secrets import Secrets
from tests.signaling.http.browser import Street
from tests.signaling.http.kit import SESSION, fragment, sdp

TOKEN = "the-token-of-this-very-session"
WRONG = "what-somebody-tried-as-a-token"


class SecretTests(SynchronousTestCase):
    """A whole daemon."""

    def setUp(self) -> None:
        self.log: list[str] = []
        self.secrets = Secrets()
        self.secrets.learn("token", TOKEN, WRONG)
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)
        street = self.street = Street()
        self.addCleanup(street.end)
        path = os.path.abspath(self.mktemp())
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{SESSION} {TOKEN}\n")
        frontage = street.gate._frontage
        assert frontage is not None
        frontage._doorway.access = Access(Tokens.load(path), ["https://a.example"])
        street.browser.client.headers["Authorization"] = f"Bearer {TOKEN}"
        connection = street.session.connection
        connection.addEventListener("signalingstatechange", lambda _: self.learn())

    def note(self, event: LogEvent) -> None:
        """The line, and every field."""
        self.log.append(eventAsText(event))
        self.log.extend(f"{key}={value!r}" for key, value in event.items())

    def learn(self) -> None:
        """What the descriptions hold at this moment, and where the resource is."""
        connection = self.street.session.connection
        for description in (connection.localDescription, connection.remoteDescription):
            if description is not None:
                self.secrets.learn_passwords(description.sdp)

    def live(self) -> None:
        """Good requests and bad ones."""
        street, client = self.street, self.street.browser.client
        street.connect()
        place = street.browser.place
        self.secrets.learn("resource", place.rpartition("/")[2])
        self.learn()
        street.browser.restart()
        street.operate()
        street.live(3.0)
        for headers in ({"Authorization": f"Bearer {WRONG}"}, {"Origin": f"https://{WRONG}"}):
            client.ask("POST", f"/sessions/{SESSION}", sdp(), **headers)
        for method in ("GET", "HEAD", "PUT", "BREW"):
            client.ask(method, place)
            client.ask(method, f"{place}/{WRONG}")
        client.patch(place, "a=x\r\n")
        client.patch(place, fragment("client9").replace("a=mid:0", "a=mid:7"))
        client.post(sdp().replace("a=fingerprint", "a=nothing"))
        client.connect().send(f"GET {place} {TOKEN}\r\n\r\n".encode())
        client.connect().send(f"GET {place} HTTP/1.1\r\nAuthorization: {TOKEN}\r\n".encode())
        street.advance(20.0)

    def test_nothing_shows_a_secret(self) -> None:
        self.live()
        supervisor = self.street.gate.supervisor
        shown = [*self.log, *map(str, self.street.events), supervisor.metrics()]
        shown += [str(supervisor.status()), *map(str, supervisor.show(SESSION))]
        for each in gc.get_objects():
            if str(type(each).__module__).startswith("refreeze.signaling.http"):
                shown.append(repr(each))
        self.assertEqual(self.secrets.kinds(), {"token", "resource", "ice-pwd"})
        self.assertGreater(len(shown), 50)
        self.assertEqual([found for text in shown for found in self.secrets.found(text)], [])
        self.assertEqual(self.flushLoggedErrors(), [])
