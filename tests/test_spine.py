"""The main story on real sockets: a path, a fault, a restart by itself, a cut-over."""

from __future__ import annotations

import tempfile
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.world import World


class SpineTests(TestCase):
    """Two daemons and a hub, built by service.py."""

    timeout = 25

    def setUp(self) -> None:
        self.world = World(self.mktemp_directory(), liveness="fast")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.world.stop()))

    def mktemp_directory(self) -> str:
        """A short path: UNIX sockets allow 107 bytes."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return directory.name

    async def connected(self) -> None:
        """Start everything and wait until both sides selected a pair."""
        pairs = [watch.next("session.pair") for watch in self.world.watch.values()]
        self.world.start()
        await gatherResults(pairs)

    def pair(self) -> tuple[Any, Any]:
        """Alice's selected 5-tuple."""
        route = self.world.session("alice").connection.iceTransport.transport.route
        assert route is not None
        return route.base, route.remote_address

    def test_data_crosses_the_path_and_survives_its_death(self) -> Deferred[None]:
        """A silently dead 5-tuple is noticed, restarted over, and replaced by another."""

        async def story() -> None:
            await self.connected()
            client, listen = self.world.client, self.world.listen_address("alice")
            self.assertEqual(await client.ask(b"hello", listen), b"hello")
            dead = self.pair()

            done = gatherResults(
                [
                    watch.next("round.done", round=2, outcome="succeeded")
                    for watch in self.world.watch.values()
                ]
            )
            fault = self.world.daemons["alice"].supervisor.fault("demo", "path", 30.0)
            self.assertEqual(fault["paths"], 1)
            await done

            # Either side may have noticed first; the other then asks, or is offered.
            states = [f["to"] for w in self.world.watch.values() for f in w.of("session.state")]
            self.assertIn("disconnected", states)
            self.assertIn("failed", states)
            cause = self.world.watch["alice"].of("round.start")[1]["cause"]
            self.assertIn(cause, ("failed", "peer"))
            self.assertNotEqual(self.pair(), dead)
            self.assertEqual(await client.ask(b"again", listen), b"again")
            for name in ("alice", "bob"):
                self.assertTrue(self.world.session(name).policy.counters.balanced())

        return Deferred.fromCoroutine(story())
