"""The examination of a network: every server is named, whatever is wrong with it."""

from __future__ import annotations

import errno
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.doctor import Doctor, Target
from refreeze.net.findings import Answer, Findings, scope_of, usable_pairs
from refreeze.net.resolve import Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import IceServer, ServerProblem
from refreeze.testing import PORT_RESTRICTED, SYMMETRIC, NatSettings, SeededRandom
from tests.net.stunserver import BehaviorServer
from tests.net.test_resolve import FakeNames
from tests.testing.desk import network

Record = dict[str, Any]
INSIDE, EXTERNAL = "10.0.0.2", "203.0.113.1"
STUN = IceServer(urls=("stun:192.0.2.1",))
TURN = IceServer(
    urls=("turn:192.0.2.1", "turns:192.0.2.1"), username="alice", credential="secret-word"
)


@define(eq=False)
class FakeAllocations:
    """Answers as a test wants, at once or never."""

    outcomes: dict[str, Answer | ServerProblem | None] = field(factory=dict)
    """By transport; None: never."""
    asked: list[Target] = field(factory=list)
    cancelled: int = 0

    def check(self, target: Target) -> Deferred[Answer]:
        self.asked.append(target)
        outcome = self.outcomes.get(target.url.transport)
        answer: Deferred[Answer] = Deferred(self._cancel)
        if isinstance(outcome, ServerProblem):
            answer.callback(target.answer("allocate", problem=outcome))
        elif outcome is None and target.url.transport in self.outcomes:
            return answer
        else:
            answer.callback(
                Answer(
                    server=target.name, url=target.url, check="allocate", address=target.address,
                    rtt=0.03, relayed=(("192.0.2.1", 50000), ("2001:db8::1", 50000)),
                )
            )  # fmt: skip
        return answer

    def _cancel(self, _: object) -> None:
        self.cancelled += 1


class DoctorCase(SynchronousTestCase):
    """One host, its NAT, and a server."""

    relay_only = False

    def world(
        self,
        nat: NatSettings | None = PORT_RESTRICTED,
        hosts: tuple[str, ...] = (INSIDE,),
        **servers: IceServer,
    ) -> None:
        self.clock, self.network = network(delay=0.01)
        router = None if nat is None else self.network.nat("nat", EXTERNAL, nat)
        self.host = self.network.host("alice", hosts, nat=router)
        public = self.network.host("server", ["192.0.2.1", "192.0.2.2", "2001:db8:1::1"])
        self.server = BehaviorServer(host=public)
        scheduler = Scheduler(self.clock)
        self.names = FakeNames()
        self.allocations = FakeAllocations()
        self.doctor = Doctor(
            hosts=lambda: hosts,
            preferred=lambda: [INSIDE],
            servers=lambda: servers,
            relay_only=lambda: self.relay_only,
            factory=self.host.factory,
            scheduler=scheduler,
            clock=self.clock,
            random=SeededRandom(1),
            resolver=Resolver(names=self.names, clock=self.clock),
            allocations=self.allocations,
        )

    def examine(self) -> Findings:
        running = self.doctor.examine()
        self.clock.run_until(lambda: running.called, 8.0)
        self.assertEqual(list(self.host._ports), [])
        return self.successResultOf(running)

    def parts(self, findings: Findings, part: str) -> list[Record]:
        return [record for record in findings.records() if record["part"] == part]


