"""No secret in a log, an event, an answer, a file, an error or a repr: whole daemons, watched."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.protocol import ClientFactory
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, DaemonSettings, load
from refreeze.control.settings import ControlPlaces
from refreeze.net import servers
from refreeze.net.servers import IceServer
from refreeze.signaling import CandidateInit, Envelope, EnvelopeKind, format_envelope
from refreeze.stun import long_term_key
from refreeze.testing import NatSettings
from refreeze.turn import TurnCredentials, time_limited
from tests.secrets import EDGE, Secrets
from tests.signaling.pki import Pki
from tests.simulation.scene import SESSION, Shape, TurnShape
from tests.test_tls_daemons import LONG, TlsScene

DAY = 86400.0
SHARED = "what-the-TURN-server-shares"
ASKED = (
    *("version", "ping", "status", "list", f"show {SESSION}", "stats", "metrics"),
    *(f"history {SESSION}", "get", "help", "doctor"),
)
WRONG = (
    *(f"show {SESSION} {SESSION}", "show nobody", "set no.such=1", "fault x all", "open x", "x"),
    *(f"restart {SESSION} wait=0", "signal {}", "log level=loud"),
)


class Client(LineOnlyReceiver):
    """An operator who asks everything and follows all events that are for everybody."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self.lines: list[str] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line.decode())

    def ask(self, line: str) -> None:
        self.sendLine(line.encode())


class Clients(ClientFactory):
    """Makes one client."""

    noisy = False

    def __init__(self, client: Client) -> None:
        self.client = client

    def buildProtocol(self, addr: Any) -> Client:
        return self.client


class SecretScene(TlsScene):
    """Alice and bob behind NATs, with a TURN server, the hub on TLS, DTLS, and directories."""

    directory: str
    secrets: Secrets

    def _settings(self, name: str) -> DaemonSettings:
        control = ControlPlaces(socket=f"/virtual/{name}.sock")
        state = os.path.join(self.directory, name)
        return evolve(super()._settings(name), control=control, state_dir=state, faults=True)

    def _servers(self) -> dict[str, IceServer]:
        known = super()._servers()
        if known["turn"].secret is not None:
            known["turn"] = evolve(known["turn"], secret=SHARED)
        return known

    def rotate(self, server: Any) -> None:
        if self.shape.turn is not None and self.shape.turn.credentials == "secret":
            server.rotate_credentials(secret=SHARED)
            self.secrets.learn("TURN secret", SHARED)
            return
        self.rotations += 1
        name, password = f"user-{self.rotations}", f"the-{self.rotations}th-TURN-password"
        server.rotate_credentials({name: password})
        Path(self._credential_file).write_text(f"{name}\n{password}\n")
        self.secrets.learn("TURN password", password)
        for sha256 in (False, True):
            key = long_term_key(name, server.realm, password, sha256=sha256)
            self.secrets.learn("TURN key", key.key)


