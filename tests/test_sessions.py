"""Sessions in whole daemons: opened at run time, cut off entirely, restarted by hand."""

from __future__ import annotations

import json
import tempfile

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from refreeze.sessions.supervisor import OperationError
from tests.world import World


class SessionTests(TestCase):
    """Two daemons and a hub, built by service.py, on real sockets."""

    timeout = 60

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.world = World(directory.name, liveness="fast")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.world.stop()))

    async def connected(self) -> None:
        """Start, and wait for both sides' first round."""
        done = [watch.next("round.done") for watch in self.world.watch.values()]
        self.world.start()
        await gatherResults(done)

    def test_a_second_session_to_the_same_peer_has_sockets_of_its_own(self) -> Deferred[None]:
        """House rule 3: data carries no name, so they never share a 5-tuple."""

        async def story() -> None:
            await self.connected()
            done = [w.next("round.done", id="second") for w in self.world.watch.values()]
            for name, peer in (("alice", "bob"), ("bob", "alice")):
                supervisor = self.world.daemons[name].supervisor
                supervisor.open("second", {"peer": peer, "protect": "none"})
            outcomes = [fields["outcome"] for fields in await gatherResults(done)]
            self.assertEqual(outcomes, ["succeeded", "succeeded"])
            sessions = self.world.daemons["alice"].supervisor.sessions
            tuples = [s.connection.iceTransport.transport.tuples() for s in sessions.values()]
            self.assertEqual(tuples[0] & tuples[1], set())

        return Deferred.fromCoroutine(story())

    def test_an_operator_restart_answers_with_its_outcome_and_loses_nothing(self) -> Deferred[None]:
        """T17: the old pair carries the data until the cut-over."""

        async def story() -> None:
            await self.connected()
            client, listen = self.world.client, self.world.listen_address("alice")
            await client.ask(b"first", listen)
            supervisor = self.world.daemons["alice"].supervisor
            waiting = supervisor.restart("demo", reason="maintenance", force=False)
            with self.assertRaises(OperationError) as refused:
                supervisor.restart("demo", reason="", force=False)
            self.assertIn(refused.exception.code, ("rate-limited", "round-pending"))
            for number in range(200):
                await client.ask(b"%d" % number, listen)
            outcome = await waiting
            self.assertEqual(outcome["outcome"], "succeeded")
            self.assertEqual(len(client.received), 201)
            counters = self.world.session("alice").forward.counters
            self.assertEqual(counters.accepted, counters.handed)
            self.assertEqual(supervisor.history("demo")[-1]["reason"], "maintenance")

        return Deferred.fromCoroutine(story())

    def test_a_closed_session_says_bye_and_the_peer_is_held(self) -> Deferred[None]:
        """close_notify's place until DTLS: nobody restarts after a bye."""

        async def story() -> None:
            await self.connected()
            held = self.world.watch["bob"].next("watchdog.held")
            self.world.daemons["alice"].supervisor.close("demo", "operator")
            self.assertIn("operator", (await held)["reason"])

        return Deferred.fromCoroutine(story())

    def test_nothing_that_is_shown_holds_a_password(self) -> Deferred[None]:
        """`show`, `list`, `history`, events: no pwd of any generation."""

        async def story() -> None:
            await self.connected()
            supervisor = self.world.daemons["alice"].supervisor
            await supervisor.restart("demo", reason="", force=False)
            transport = self.world.session("alice").connection.iceTransport.transport
            secrets = []
            for generation in transport.generations():
                secrets += [generation.agent.local.pwd, generation.agent.remote.pwd]
            self.assertEqual(len(secrets), 4)
            shown = json.dumps(
                [
                    supervisor.show("demo"),
                    supervisor.list_sessions(),
                    supervisor.history("demo"),
                    self.world.watch["alice"].events,
                ],
                default=repr,
            )
            for secret in secrets:
                self.assertNotIn(secret, shown)

        return Deferred.fromCoroutine(story())