class ExaminationTests(DoctorCase):
    """What is found."""

    def test_everything_about_a_host_behind_a_nat_with_a_relay(self) -> None:
        self.world(lab=TURN)
        findings = self.examine()
        self.assertEqual(findings.final(), {"servers": 2, "failed": 0})
        self.assertEqual(
            self.parts(findings, "address"),
            [
                {
                    "part": "address", "address": INSIDE, "interface": "eth0", "family": "ipv4",
                    "scope": "private", "used": True, "default": True,
                }
            ],
        )  # fmt: skip
        servers = self.parts(findings, "server")
        checks = [(each["url"], each["check"], each["result"]) for each in servers]
        self.assertEqual(
            checks,
            [
                ("turn:192.0.2.1", "binding", "ok"),
                ("turn:192.0.2.1", "allocate", "ok"),
                ("turns:192.0.2.1", "allocate", "ok"),
            ],
        )
        binding = next(each for each in servers if each["check"] == "binding")
        self.assertEqual((binding["rtt_ms"], binding["mapped"]), (20.0, [f"{EXTERNAL}:40000"]))
        (nat,) = self.parts(findings, "nat")
        self.assertEqual(nat["kind"], ["port-restricted"])
        self.assertEqual(
            self.parts(findings, "reach"),
            [
                {"part": "reach", "family": "ipv4", "udp": True, "tcp": None, "tls": True},
                {"part": "reach", "family": "ipv6", "udp": None, "tcp": None, "tls": None},
            ],
        )
        outcomes = {
            (each["family"], each["outcome"]): each["peers"]
            for each in self.parts(findings, "expect")
        }
        self.assertEqual(outcomes["ipv4", "relay"], ["symmetric"])
        self.assertEqual(outcomes["ipv4", "peer-relay"], ["udp-blocked"])
        self.assertEqual({outcome for _, outcome in outcomes}, {"direct", "relay", "peer-relay"})
        self.assertNotIn(("ipv6", "direct"), outcomes)

    def test_no_secret_is_in_any_record(self) -> None:
        self.world(lab=TURN)
        self.assertNotIn("secret-word", str(self.examine().records()))

    def test_without_servers_only_the_addresses_are_known(self) -> None:
        self.world()
        findings = self.examine()
        self.assertEqual(findings.final(), {"servers": 0, "failed": 0})
        notes = [each["text"] for each in self.parts(findings, "note")]
        self.assertIn("no server is configured", notes[0])
        outcomes = {(r["family"], r["outcome"]) for r in self.parts(findings, "expect")}
        self.assertEqual(
            outcomes, {("ipv4", "direct-or-none"), ("ipv4", "peer-relay"), ("ipv6", "none")}
        )

    def test_udp_blocked_and_tls_open(self) -> None:
        self.world(lab=TURN)
        self.server.deaf = set(self.server.ports)
        gone = ServerProblem("turn:192.0.2.1", "unreachable", "no answer")
        self.allocations.outcomes["udp"] = gone
        findings = self.examine()
        self.assertEqual(findings.final(), {"servers": 2, "failed": 1})
        reach = self.parts(findings, "reach")[0]
        self.assertEqual((reach["udp"], reach["tls"]), (False, True))
        expected = [each for each in self.parts(findings, "expect") if each["family"] == "ipv4"]
        self.assertEqual([each["outcome"] for each in expected], ["relay", "peer-relay"])
        self.assertEqual(self.parts(findings, "nat")[0]["kind"], ["udp-blocked"])
        notes = [each["text"] for each in self.parts(findings, "note")]
        self.assertIn("UDP does not get out over IPv4, or every server there is dead", notes)
        self.assertIn("lab: turn:192.0.2.1 does not serve", notes)

    def test_a_host_that_offers_its_relay_alone_has_no_direct_peers(self) -> None:
        self.relay_only = True
        self.world(lab=TURN)
        findings = self.examine()
        outcomes = {each["outcome"] for each in self.parts(findings, "expect")}
        self.assertEqual(outcomes, {"relay", "peer-relay"})
        self.assertIn("gathering.policy is relay", self.parts(findings, "note")[0]["text"])

    def test_one_silent_server_may_be_dead_and_two_are_not(self) -> None:
        """What is not known is not told as if it was."""
        self.world(one=STUN)
        self.server.deaf = set(self.server.ports)
        findings = self.examine()
        self.assertEqual(self.parts(findings, "nat")[0]["kind"], [])
        outcomes = {r["outcome"] for r in self.parts(findings, "expect") if r["family"] == "ipv4"}
        self.assertEqual(outcomes, {"direct-or-none", "peer-relay"})
        self.world(one=STUN, two=IceServer(urls=("stun:192.0.2.2",)))
        self.server.deaf = set(self.server.ports)
        self.assertEqual(self.parts(self.examine(), "nat")[0]["kind"], ["udp-blocked"])

    def test_a_host_that_cannot_send_says_so(self) -> None:
        self.world(one=STUN)
        self.host.send_error = errno.EPERM
        (server,) = self.parts(self.examine(), "server")
        self.assertEqual(server["why"], "nothing can be sent there from here")

    def test_a_refused_binding_has_the_name_of_its_code(self) -> None:
        for code, reason in ((401, "unauthorized"), (300, "redirected"), (699, "global-error")):
            self.world(one=STUN)
            self.server.error = code
            findings = self.examine()
            (server,) = self.parts(findings, "server")
            self.assertEqual((server["result"], server["code"]), (reason, code))
            self.assertIs(self.parts(findings, "reach")[0]["udp"], True)
            self.assertNotIn("udp-blocked", self.parts(findings, "nat")[0]["kind"])

    def test_a_refusal_is_an_answer_and_a_failure_with_a_name(self) -> None:
        self.world(lab=TURN)
        refused = ServerProblem("turns:192.0.2.1", "unauthorized", "wrong credentials", code=401)
        self.allocations.outcomes["tls"] = refused
        findings = self.examine()
        self.assertEqual(findings.final(), {"servers": 2, "failed": 1})
        record = next(r for r in self.parts(findings, "server") if r["url"] == "turns:192.0.2.1")
        self.assertEqual((record["result"], record["code"]), ("unauthorized", 401))
        self.assertEqual(record["why"], "wrong credentials")
        self.assertIs(self.parts(findings, "reach")[0]["tls"], True)

    def test_a_symmetric_nat_and_no_relay(self) -> None:
        self.world(SYMMETRIC, one=STUN)
        findings = self.examine()
        outcomes = {each["outcome"]: each["peers"] for each in self.parts(findings, "expect")}
        self.assertEqual(outcomes["direct"], ["no-nat", "full-cone", "address-restricted"])
        self.assertEqual(outcomes["peer-relay"], ["port-restricted", "symmetric", "udp-blocked"])

    def test_every_local_address_is_asked_from_and_the_quickest_is_shown(self) -> None:
        hosts = (INSIDE, "10.0.0.3", "2001:db8::2")
        self.world(hosts=hosts, one=STUN)
        findings = self.examine()
        self.assertEqual(sorted(each["local"] for each in self.parts(findings, "nat")), [
            "10.0.0.2:40000", "10.0.0.3:40001",
        ])  # fmt: skip
        (server,) = self.parts(findings, "server")
        self.assertEqual(len(server["mapped"]), 2)
        notes = [each["text"] for each in self.parts(findings, "note")]
        self.assertEqual([text for text in notes if "IPv6" in text], [])

    def test_a_server_of_a_family_that_this_host_has_not(self) -> None:
        self.world(six=IceServer(urls=("stun:[2001:db8:1::1]",)))
        findings = self.examine()
        (server,) = self.parts(findings, "server")
        self.assertEqual((server["check"], server["result"]), ("resolve", "no-address"))
        self.assertEqual(findings.final(), {"servers": 1, "failed": 1})

    def test_names_are_resolved_and_one_dead_address_does_not_spoil_the_other(self) -> None:
        self.world(one=IceServer(urls=("stun:stun.example.org",)))
        self.names.at_once = (
            IPv4Address("UDP", "198.51.100.9", 0),
            IPv4Address("UDP", "192.0.2.1", 0),
            IPv6Address("UDP", "2001:db8:1::1", 0),
        )
        findings = self.examine()
        results = [(r["address"], r["result"]) for r in self.parts(findings, "server")]
        self.assertEqual(results, [("198.51.100.9:3478", "unreachable"), ("192.0.2.1:3478", "ok")])
        self.assertEqual(findings.final(), {"servers": 1, "failed": 0})

    def test_a_name_that_nobody_knows_or_tells_in_time(self) -> None:
        self.world(one=IceServer(urls=("stun:stun.example.org",)), two=STUN)
        findings = self.examine()
        first, second = self.parts(findings, "server")
        self.assertEqual((first["result"], first["why"]), ("unresolved", "no answer within 2 s"))
        self.assertEqual(second["result"], "ok")
        self.assertEqual(findings.final(), {"servers": 2, "failed": 1})