class SecretTests(SynchronousTestCase):
    """One long run with everything in it."""

    def setUp(self) -> None:
        self.secrets = Secrets()
        self.log: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

        self.patch(servers, "time_limited", self.time_limited)
        self.clients: list[Client] = []

    def begin(self, turn: TurnShape) -> None:
        """The scene; everybody is watched."""

        class Here(SecretScene):
            directory = os.path.abspath(self.mktemp())
            secrets = self.secrets
            pki = Pki(self.mktemp(), days=LONG)

        self.directory = Here.directory
        nat = NatSettings()
        self.scene = Here(1, Shape(turn=turn, nat=nat, bob_nat=nat))
        self.addCleanup(self.scene.end)
        for name in ("hub", "alice", "bob"):
            key = os.path.join(Here.pki.directory, f"{name}.key")
            self.secrets.learn_key("TLS key", Path(key).read_bytes())
        for name in ("alice", "bob"):
            self.follow(name)

    def time_limited(self, secret: str, user: str, expires: int) -> TurnCredentials:
        """What is made of a secret is one, too."""
        made = time_limited(secret, user, expires)
        self.secrets.learn("TURN password", made.password)
        return made

    def note(self, event: LogEvent) -> None:
        """The line, and every field: observers of other kinds write them all."""
        self.log.append(eventAsText(event))
        self.log.extend(f"{key}={value!r}" for key, value in event.items())

    # Learning

    def follow(self, name: str) -> None:
        """Learn what a daemon's present life knows, and watch it."""
        session = self.scene.session(name)
        assert session is not None
        self.learn_certificate(name)
        connection = session.connection
        connection.addEventListener("signalingstatechange", lambda _: self.learn(connection))
        self.learn(connection)
        client = self.connect(name)
        self.clients.append(client)
        for line in ("hello 1 format=json", "log level=debug", "watch snapshot"):
            client.ask(line)

    def connect(self, name: str) -> Client:
        """A connection to the control port."""
        client, reactor = Client(), self.scene.world.reactor.on(name)
        reactor.connectUNIX(f"/virtual/{name}.sock", Clients(client))
        self.scene.advance(0.1)
        return client

    def learn(self, connection: Any) -> None:
        """What its descriptions hold."""
        for description in (connection.localDescription, connection.remoteDescription):
            if description is not None:
                self.secrets.learn_passwords(description.sdp)

    def learn_certificate(self, name: str) -> None:
        """Its key, which may be another one by now."""
        certificate = self.scene.running[name].certificate.certificate
        self.secrets.learn_key("DTLS key", certificate.to_pem())

    # What happens

    def restart(self, name: str) -> None:
        """By that side's operator."""
        waiting = self.scene.running[name].supervisor.restart(SESSION, reason="", force=True)
        self.scene.advance(10.0)
        self.assertEqual(self.successResultOf(waiting)["outcome"], "succeeded")

    def live(self) -> None:
        """Several generations, lives, certificates and accounts."""
        scene = self.scene
        scene.flow(20.0)
        for name in ("alice", "bob"):
            self.restart(name)
        scene.kill("bob")
        scene.advance(1.0)
        scene.start("bob")
        self.follow("bob")
        scene.flow(60.0)
        kept = scene.running["alice"].certificate
        wall = kept.wall
        kept.wall = lambda: wall() + 21 * DAY
        self.assertTrue(kept.look())
        self.learn_certificate("alice")
        self.restart("alice")
        assert scene.turn is not None
        scene.rotate(scene.turn)  # no news where there is a shared secret
        for name in ("alice", "bob"):
            running = scene.running[name]
            running.read_settings = lambda running=running: running.settings
            running.supervisor.reload()
        scene.advance(30.0)
        scene.flow(60.0)

    def provoke(self) -> None:
        """Errors about things that have secrets in them."""
        alice, bob = self.scene.session("alice"), self.scene.session("bob")
        assert alice is not None
        assert bob is not None
        sdp = bob.connection.localDescription.sdp
        for number, broken in enumerate(
            (
                sdp.replace("a=ice-pwd:", "a=ice-pwd: "),
                sdp.replace("a=ice-ufrag:", "a=ice-ufrag:/"),
                sdp.replace("a=setup:", "a=setup:no"),
                sdp.replace("a=mid:", "b=mid:"),
                sdp.replace("sha-256 ", "sha-256 x"),
                sdp.replace("\r\n", "\n ") * 2,
            )
        ):
            alice.envelope_received(self.envelope(number, broken, bob))
            self.scene.advance(1.0)
        envelope = format_envelope(self.envelope(99, sdp, bob)).decode().strip()
        for client in self.clients:
            for beginning in ("signal ", "signal envelope=", "signal x ", "signal signal="):
                client.ask(beginning + json.dumps(envelope))
                client.ask(beginning + json.dumps(envelope[:-5]))
        # At the wrong verb it is shown to who sent it, but nowhere else.
        for verb in ("restart", "hold", "show", "open", "close"):
            self.connect("alice").ask(f"{verb} {json.dumps(envelope)}")
        self.scene.advance(1.0)

    def envelope(self, number: int, sdp: str, bob: Any) -> Envelope:
        """An offer of bob's."""
        return Envelope(
            id=f"bad-{number}",
            from_="bob",
            to="alice",
            session=SESSION,
            epoch=bob.conversation.epoch,
            generation=bob.conversation.generation + 1 + number,
            kind=EnvelopeKind.OFFER,
            sdp=sdp,
        )

    def ask_everything(self) -> None:
        """In text and in JSON, right and wrong."""
        for client in self.clients:
            for way in ("json", "text"):
                client.ask(f"hello 1 format={way}")
                for line in (*ASKED, *WRONG):
                    client.ask(line)
                self.scene.advance(10.0)

    # Looking

    def representations(self) -> str:
        """Of every object of ours that there is now: any of them may stand in a log one day."""
        texts = []
        for each in gc.get_objects():
            module = str(type(each).__module__)
            if module.startswith("refreeze.") and not module.startswith("refreeze.testing"):
                with contextlib.suppress(AttributeError):  # not yet made whole
                    texts.append(repr(each))
        return "\n".join(texts)

    def everything(self) -> dict[str, str]:
        """All that was shown, by where it was."""
        return {
            "log": "\n".join(self.log),
            "events": "\n".join(map(str, self.scene.events)),
            "answers": "\n".join(line for each in self.clients for line in each.lines),
            "reprs": self.representations(),
        }

    def look(self, *turn: str) -> None:
        """Live, ask, provoke and ask again; these kinds of secrets were at work, and some more."""
        self.live()
        self.ask_everything()
        self.provoke()
        self.ask_everything()
        self.assertEqual(self.secrets.kinds(), {"ice-pwd", "TLS key", "DTLS key", *turn})
        for where, text in self.everything().items():
            self.assertGreater(len(text), 1000, where)
            self.assertEqual(self.secrets.found(text), [], where)
        self.assertEqual(self.secrets.found_in_files(self.directory, "dtls.pem"), [])

    def test_a_whole_life_shows_none(self) -> None:
        self.begin(TurnShape())
        self.look("TURN password", "TURN key")

    def test_a_life_with_credentials_that_are_made_of_a_secret(self) -> None:
        self.begin(TurnShape(credentials="secret", ttl=60.0))
        self.look("TURN secret", "TURN password")

    def test_what_is_shown_is_found(self) -> None:
        """Or the tests above would find nothing in any case."""
        self.begin(TurnShape())
        alice = self.scene.session("alice")
        assert alice is not None
        self.scene.flow(20.0)
        sdp = alice.connection.localDescription.sdp
        password = sdp.partition("a=ice-pwd:")[2][:EDGE]
        alice._log.debug("planted: {what}", what=password)
        alice.securing.tell("session.dtls", state=password)
        self.clients[0].ask(f'hold nobody for="{password}"')
        careless = CandidateInit(candidate=password)
        self.scene.advance(1.0)
        for where, text in self.everything().items():
            self.assertNotEqual(self.secrets.found(text), [], where)
        self.assertEqual(careless.candidate, password)
        self.assertNotEqual(self.secrets.found_in_files(self.directory), [])  # dtls.pem


