"""Candidate lines: the grammar of RFC 8839 section 5.1 (rule 76)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Candidate, CandidateType
from refreeze.sdp import SdpError, UnsupportedCandidate, format_candidate, parse_candidate

HOST = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
NAME = "6a2f5dd0-d6e5-4e5c-a5d4-0a5c4e5b1f11.local"
RELAY = "candidate:3 1 udp 16777215 198.51.100.7 6000 typ relay raddr 203.0.113.9 rport 7000"


class GrammarTests(SynchronousTestCase):
    """Rule 76."""

    def refused(self, line: str) -> str:
        error = self.assertRaises(SdpError, parse_candidate, line)
        self.assertNotIsInstance(error, UnsupportedCandidate)
        return error.expected

    def test_a_host_candidate_is_read_with_and_without_its_attribute_prefix(self) -> None:
        for line in (HOST, f"a={HOST}"):
            candidate = parse_candidate(line)
            self.assertEqual(candidate.type, CandidateType.HOST)
            self.assertEqual(candidate.address, ("192.0.2.1", 5000))
            self.assertEqual(candidate.priority, 2130706431)
            self.assertEqual((candidate.foundation, candidate.component), ("1", 1))
            self.assertIsNone(candidate.related)

    def test_related_address_ufrag_and_unknown_extensions_are_kept(self) -> None:
        candidate = parse_candidate(f"{RELAY} generation 0 ufrag EfGh network-cost 10")
        self.assertEqual(candidate.related, ("203.0.113.9", 7000))
        self.assertEqual(candidate.ufrag, "EfGh")
        self.assertEqual(candidate.extensions, (("generation", "0"), ("network-cost", "10")))

    def test_an_ipv6_address_becomes_canonical(self) -> None:
        line = HOST.replace("192.0.2.1", "2001:DB8:0:0::1")
        self.assertEqual(parse_candidate(line).address, ("2001:db8::1", 5000))

    def test_bounds_of_every_number(self) -> None:
        for bad in (
            HOST.replace(" 1 udp", " 0 udp"),
            HOST.replace(" 1 udp", " 257 udp"),
            HOST.replace("2130706431", "0"),
            HOST.replace("2130706431", "2147483648"),
            HOST.replace("2130706431", "99999999999"),
            HOST.replace("2130706431", "\u0662\u0662"),
            HOST.replace(" 5000 ", " 65536 "),
            HOST.replace(" 5000 ", " -1 "),
            RELAY.replace("7000", "65536"),
        ):
            self.refused(bad)

    def test_the_foundation_is_1_to_32_ice_chars(self) -> None:
        parse_candidate(HOST.replace(":1 ", f":{'a+/9' * 8} "))
        for bad in ("a" * 33, "a-b", "a_b"):
            self.refused(HOST.replace(":1 ", f":{bad} "))

    def test_related_address_is_required_for_all_but_host_and_forbidden_for_host(self) -> None:
        for kind in ("srflx", "prflx", "relay"):
            self.refused(HOST.replace("host", kind))
        self.refused(f"{HOST} raddr 192.0.2.9 rport 9")
        self.refused(f"{HOST} raddr 192.0.2.9")
        self.refused(RELAY.replace("rport", "rporz"))

    def test_related_addresses_stand_right_after_the_type_and_nowhere_else(self) -> None:
        """Written anew without what stood between, a host candidate would have one."""
        self.refused(f"{HOST} ufrag abcd raddr 192.0.2.9 rport 9")
        self.refused(f"{RELAY} raddr 192.0.2.9 rport 9")
        self.refused(f"{HOST} generation 0 rport 9")

    def test_shapes_that_are_no_candidate(self) -> None:
        for bad in (
            "",
            "candidate:",
            HOST.removeprefix("candidate:"),
            HOST.replace(" typ ", " tpy "),
            f"{HOST} generation",
            f"{HOST}\r\na=ice-lite",
            f"{HOST} a \u00e4",
            f"{HOST} x {'y' * 1024}",
            HOST.replace("192.0.2.1", "192.0.2.1;"),
        ):
            self.refused(bad)

    def test_a_host_candidate_may_hide_behind_a_name_of_multicast_dns(self) -> None:
        candidate = parse_candidate(HOST.replace("192.0.2.1", NAME.upper()))
        self.assertEqual(candidate.address, (NAME, 5000))
        self.assertFalse(candidate.is_ipv6)
        self.assertEqual(format_candidate(candidate), HOST.replace("192.0.2.1", NAME))

    def test_names_zones_and_unknown_types_are_to_be_ignored(self) -> None:
        for line in (
            HOST.replace("192.0.2.1", "turn.example.org"),
            HOST.replace("192.0.2.1", "printer.office.local"),
            HOST.replace("192.0.2.1", f"{NAME}."),
            HOST.replace("192.0.2.1", f"{'a' * 64}.local"),
            HOST.replace("192.0.2.1", "-a.local"),
            HOST.replace("192.0.2.1", ".local"),
            HOST.replace("192.0.2.1", "local"),
            RELAY.replace("198.51.100.7", NAME),
            HOST.replace("192.0.2.1", "fe80::1%eth0"),
            HOST.replace("typ host", "typ carrier-pigeon"),
        ):
            self.assertRaises(UnsupportedCandidate, parse_candidate, line)

    def test_a_related_address_that_is_a_name_is_not_known(self) -> None:
        self.assertIsNone(parse_candidate(RELAY.replace("203.0.113.9", NAME)).related)

    def test_the_error_does_not_repeat_the_text(self) -> None:
        error = self.assertRaises(SdpError, parse_candidate, "candidate:SECRETSECRET")
        self.assertNotIn("SECRET", str(error) + repr(error))


class FormatTests(SynchronousTestCase):
    """What we write."""

    def test_what_was_parsed_is_written_again(self) -> None:
        for line in (HOST, RELAY, f"{HOST} generation 0 network-id 2 ufrag EfGh"):
            self.assertEqual(format_candidate(parse_candidate(line)), line)

    def test_a_hidden_related_address_is_unspecified_with_port_0_of_its_family(self) -> None:
        for host, hidden in (("198.51.100.7", "0.0.0.0"), ("2001:db8::7", "::")):
            srflx = Candidate(CandidateType.SRFLX, (host, 6000), 5, "3")
            line = format_candidate(srflx)
            self.assertTrue(line.endswith(f"typ srflx raddr {hidden} rport 0"), line)
            self.assertIsNone(parse_candidate(line).related)

    def test_the_zone_of_a_link_local_address_stays_at_home(self) -> None:
        local = Candidate(CandidateType.HOST, ("fe80::1%eth0", 6000), 5, "3")
        self.assertIn(" fe80::1 6000 ", format_candidate(local))
