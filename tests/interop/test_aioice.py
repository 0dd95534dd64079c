"""aioice 0.13 at the other end of the ICE run."""

from __future__ import annotations

import itertools
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from refreeze.ice import IceRole
from tests.interop.ours import Credentials, Ours, local
from tests.interop.peers import Peer, aioice_peer

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@define(eq=False)
class Duo:
    """Our side and one aioice connection."""

    peer: Peer
    ours: Ours
    host: str
    name: str = "first"

    async def open(self, *, controlling: bool, name: str) -> Credentials:
        """A new aioice connection, which is another generation for us."""
        self.name = name
        made = await self.peer.ask("open", c=name, controlling=controlling, hosts=[self.host])
        return Credentials(made["ufrag"], made["pwd"], made["candidates"])

    async def give(self, own: Credentials, *, trickle: bool = False) -> None:
        """What is ours to aioice, and let it begin before or after it has the candidates."""
        await self.peer.ask("remote", c=self.name, ufrag=own.ufrag, pwd=own.pwd)
        if trickle:
            await self.peer.ask("connect", c=self.name)
        for line in [*own.candidates, None]:
            await self.peer.ask("candidate", c=self.name, candidate=line)
        if not trickle:
            await self.peer.ask("connect", c=self.name)

    async def we_offer(self, name: str, *, restart: bool = False, trickle: bool = False) -> None:
        """A whole round in which we offer: aioice is controlled at first."""
        own = local(await self.ours.offer(restart=restart))
        theirs = await self.open(controlling=False, name=name)
        connected = self.peer.seen("connected", c=name)
        if trickle:
            await self.give(own, trickle=True)
            await self.ours.answered(Credentials(theirs.ufrag, theirs.pwd, (), False).sdp("active"))
            await self.trickle(theirs)
        else:
            await self.ours.answered(theirs.sdp("active"))
            await self.give(own)
        await gatherResults([connected, self.ours.connected()])

    async def they_offer(self, name: str, *, controlling: bool = True) -> None:
        """A whole round in which aioice offers, and controls."""
        theirs = await self.open(controlling=controlling, name=name)
        own = local(await self.ours.answer(theirs.sdp("actpass")))
        connected = self.peer.seen("connected", c=name)
        await self.give(own)
        await gatherResults([connected, self.ours.connected()])

    async def trickle(self, theirs: Credentials) -> None:
        """aioice's candidates one by one, and their end."""
        for line in [*theirs.candidates, None]:
            await self.ours.connection.addIceCandidate(
                {
                    "candidate": "" if line is None else f"candidate:{line}",
                    "sdpMid": "0",
                    "usernameFragment": theirs.ufrag,
                }
            )


class AioiceTests(TestCase):
    """What we both understand of RFC 8445."""

    timeout = 100

    async def duo(self, version: int = 4) -> Duo:
        host = LOOPBACK[version]
        ours = Ours([host])
        self.addCleanup(ours.close)
        return Duo(await aioice_peer(self), ours, host)

    def run_story(self, story: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(story)

    def test_connects_in_both_roles_over_both_families_trickled_or_not(self) -> Deferred[None]:
        async def story() -> None:
            for version, offering, trickle in itertools.product(
                (4, 6), (True, False), (True, False)
            ):
                duo = await self.duo(version)
                if offering:
                    await duo.we_offer("first", trickle=trickle)
                    role = IceRole.CONTROLLING
                elif trickle:
                    continue  # the offer of an agent without SDP has all it gathered
                else:
                    await duo.they_offer("first")
                    role = IceRole.CONTROLLED
                self.assertEqual(duo.ours.connection.iceTransport.transport.role, role)
                await duo.ours.echo(b"\x80over the path")
                self.assertTrue(duo.ours.route.nominated)

        return self.run_story(story())

    def test_two_that_both_control_agree(self) -> Deferred[None]:
        """rule 43, T27: 487 and the tie-breaker settle it, whoever wins."""

        async def story() -> None:
            for offering in (True, False):
                duo = await self.duo()
                if offering:
                    own = local(await duo.ours.offer())
                    theirs = await duo.open(controlling=True, name="both")
                    connected = duo.peer.seen("connected", c="both")
                    await duo.ours.answered(theirs.sdp("active"))
                    await duo.give(own)
                    told = (await gatherResults([connected, duo.ours.connected()]))[0]
                else:
                    theirs = await duo.open(controlling=False, name="both")
                    own = local(await duo.ours.answer(theirs.sdp("actpass")))
                    connected = duo.peer.seen("connected", c="both")
                    await duo.give(own)
                    told = (await gatherResults([connected, duo.ours.connected()]))[0]
                ours = duo.ours.connection.iceTransport.transport.role is IceRole.CONTROLLING
                self.assertNotEqual(told["controlling"], ours)
                await duo.ours.echo(b"\x80agreed")

        return self.run_story(story())

    def test_a_restart_is_a_new_connection_of_theirs_beside_the_old_one(self) -> Deferred[None]:
        """T17: data flows on the old pair until the new one is there, whoever offers."""

        async def story() -> None:
            duo = await self.duo()
            await duo.we_offer("first")
            await duo.ours.echo(b"\x80one")
            before = duo.ours.route
            own = local(await duo.ours.offer(restart=True))
            await duo.ours.echo(b"\x80two, while the offer is out")
            self.assertIs(duo.ours.route, before)
            theirs = await duo.open(controlling=False, name="second")
            connected = duo.peer.seen("connected", c="second")
            await duo.ours.answered(theirs.sdp("active"))
            await duo.ours.echo(b"\x80three, while the checks wait")
            await duo.give(own)
            await gatherResults([connected, duo.ours.connected()])
            self.assertIsNot(duo.ours.route, before)
            await duo.ours.echo(b"\x80four, on the new pair")
            await duo.peer.ask("close", c="first")
            await duo.they_offer("third", controlling=False)
            await duo.ours.echo(b"\x80five, after their restart")
            transport = duo.ours.connection.iceTransport.transport
            self.assertEqual(transport.role, IceRole.CONTROLLING)

        return self.run_story(story())

    def test_a_peer_that_is_gone_is_noticed_and_another_takes_its_place(self) -> Deferred[None]:
        """Out of failed by a restart, within the times of the default profile."""

        async def story() -> None:
            duo = await self.duo()
            await duo.we_offer("first")
            await duo.peer.ask("close", c="first")
            duo.ours.connection.iceTransport.datagrams.send([b"\x80anybody?"])
            await duo.ours.until(lambda: duo.ours.state == "failed")
            self.assertEqual(duo.ours.states[-2:], ["disconnected", "failed"])
            await duo.we_offer("second", restart=True)
            await duo.ours.echo(b"\x80here I am")

        return self.run_story(story())
