"""A TURN server is asked for an allocation of each family, which it has back at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError
from twisted.internet.ssl import CertificateOptions, KeyPair, PrivateCertificate
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.allocating import AllocationChecks
from refreeze.net.doctor import Target
from refreeze.net.findings import Answer
from refreeze.net.opener import ChannelOpener
from refreeze.net.relayattempt import RelayTools
from refreeze.net.relayrelease import Releases
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.resolve import Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import IceServer, parse_server_url
from refreeze.stun import Method
from refreeze.testing import FakeHost, FakeTurnServer, Lie, VirtualWorld
from refreeze.turn import TurnSettings
from tests.lab.certificates import Authority

HOSTS = ("10.0.0.2", "2001:db8:2::2")
SERVER4, SERVER6 = "192.0.2.1", "2001:db8:1::1"
USER = IceServer(urls=(f"turn:{SERVER4}",), username="user", credential="secret")


class AllocatingCase(SynchronousTestCase):
    """A host and a server that also speaks TLS."""

    def setUp(self) -> None:
        self.world = VirtualWorld(5)
        self.host = self.world.network.host("alice", HOSTS)
        self.machine = self.world.network.host("turn", [SERVER4, SERVER6])
        self.server = self.serve(self.machine)
        self.addCleanup(self.nothing_is_left)
        reactor = self.world.reactor.on("alice")
        self.scheduler = Scheduler(reactor)
        self.checks = AllocationChecks(
            tools=RelayTools(
                opener=ChannelOpener(
                    reactor=reactor,
                    ports=self.host.factory,
                    scheduler=self.scheduler,
                    hosts=lambda: HOSTS,
                ),
                resolver=Resolver(names=reactor.nameResolver, clock=reactor),
                scheduler=self.scheduler,
                random=self.world.random,
                releases=Releases(),
                settings=RelaySettings(),
                turn=TurnSettings(),
            ),
            wall=reactor.wall,
        )

    def serve(self, machine: FakeHost, **settings: Any) -> FakeTurnServer:
        reactor = self.world.reactor.on(machine.name)
        return FakeTurnServer(machine, reactor, tls=self.certificate(), **settings).start()

    def certificate(self) -> CertificateOptions:
        """Made out to the server's IPv4 address."""
        directory = Path(self.mktemp())
        directory.mkdir()
        self.ca = directory / "ca.pem"
        certificate, key = directory / "crt", directory / "key"
        Authority(self.ca).issue(["turn.example.org", SERVER4], certificate, key)
        pair = KeyPair.load(key.read_bytes(), 1)
        loaded = PrivateCertificate.load(certificate.read_bytes(), pair, 1)
        return loaded.options()

    def nothing_is_left(self) -> None:
        """Neither here nor at the server."""
        self.world.reactor.advance(3.0)
        self.assertEqual(self.server.allocations, [])
        self.assertEqual((list(self.host._ports), self.server.connections), ([], 0))
        self.scheduler.stop()
        self.server.kill()
        self.assertEqual([str(call) for call in self.world.stop()], [])

    def target(
        self, url: str = f"turn:{SERVER4}", host: str = SERVER4, server: IceServer = USER
    ) -> Target:
        parsed = parse_server_url(url)
        return Target(name="lab", server=server, url=parsed, address=(host, parsed.port))

    def check(self, *words: Any, **more: Any) -> Answer:
        """Which never takes longer than its time."""
        running = self.checks.check(self.target(*words, **more))
        self.world.reactor.run_until(lambda: running.called, 5.5)
        return self.successResultOf(running)

    def reason(self, answer: Answer) -> tuple[str, int | None]:
        problem = answer.problem
        assert problem is not None
        self.assertNotIn("secret", problem.text)
        return problem.reason, problem.code