class ShareTests(DoctorCase):
    """One at a time, and none beyond the daemon's life."""

    def test_who_asks_meanwhile_gets_the_same_findings(self) -> None:
        self.world(one=STUN)
        first, second = self.doctor.examine(), self.doctor.examine()
        self.clock.run_until(lambda: first.called, 8.0)
        self.assertIs(self.successResultOf(first), self.successResultOf(second))
        third = self.doctor.examine()
        self.assertNoResult(third)
        self.clock.run_until(lambda: third.called, 8.0)
        self.assertIsNot(self.successResultOf(third), first.result)

    def test_stopping_ends_it_at_once_and_closes_its_sockets(self) -> None:
        for seconds in (0.0, 0.005, 1.0):
            self.world(lab=TURN)
            self.allocations.outcomes["tls"] = None
            waiter = self.doctor.examine()
            self.clock.advance(seconds)
            self.doctor.stop()
            self.failureResultOf(waiter, CancelledError)
            self.assertEqual((list(self.host._ports), self.allocations.cancelled), ([], 1))
        self.doctor.stop()

    def test_stopping_while_names_are_looked_up(self) -> None:
        self.world(one=IceServer(urls=("stun:stun.example.org",)))
        waiter = self.doctor.examine()
        self.doctor.stop()
        self.failureResultOf(waiter, CancelledError)

    def test_what_is_sent_is_bounded_whatever_is_configured(self) -> None:
        many = {
            f"s{n}": IceServer(urls=tuple(f"stun:198.51.{n}.{i}" for i in range(1, 17)))
            for n in range(8)
        }
        self.world(hosts=tuple(f"10.0.0.{n}" for n in range(2, 22)), **many)
        findings = self.examine()
        self.assertEqual(findings.final(), {"servers": 128, "failed": 128})
        self.assertLess(self.network.log.sent, 8 * 32 * 3 + 1)


class PairingTests(SynchronousTestCase):
    """Which local address asks which server."""

    def test_families_and_scopes_are_not_mixed(self) -> None:
        hosts = ("10.0.0.1", "127.0.0.1", "2001:db8::1", "fe80::1%eth0")
        servers = [("192.0.2.1", 1), ("127.0.0.2", 2), ("2001:db8::2", 3), ("192.0.2.1", 1)]
        self.assertEqual(
            usable_pairs(hosts, servers),
            [
                ("10.0.0.1", [("192.0.2.1", 1)]),
                ("127.0.0.1", [("127.0.0.2", 2)]),
                ("2001:db8::1", [("2001:db8::2", 3)]),
            ],
        )

    def test_scopes(self) -> None:
        scopes = {
            "127.0.0.1": "loopback", "fe80::1%eth0": "link-local", "10.0.0.1": "private",
            "fd00::1": "private", "8.8.8.8": "global", "2606:4700::1": "global",
        }  # fmt: skip
        self.assertEqual({host: scope_of(host) for host in scopes}, scopes)
