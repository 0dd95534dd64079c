"""Hub and link on the real reactor: one UNIX socket, one loopback TCP port."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from random import SystemRandom
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from refreeze.signaling import Hub, HubLink, check_hub_endpoint, client_endpoint, hub_listener
from refreeze.signaling.access import CookieAccess, SocketAccess
from refreeze.signaling.cookie import Cookie, ensure_cookie, load_cookie
from refreeze.signaling.envelope import Envelope
from refreeze.signaling.places import HubPlace, LoopbackPlace
from tests.signaling.test_link import offer


@define(eq=False)
class Waiter:
    """Fires with the first envelope, and when the peer is there."""

    online: Deferred[None] = field(factory=Deferred)
    envelope: Deferred[Envelope] = field(factory=Deferred)

    def envelope_received(self, envelope: Envelope) -> None:
        self.envelope.callback(envelope)

    def peer_presence(self, peer: str, online: bool) -> None:
        if online:
            self.online.callback(None)

    def signaling_state(self, up: bool) -> None:
        return


class RealTests(TestCase):
    timeout = 20

    def hub(self, place: HubPlace, cookie: CookieAccess | None = None) -> Hub:
        clock: Any = reactor
        hub = Hub([hub_listener(reactor, place, socket=SocketAccess(), cookie=cookie)], clock)
        hub.startService()
        self.addCleanup(hub.stopService)
        return hub

    def link(self, name: str, place: HubPlace, cookie: Cookie | None = None) -> HubLink:
        clock: Any = reactor
        endpoint = client_endpoint(reactor, place)
        link = HubLink(
            endpoint=endpoint, name=name, clock=clock, random=SystemRandom(), cookie=cookie
        )
        link.startService()
        self.addCleanup(link.stopService)
        return link

    async def exchange(self, alice: HubLink, bob: HubLink) -> None:
        here, there = Waiter(), Waiter()
        carrier = alice.attach("demo", "bob", here)
        bob.attach("demo", "alice", there)
        await here.online
        self.assertTrue(carrier.send(offer()))
        self.assertEqual(await there.envelope, offer())

    async def test_an_offer_over_a_unix_socket_where_a_killed_daemon_left_its_own(self) -> None:
        # trial's own directories are too deep for a socket's name
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "hub.sock")
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(path)
        place = check_hub_endpoint(f"unix:{path}")
        self.hub(place)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        await self.exchange(self.link("alice", place), self.link("bob", place))

    async def test_an_offer_over_loopback_tcp_with_a_cookie(self) -> None:
        path, random = self.mktemp(), SystemRandom()
        access = CookieAccess(ensure_cookie(path, random), random)
        hub = self.hub(check_hub_endpoint("tcp:127.0.0.1:0"), access)
        address = hub.ports[0].getHost()
        assert isinstance(address, IPv4Address)
        place = LoopbackPlace(address.host, address.port)
        cookie = load_cookie(path)
        await self.exchange(self.link("alice", place, cookie), self.link("bob", place, cookie))