class ConfigurationTests(SynchronousTestCase):
    """A file with a secret in the wrong place: the error says where, and not what."""

    SECRET = "s3cr3t/of-the+server"

    def refused(self, *lines: str) -> None:
        text = "\n".join(('name = "alice"', "[servers.home]", *lines))
        path = self.mktemp()
        Path(path).write_text(text.replace("SECRET", self.SECRET))
        error = self.assertRaises(ConfigError, load, path)
        secrets = Secrets()
        secrets.learn("secret", self.SECRET)
        self.assertEqual(secrets.found(f"{error} {error!r}"), [])
        self.assertIn("home", str(error))

    def test_values_of_wrong_types_and_in_wrong_places(self) -> None:
        turn = 'urls = ["turn:turn.example"]'
        self.refused(turn, 'username = "a"', 'credential = ["SECRET"]')
        self.refused(turn, 'credential = "SECRET"')
        self.refused(turn, 'credential = "SECRET"', 'secret = "SECRET"')
        self.refused(turn, 'password = "SECRET"')
        self.refused('urls = ["stun:stun.example"]', 'secret = "SECRET"')
        self.refused('urls = ["turn:alice:SECRET@turn.example"]')
        self.refused(turn, 'secret = { value = "SECRET" }')
        self.refused(turn, 'secret = "SECRET"', "ttl = 1")
        self.refused(turn, 'secret_file = "SECRET\\n"')