class GivenTests(AllocatingCase):
    """What a server gives."""

    def test_both_families_over_each_transport(self) -> None:
        trusting = evolve(USER, ca=str(self.ca))
        for url in (f"turn:{SERVER4}", f"turn:{SERVER4}?transport=tcp", f"turns:{SERVER4}"):
            answer = self.check(url, server=trusting)
            self.assertIsNone(answer.problem, url)
            self.assertEqual([host for host, _ in answer.relayed], [SERVER4, SERVER6], url)
            assert answer.local is not None
            self.assertEqual((answer.local[0], answer.software), (HOSTS[0], "refreeze-fake"))
            self.assertEqual(answer.mapped, (answer.local,))
            self.assertTrue(answer.rtt is not None and answer.rtt > 0, url)
            self.world.reactor.advance(3.0)
            self.assertEqual(self.server.allocations, [])

    def test_the_server_may_be_asked_over_ipv6(self) -> None:
        answer = self.check(f"turn:[{SERVER6}]", SERVER6)
        self.assertEqual([host for host, _ in answer.relayed], [SERVER4, SERVER6])
        assert answer.local is not None
        self.assertEqual(answer.local[0], HOSTS[1])

    def test_a_server_without_ipv6_relays_for_one_family(self) -> None:
        self.machine.remove_address(SERVER6)
        self.server.restart()
        answer = self.check()
        self.assertIsNone(answer.problem)
        self.assertEqual([host for host, _ in answer.relayed], [SERVER4])

    def test_an_alternate_server_is_followed_but_not_in_circles(self) -> None:
        other = self.world.network.host("other", ["192.0.2.9"])
        second = self.serve(other)
        self.addCleanup(second.kill)
        self.server.redirect(("192.0.2.9", 3478))
        answer = self.check()
        self.assertEqual([host for host, _ in answer.relayed], ["192.0.2.9"])
        second.redirect((SERVER4, 3478))
        self.assertEqual(self.reason(self.check())[0], "redirections")
        self.world.reactor.advance(3.0)
        self.assertEqual(second.allocations, [])
        self.server.redirect(("10.77.0.1", 3478))
        self.assertEqual(self.reason(self.check()), ("bad-alternate", 300))

    def test_somebody_elses_allocation_on_our_socket_is_no_refusal(self) -> None:
        """T30: another socket."""
        self.server.refuse(Method.ALLOCATE, 437, 2)
        self.assertIsNone(self.check().problem)


class RefusedTests(AllocatingCase):
    """What it does not give has a name."""

    def test_wrong_credentials(self) -> None:
        wrong = evolve(USER, credential="secret-but-another")
        answer = self.check(server=wrong)
        self.assertEqual(self.reason(answer), ("unauthorized", 401))
        self.assertTrue(answer.reached)

    def test_credentials_that_cannot_be_read(self) -> None:
        absent = IceServer(urls=USER.urls, credential_file=self.mktemp())
        answer = self.check(server=absent)
        self.assertEqual(self.reason(answer), ("no-credentials", 701))
        self.assertFalse(answer.reached)

    def test_refusals_by_their_code(self) -> None:
        for code, reason in ((486, "quota"), (508, "capacity"), (403, "forbidden")):
            self.server.refuse(Method.ALLOCATE, code, None)
            self.assertEqual(self.reason(self.check()), (reason, code))

    def test_a_certificate_that_nobody_vouches_for_or_for_another_name(self) -> None:
        answer = self.check(f"turns:{SERVER4}")
        self.assertEqual(self.reason(answer), ("untrusted-certificate", 701))
        trusting = evolve(USER, ca=str(self.ca))
        answer = self.check(f"turns:[{SERVER6}]", SERVER6, trusting)
        self.assertEqual(self.reason(answer)[0], "wrong-name")

    def test_a_ca_file_that_is_not_there(self) -> None:
        answer = self.check(f"turns:{SERVER4}", server=evolve(USER, ca=self.mktemp()))
        self.assertEqual(self.reason(answer)[0], "unreadable-ca")

    def test_silence_over_each_transport(self) -> None:
        self.server.kill()
        self.assertEqual(self.reason(self.check()), ("unreachable", 701))
        answer = self.check(f"turn:{SERVER4}?transport=tcp")
        self.assertEqual(self.reason(answer), ("refused", 701))

    def test_a_server_that_lies_costs_no_more_than_its_time(self) -> None:
        for lie in Lie:
            self.server.lies.clear()
            self.server.lies.add(lie)
            for url in (f"turn:{SERVER4}", f"turn:{SERVER4}?transport=tcp"):
                answer = self.check(url)
                self.assertTrue(answer.relayed or answer.problem, (lie, url))
        self.server.forget()

    def test_a_machine_that_is_gone_costs_no_more_than_its_time(self) -> None:
        self.world.network.blackhole("alice", "turn")
        for url in (f"turn:{SERVER4}", f"turn:{SERVER4}?transport=tcp", f"turns:{SERVER4}"):
            answer = self.check(url)
            self.assertFalse(answer.reached, url)


class EndTests(AllocatingCase):
    """Whenever it ends, nothing is left (T29, T34)."""

    def test_cancelled_checks_are_given_back_over_each_transport(self) -> None:
        trusting = evolve(USER, ca=str(self.ca))
        for url in (f"turn:{SERVER4}", f"turn:{SERVER4}?transport=tcp", f"turns:{SERVER4}"):
            for steps in range(12):
                running = self.checks.check(self.target(url, server=trusting))
                self.world.reactor.advance(steps * 0.01)
                if running.called:
                    continue
                running.cancel()
                self.failureResultOf(running, CancelledError)
                stopped = self.checks.tools.releases.done()
                self.world.reactor.run_until(lambda done=stopped: done.called, 2.5)
                self.assertEqual(self.server.allocations, [], (url, steps))
                self.assertEqual(list(self.host._ports), [])
                self.world.reactor.advance(1.0)
                self.assertEqual(self.server.connections, 0)
