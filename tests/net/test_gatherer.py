"""Gathering for one session: what is offered, when it ends, and what a policy hides."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.ice import CandidateType, candidate_foundation
from refreeze.net.gatherer import SessionGatherer
from refreeze.net.gathering import GatherSettings, HostGatherer
from refreeze.net.port import Port
from refreeze.net.reflexive import FRESH_SECONDS
from refreeze.net.relaychoice import PATIENCE
from refreeze.net.servers import ServerProblem, parse_server_url
from tests.net.fakes import FakePort
from tests.net.gathering import SERVER, URL, FakeRelay, FakeRelays, Heard, Machine, Watcher

MAPPED: Address = ("203.0.113.5", 4242)
RELAYED: Address = ("203.0.113.10", 50000)
TURN = parse_server_url("turn:192.0.2.60")
TURNS = parse_server_url("turns:turn.example")


def _ports(*addresses: Address) -> list[Port]:
    return [FakePort(address) for address in addresses]


class SettingsTests(SynchronousTestCase):
    """What is refused names its key."""

    def test_contradictions_name_their_key(self) -> None:
        for key, options in (
            ("policy", {"policy": "some"}),
            ("external", {"external": {"10.0.0.1": "x"}}),
            ("external", {"external": {"x": "203.0.113.1"}}),
            ("external", {"external": {"10.0.0.1": "2001:db8::1"}}),
            ("external", {"external": {"10.0.0.1": "224.0.0.1"}}),
            ("external", {"external": {"10.0.0.1": "0.0.0.0"}}),
            ("external", {"external": {"10.0.0.1": "127.0.0.1"}}),
        ):
            with self.assertRaises(ValueError) as caught:
                GatherSettings(**options)  # type: ignore[arg-type]  # the point of the test
            self.assertTrue(str(caught.exception).startswith(f"{key}: "))

    def test_external_addresses_mean_the_same_however_they_are_spelt(self) -> None:
        settings = GatherSettings(external={"FD00:0::1": "2A00:0:0::7"})
        self.assertEqual(settings.external, {"fd00::1": "2a00::7"})


class GatherTests(SynchronousTestCase):
    """One host, one STUN server, until a test says otherwise."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.heard = Heard()

    def base(self) -> Address:
        return next(iter(self.machine.mux.ports))

    def test_without_servers_the_end_comes_before_the_call_is_over(self) -> None:
        self.machine.gatherer().gather("u", self.heard)
        self.assertEqual((self.heard.of("host"), self.heard.ended), ([self.base()], 1))
        self.assertEqual({each.ufrag for each in self.heard.found}, {"u"})

    def test_hosts_are_told_at_once_and_a_mapped_address_when_it_is_found(self) -> None:
        self.machine.gatherer(URL).gather("u", self.heard)
        self.assertEqual((self.heard.of("host"), self.heard.ended), ([self.base()], 0))
        self.machine.answer(self.base(), MAPPED)
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([MAPPED], 1))
        found = self.heard.found[-1]
        self.assertEqual((found.base, found.related), (self.base(), self.base()))

    def test_a_dead_server_delays_the_end_only_and_is_named(self) -> None:
        live = parse_server_url("stun:192.0.2.54")
        self.machine.gatherer(URL, live).gather("u", self.heard)
        self.machine.answer(self.base(), MAPPED, server=("192.0.2.54", 3478))
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([MAPPED], 0))
        self.machine.advance(39.6)
        self.assertEqual(self.heard.ended, 1)
        self.assertEqual([each.reason for each in self.heard.failed], ["unreachable"])

    def test_the_end_after_the_nomination_waits_for_nobody_rule_51(self) -> None:
        gathering = self.machine.gatherer(URL).gather("u", self.heard)
        gathering.finish()
        self.assertEqual(self.heard.ended, 1)
        self.machine.answer(self.base(), MAPPED)
        gathering.finish()
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([], 1))

    def test_a_mapped_address_that_is_the_base_is_no_candidate(self) -> None:
        self.machine.gatherer(URL).gather("u", self.heard)
        self.machine.answer(self.base(), self.base())
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([], 1))

    def test_two_servers_that_see_the_same_give_one_candidate(self) -> None:
        other = parse_server_url("stun:192.0.2.54")
        self.machine.gatherer(URL, other).gather("u", self.heard)
        self.machine.answer(self.base(), MAPPED)
        self.machine.answer(self.base(), MAPPED, server=("192.0.2.54", 3478))
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([MAPPED], 1))

    def test_priorities_are_unique_within_a_type_rule_78(self) -> None:
        self.machine.hosts.append("10.1.0.1")
        self.machine.pool.set_hosts(self.machine.hosts)
        urls = [parse_server_url(f"stun:192.0.2.{n}") for n in range(1, 6)]
        self.machine.gatherer(*urls).gather("u", self.heard)
        for base in list(self.machine.mux.ports):
            for n in range(1, 6):
                mapped = ("203.0.113.5", 1000 * n + base[1] % 1000)
                self.machine.answer(base, mapped, server=(f"192.0.2.{n}", 3478))
        priorities = [each.priority for each in self.heard.found]
        self.assertEqual(len(self.heard.of("srflx")), 10)
        self.assertEqual(len(set(priorities)), len(priorities))

    def test_a_second_generation_has_what_is_known_before_its_offer_leaves(self) -> None:
        gatherer = self.machine.gatherer(URL)
        gatherer.gather("u1", Heard())
        self.machine.answer(self.base(), MAPPED)
        gatherer.gather("u2", self.heard)
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([MAPPED], 1))

    def test_a_new_gathering_ends_the_one_before_it_in_silence_T13(self) -> None:
        first, gatherer = Heard(), self.machine.gatherer(URL)
        gatherer.gather("u1", first)
        gatherer.gather("u2", self.heard)
        self.machine.answer(self.base(), MAPPED)
        self.assertEqual((first.of("srflx"), first.ended), ([], 0))
        self.assertEqual((self.heard.of("srflx"), self.heard.ended), ([MAPPED], 1))

    def test_an_address_that_comes_during_gathering_is_offered_and_later_not_rule_51(self) -> None:
        gatherer = self.machine.gatherer(URL)
        gathering = gatherer.gather("u", self.heard)
        self.machine.pool.set_hosts(["10.0.0.1", "10.1.0.1"])
        self.machine.hosts.append("10.1.0.1")
        gatherer.look()
        self.assertEqual(len(self.heard.of("host")), 2)
        gathering.finish()
        self.machine.hosts.append("10.2.0.1")
        self.machine.pool.set_hosts(self.machine.hosts)
        gatherer.look()
        self.assertEqual(len(self.heard.of("host")), 2)

    def test_an_external_mapping_needs_no_server(self) -> None:
        settings = GatherSettings(external={"10.0.0.1": "203.0.113.77"})
        self.machine.gatherer(settings=settings).gather("u", self.heard)
        self.assertEqual(self.heard.of("srflx"), [("203.0.113.77", self.base()[1])])

    def test_a_turn_server_over_udp_is_asked_for_the_mapped_address_too(self) -> None:
        relays = FakeRelays([FakeRelay(TURN, settled=True)])
        self.machine.gatherer(TURN, TURNS, relays=relays).gather("u", self.heard)
        self.assertEqual(len(self.machine.asked(self.base(), ("192.0.2.60", 3478))), 1)
        self.assertEqual(len(self.machine.port(self.base()).sent), 1)

    def test_in_doubt_even_a_young_answer_is_asked_for_again(self) -> None:
        """A NAT may have changed a moment after it was asked."""
        gatherer = self.machine.gatherer(URL)
        gatherer.gather("u1", Heard())
        self.machine.answer(self.base(), MAPPED)
        gatherer.warm()
        self.assertEqual(len(self.machine.asked(self.base())), 2)
        moved = ("203.0.113.6", 4343)
        self.machine.answer(self.base(), moved)
        gatherer.gather("u2", self.heard)
        self.assertEqual(self.heard.of("srflx"), [moved])

    def test_another_mapping_is_of_another_foundation(self) -> None:
        """Else its pairs would stay frozen behind the checks of the one that is no more."""
        gatherer = self.machine.gatherer(URL)
        gatherer.gather("u1", Heard())
        self.machine.answer(self.base(), MAPPED)
        self.machine.advance(FRESH_SECONDS + 0.1)
        gatherer.gather("u2", self.heard)
        self.machine.answer(self.base(), ("203.0.113.6", 4343))
        old, new = self.heard.found[-2:]
        self.assertEqual((old.base, old.type), (new.base, new.type))
        self.assertNotEqual(old.foundation, new.foundation)

    def test_warming_up_asks_again_and_tells_nobody(self) -> None:
        relay = FakeRelay(TURN, _ports(RELAYED), settled=True)
        gatherer = self.machine.gatherer(URL, relays=FakeRelays([relay]))
        gatherer.gather("u", self.heard)
        self.machine.answer(self.base(), MAPPED)
        self.machine.advance(60.0)
        told, verified = len(self.heard.found), relay.verified
        gatherer.warm()
        self.machine.answer(self.base(), ("203.0.113.6", 1))
        self.assertEqual((len(self.heard.found), relay.verified), (told, verified + 1))
        again = Heard()
        gatherer.gather("u2", again)
        self.assertEqual(again.of("srflx"), [("203.0.113.6", 1)])

    def test_cancelled_or_closed_it_gives_everything_back_T34(self) -> None:
        relays = FakeRelays([FakeRelay(TURN)])
        gatherer = self.machine.gatherer(URL, TURN, relays=relays)
        gatherer.gather("u", self.heard).cancel()
        gatherer.close()
        self.machine.advance(60.0)
        self.assertEqual((self.heard.ended, self.heard.failed), (0, []))
        self.assertTrue(relays.released)
        self.assertFalse(gatherer.lease.held)
        self.assertEqual(self.machine.mux.claims_of(self.machine.reflexive), frozenset())

    def test_what_every_server_gave_can_be_seen(self) -> None:
        problem = ServerProblem(str(TURNS), "untrusted-certificate", "the certificate is unknown")
        relays = FakeRelays([FakeRelay(TURNS, settled=True, problem=problem)])
        gatherer = self.machine.gatherer(URL, TURNS, relays=relays)
        gatherer.gather("u", self.heard)
        self.machine.advance(0.02)
        self.machine.answer(self.base(), MAPPED)
        stun, turns = gatherer.reports()
        self.assertEqual((stun.mapped, stun.problem), ([MAPPED], None))
        self.assertAlmostEqual(stun.rtt or 0.0, 0.02)
        self.assertEqual((turns.relayed, turns.problem), ([], problem))

    def reasons(self, gatherer: SessionGatherer) -> list[str | None]:
        """Of every URL."""
        return [each.problem and each.problem.reason for each in gatherer.reports()]

    def test_one_url_in_two_sections_has_two_fates(self) -> None:
        problem = ServerProblem(str(TURN), "unauthorized", "says 401", 401)
        for fates in ((None, problem), (problem, None)):
            relays = FakeRelays(
                [
                    FakeRelay(TURN, [] if fate else _ports(RELAYED), settled=True, problem=fate)
                    for fate in fates
                ]
            )
            gatherer = self.machine.gatherer(TURN, TURN, relays=relays)
            gatherer.gather("u", self.heard)
            self.assertEqual([each.problem for each in gatherer.reports()], list(fates))
            self.assertEqual([each.gave for each in gatherer.reports()], [not f for f in fates])

    def test_two_urls_of_one_server_are_asked_once_and_both_answered(self) -> None:
        stun = parse_server_url("stun:192.0.2.60")
        relays = FakeRelays([FakeRelay(TURN)])
        gatherer = self.machine.gatherer(TURN, stun, relays=relays)
        gatherer.gather("u", self.heard)
        self.machine.answer(self.base(), MAPPED, server=("192.0.2.60", 3478))
        self.assertEqual([each.mapped for each in gatherer.reports()], [[MAPPED], [MAPPED]])
        self.assertEqual([each.gave for each in gatherer.reports()], [False, True])

    def test_who_is_not_asked_any_more_or_not_yet_says_so(self) -> None:
        gatherer = self.machine.gatherer(URL, TURN, relays=FakeRelays())
        self.assertEqual(self.reasons(gatherer), ["unused", "unused"])
        gathering = gatherer.gather("u", self.heard)
        self.assertEqual(self.reasons(gatherer), [None, "unused"])
        gathering.finish()
        self.assertEqual(self.reasons(gatherer), ["unanswered", "unused"])

    def test_a_server_of_a_family_that_we_have_not_is_named(self) -> None:
        gatherer = self.machine.gatherer(parse_server_url("stun:[2001:db8::53]"))
        gatherer.gather("u", self.heard)
        self.assertEqual((self.reasons(gatherer), self.heard.ended), (["no-address"], 1))


class RelayTests(SynchronousTestCase):
    """Relayed candidates."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.heard = Heard()
        self.relay = FakeRelay(TURNS)
        self.relays = FakeRelays([self.relay])
        self.gatherer = self.machine.gatherer(TURNS, relays=self.relays)
        self.watcher = self.gatherer.watcher = Watcher()

    def settle(self, *addresses: Address) -> None:
        self.relay.ports, self.relay.settled = _ports(*addresses), True
        self.gatherer.relay_settled(self.relay)

    def test_a_live_allocation_is_offered_at_once(self) -> None:
        self.relay.ports, self.relay.settled = _ports(RELAYED), True
        self.gatherer.gather("u", self.heard)
        self.assertEqual((self.heard.of("relay"), self.heard.ended), ([RELAYED], 1))
        found = self.heard.found[-1]
        self.assertEqual((found.base, found.related), (RELAYED, self.relay.mapped))

    def test_what_a_restart_offers_again_is_asked_for_beside_T33(self) -> None:
        """It may be gone for the same reason that the session restarts for."""
        self.relay.ports, self.relay.settled = _ports(RELAYED), True
        for number, ufrag in enumerate("abc", 1):
            self.gatherer.gather(ufrag, self.heard)
            self.assertEqual(self.relay.verified, number)

    def test_one_that_is_made_is_waited_for_and_trickled(self) -> None:
        self.gatherer.gather("u", self.heard)
        self.assertEqual(self.heard.ended, 0)
        self.settle(RELAYED, ("2001:db8::10", 50000))
        self.assertEqual(self.heard.of("relay"), [RELAYED, ("2001:db8::10", 50000)])
        self.assertEqual(self.heard.ended, 1)

    def test_one_that_fails_is_named_and_not_waited_for(self) -> None:
        self.gatherer.gather("u", self.heard)
        self.relay.problem = ServerProblem(str(TURNS), "unauthorized", "401", 401)
        self.settle()
        self.assertEqual(self.heard.failed, [self.relay.problem])
        self.assertEqual(self.heard.ended, 1)

    def test_one_that_is_back_between_gatherings_wakes_the_watchdog_T33(self) -> None:
        self.gatherer.gather("u", self.heard).finish()
        self.settle(RELAYED)
        self.assertEqual(self.watcher.came, 1)
        self.assertEqual(self.heard.of("relay"), [])

    def test_one_with_a_successor_is_left_by_a_restart_T30(self) -> None:
        self.gatherer.gather("u", self.heard).finish()
        self.relay.leaving = [RELAYED]
        self.settle(("203.0.113.10", 50001))
        self.assertEqual((self.watcher.leaving, self.watcher.came), ([RELAYED], 0))

    def test_one_that_is_lost_is_a_base_that_is_gone(self) -> None:
        self.gatherer.relay_lost(self.relay, [RELAYED], "437")
        self.assertEqual(self.watcher.gone, [RELAYED])

    def test_every_gathering_reads_credentials_and_names_again(self) -> None:
        self.gatherer.gather("u1", self.heard)
        self.gatherer.gather("u2", self.heard)
        self.assertEqual(self.relays.refreshed, 2)

    def test_udp_is_preferred_to_tcp_and_tls(self) -> None:
        tcp = parse_server_url("turn:192.0.2.61?transport=tcp")
        relays = FakeRelays(
            [
                FakeRelay(url, _ports((f"203.0.113.{n}", 5)), settled=True)
                for n, url in enumerate((TURNS, tcp, TURN))
            ]
        )
        self.machine.gatherer(relays=relays, peer="carol").gather("u", self.heard)
        relayed = [each for each in self.heard.found if each.type.value == "relay"]
        best_first = sorted(relayed, key=lambda each: -each.priority)
        hosts = [each.address[0] for each in best_first]
        self.assertEqual(hosts, ["203.0.113.2", "203.0.113.1", "203.0.113.0"])


class ChoiceTests(SynchronousTestCase):
    """One server by UDP, TCP and TLS: one relay is offered, the best that works."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.heard = Heard()
        urls = ("turn:t.example", "turn:t.example?transport=tcp", "turns:t.example")
        self.udp, self.tcp, self.tls = (FakeRelay(parse_server_url(url)) for url in urls)
        relays = FakeRelays([self.tls, self.udp, self.tcp])
        self.gatherer = self.machine.gatherer(relays=relays)
        self.gathering = self.gatherer.gather("u", self.heard)

    def settle(self, relay: FakeRelay, *addresses: Address) -> None:
        relay.ports, relay.settled = _ports(*addresses), True
        self.gatherer.relay_settled(relay)

    def test_the_best_ends_the_wait_for_the_others(self) -> None:
        self.settle(self.udp, RELAYED)
        self.assertEqual((self.heard.of("relay"), self.heard.ended), ([RELAYED], 1))

    def test_a_lesser_one_waits_a_moment_for_a_better(self) -> None:
        self.settle(self.tls, RELAYED)
        self.machine.advance(PATIENCE - 0.05)
        self.assertEqual(self.heard.of("relay"), [])
        self.machine.advance(0.1)
        self.assertEqual((self.heard.of("relay"), self.heard.ended), ([RELAYED], 0))

    def test_a_better_one_that_comes_later_is_offered_too(self) -> None:
        self.settle(self.tls, RELAYED)
        self.machine.advance(PATIENCE + 0.05)
        self.settle(self.udp, ("203.0.113.10", 50001))
        self.assertEqual(self.heard.of("relay"), [RELAYED, ("203.0.113.10", 50001)])
        self.assertEqual(self.heard.ended, 1)

    def test_a_better_one_that_failed_is_not_waited_for(self) -> None:
        self.settle(self.tcp, RELAYED)
        self.settle(self.udp)
        self.assertEqual((self.heard.of("relay"), self.heard.ended), ([RELAYED], 1))

    def test_when_the_best_is_lost_the_next_takes_its_place(self) -> None:
        other = FakeRelay(parse_server_url("turn:other.example"))
        relays = FakeRelays([self.udp, self.tcp, other])
        gatherer = self.machine.gatherer(relays=relays, peer="carol")
        for relay, port in ((self.udp, 1), (self.tcp, 2)):
            relay.ports, relay.settled = _ports((RELAYED[0], port)), True
        heard = Heard()
        gatherer.gather("u", heard)
        self.machine.advance(PATIENCE + 0.05)
        self.udp.ports, self.udp.settled = [], False
        gatherer.relay_lost(self.udp, [(RELAYED[0], 1)], "unanswered")
        self.assertEqual(heard.of("relay"), [(RELAYED[0], 1), (RELAYED[0], 2)])

    def test_a_lesser_one_that_comes_after_the_end_is_no_news(self) -> None:
        """A round that is under way is not superseded for it."""
        watcher = self.gatherer.watcher = Watcher()
        self.settle(self.udp, RELAYED)
        self.settle(self.tcp, ("203.0.113.10", 50001))
        self.assertEqual((self.heard.ended, watcher.came), (1, 0))
        self.udp.ports = []
        self.settle(self.tls, ("203.0.113.10", 50002))
        self.settle(self.tcp, ("203.0.113.10", 50001))
        self.assertEqual(watcher.came, 1)

    def test_nobody_is_offered_after_the_end_rule_51(self) -> None:
        self.settle(self.tls, RELAYED)
        self.gathering.finish()
        self.machine.advance(1.0)
        self.assertEqual((self.heard.of("relay"), self.heard.ended), ([], 1))


class PolicyTests(SynchronousTestCase):
    """Rule 16: what a policy forbids is neither exposed nor used, and leaks nowhere."""

    def gather(self, settings: GatherSettings) -> tuple[Machine, Heard]:
        machine, heard = Machine(), Heard()
        relays = FakeRelays([FakeRelay(TURN, _ports(RELAYED), settled=True)])
        machine.gatherer(URL, settings=settings, relays=relays).gather("u", heard)
        if settings.policy != "relay":
            machine.answer(next(iter(machine.mux.ports)), MAPPED)
        return machine, heard

    def test_relay_offers_relayed_candidates_only_and_asks_no_server_rule_16(self) -> None:
        machine, heard = self.gather(GatherSettings(policy="relay"))
        self.assertEqual([each.type.value for each in heard.found], ["relay"])
        self.assertEqual([each.related for each in heard.signaled], [None])
        self.assertEqual([port.sent for port in machine.factory.opened], [[]])
        self.assertEqual(heard.ended, 1)

    def test_a_gathering_can_be_for_relays_alone_if_there_are_any(self) -> None:
        machine, relays = Machine(), FakeRelays([FakeRelay(TURNS)])
        gatherer = machine.gatherer(URL, TURNS, relays=relays)
        for ports, kinds in ((_ports(RELAYED), {"relay"}), ([], {"host"})):
            relays.relays[0].ports, heard = ports, Heard()
            gatherer.relay_only = True
            gatherer.gather("u", heard)
            self.assertEqual({each.type.value for each in heard.found}, kinds)
        gatherer.gather("v", heard := Heard())
        self.assertIn("host", {each.type.value for each in heard.found})

    def test_nohost_tells_no_local_address_rule_16(self) -> None:
        _machine, heard = self.gather(GatherSettings(policy="nohost"))
        self.assertEqual({each.type.value for each in heard.signaled}, {"srflx", "relay"})
        self.assertEqual({each.related for each in heard.signaled}, {None})

    def test_names_of_ours_stand_for_local_addresses(self) -> None:
        machine, heard = Machine(), Heard()
        gatherer = machine.gatherer(URL, settings=GatherSettings(mdns=True))
        gatherer.names = lambda host: f"{host.replace('.', '-')}.local"
        gatherer.gather("u", heard)
        machine.answer(next(iter(machine.mux.ports)), MAPPED)
        self.assertEqual(heard.signaled[0].address[0], "10-0-0-1.local")
        self.assertEqual(heard.found[0].address[0], "10.0.0.1")
        self.assertEqual(heard.signaled[1].related, None)

    def test_hidden_related_addresses_are_told_to_nobody_rule_16(self) -> None:
        _machine, heard = self.gather(GatherSettings(hide_related=True))
        self.assertEqual(len(heard.of("host")), 1)
        self.assertEqual({each.related for each in heard.signaled}, {None})

    def test_hidden_addresses_cannot_be_found_from_foundations_rule_16(self) -> None:
        """A digest of an address alone tells it to whoever tries all private ones."""
        _machine, heard = self.gather(GatherSettings(policy="nohost"))
        told = [each for each in heard.signaled if each.type is CandidateType.SRFLX]
        self.assertTrue(told)
        guesses = {
            candidate_foundation(CandidateType.SRFLX, f"10.0.0.{each}", server_host=SERVER[0])
            for each in range(256)
        }
        found = [each for each in heard.found if each.type is CandidateType.SRFLX]
        self.assertIn(found[0].foundation, guesses)
        self.assertEqual(guesses.intersection(each.foundation for each in told), set())

    def test_what_had_one_foundation_still_has_one_rule_16(self) -> None:
        machine, heard = Machine(), Heard()
        gatherer = machine.gatherer(URL, settings=GatherSettings(hide_related=True))
        for ufrag in "ab":
            gatherer.gather(ufrag, heard)
        hosts = [each.foundation for each in heard.signaled if each.type is CandidateType.HOST]
        self.assertEqual((len(hosts), len(set(hosts))), (2, 1))

    def test_otherwise_they_are_told(self) -> None:
        _machine, heard = self.gather(GatherSettings())
        told = [each.related for each in heard.signaled if each.type.value != "host"]
        self.assertNotIn(None, told)


class HostGathererTests(SynchronousTestCase):
    """Without servers."""

    def test_the_bases_in_their_order_and_the_end(self) -> None:
        heard = Heard()
        bases: list[Address] = [("10.0.0.1", 1), ("10.0.0.2", 2)]
        gathering = HostGatherer(lambda: bases).gather("u", heard)
        gathering.finish()
        gathering.cancel()
        self.assertEqual((heard.of("host"), heard.ended), (bases, 1))
        self.assertGreater(heard.found[0].priority, heard.found[1].priority)
