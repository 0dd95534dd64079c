"""What RFC 8839 has in the text of descriptions (rules 20, 21, 24, 32 to 34, 38, 40, 75 to 77)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    AddRemoteCandidate,
    Description,
    InvalidAccessError,
    JsepError,
    OperationError,
    StartGeneration,
)
from refreeze.jsep.errors import RTCError
from refreeze.sdp import MAX_BYTES, MAX_SECTIONS, SessionDescription
from tests.corpus import OFFERS, load
from tests.fuzz.traced import Traced

from .sides import ANSWER, CHANGE, OFFER, Side, connected, credentials, only, replaced

ELSEWHERE = "c=IN IP4 0.0.0.0"
HOST = "candidate:1 1 udp 2130706431 192.0.2.1 {} typ host"


def at_section(description: Description, *lines: str) -> Description:
    """More lines at the end."""
    more = "".join(f"{line}\r\n" for line in lines)
    return Description(description.type, description.sdp + more)


def lines_of(description: Description | None, start: str) -> list[str]:
    """Those that begin so."""
    assert description is not None
    return [line for line in description.sdp.splitlines() if line.startswith(start)]


def answer_to(sdp: str) -> tuple[Side, SessionDescription]:
    """Who answered a first offer, and how."""
    side = Side()
    side.jsep.set_remote(Description(OFFER, sdp))
    side.jsep.set_local()
    assert side.jsep.local_description is not None
    return side, SessionDescription.parse(side.jsep.local_description.sdp)


class SameGenerationTests(SynchronousTestCase):
    """What is no restart, however it is written."""

    def check_goes_on(self, side: Side, offer: Description) -> None:
        """Nothing but the signaling state changes, and our credentials stay."""
        before = credentials(side.jsep.current_local)
        self.assertEqual(side.take(offer), [CHANGE])
        self.assertEqual(credentials(side.answer()), before)

    def test_credentials_may_move_between_the_levels_rule_32(self) -> None:
        one, two = connected()
        offer = one.offer()
        ice = lines_of(offer, "a=ice-ufrag") + lines_of(offer, "a=ice-pwd")
        moved = offer.sdp
        for line in ice:
            moved = moved.replace(f"{line}\r\n", "")
        moved = moved.replace("m=", "".join(f"{line}\r\n" for line in ice) + "m=", 1)
        self.check_goes_on(two, Description(OFFER, moved))

    def test_an_unspecified_c_line_is_tricklings_not_a_restart_rule_32(self) -> None:
        """RFC 8838 section 4.1.1 and JSEP have it in every offer without candidates."""
        one, two = Side(1), Side(2)
        offer = replaced(one.offer(), ELSEWHERE, "c=IN IP4 192.0.2.1")
        two.take(offer)
        one.take(two.answer())
        self.check_goes_on(two, one.offer())

    def test_we_never_hold_by_an_unspecified_c_line_rule_32(self) -> None:
        """Ours is the same in every description, so that it cannot mean a thing."""
        one, _ = connected()
        first = lines_of(one.jsep.current_local, "c=")
        self.assertEqual(lines_of(one.offer(), "c="), first)
        self.assertEqual(first, [ELSEWHERE])

    def test_the_same_offer_again_may_have_more_candidates_rule_33(self) -> None:
        one, two = Side(1), Side(2)
        two.take(at_section(one.offer(), f"a={HOST.format(1)}"))
        one.take(two.answer())
        again = at_section(one.offer(), f"a={HOST.format(1)}", f"a={HOST.format(2)}")
        (added,) = only(two.take(again), AddRemoteCandidate)
        self.assertEqual(added.candidate.address, ("192.0.2.1", 2))

    def test_an_offer_that_lists_only_what_was_nominated_takes_nothing_away_rule_33(self) -> None:
        one, two = Side(1), Side(2)
        two.take(at_section(one.offer(), f"a={HOST.format(1)}", f"a={HOST.format(2)}"))
        one.take(two.answer())
        nominated = at_section(
            replaced(one.offer(), ELSEWHERE, "c=IN IP4 192.0.2.1"),
            f"a={HOST.format(2)}",
            "a=remote-candidates:1 192.0.2.9 9",
        )
        self.check_goes_on(two, nominated)

    def test_we_write_no_remote_candidates_rule_33(self) -> None:
        """JSEP's descriptions have none; neither is the peer's repeated."""
        one, two = Side(1), Side(2)
        two.take(at_section(one.offer(), "a=remote-candidates:1 192.0.2.9 9"))
        self.assertNotIn("remote-candidates", two.answer().sdp)

    def test_remote_candidates_are_answered_as_if_they_were_not_there_rule_34(self) -> None:
        texts = []
        for more in ((), ("a=remote-candidates:1 192.0.2.9 9",)):
            one, two = connected()
            self.check_goes_on(two, at_section(one.offer(), *more))
            texts.append(two.jsep.current_local)
        self.assertEqual(*texts)


class MismatchTests(SynchronousTestCase):
    """Rule 38: JSEP looks at no default destination."""

    def test_a_default_destination_that_is_no_candidate_is_no_mismatch_rule_38(self) -> None:
        offer = at_section(Side(1).offer(), f"a={HOST.format(1)}")
        for address in ("IP4 198.51.100.1", "IP4 0.0.0.0", "IP6 ::", "IP4 host.example"):
            sdp = offer.sdp.replace("IP4 0.0.0.0\r\n", f"{address}\r\n")
            side, answer = answer_to(sdp)
            self.assertFalse(answer.media[0].rejected)
            self.assertNotIn("ice-mismatch", answer.format())
            self.assertEqual(side.state, "stable")

    def test_an_answer_that_says_so_has_no_ice_rules_37_and_38(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        kept = [line for line in two.answer().sdp.splitlines() if not line.startswith("a=ice-")]
        said = "".join(f"{line}\r\n" for line in [*kept, "a=ice-mismatch"])
        error = self.assertRaises(InvalidAccessError, one.take, Description(ANSWER, said))
        self.assertIn("credentials", str(error))
        self.assertEqual(one.state, "have-local-offer")


class SectionTests(SynchronousTestCase):
    """Sections that are empty, inactive or gone."""

    def test_a_rejected_section_has_neither_candidates_nor_credentials_rule_40(self) -> None:
        for name in OFFERS:
            _, answer = answer_to(load(name))
            for media in answer.media:
                if media.rejected:
                    self.assertEqual(media.candidates, (), name)
                    self.assertFalse(media.own_credentials, name)

    def test_an_inactive_section_keeps_its_ice_rule_40(self) -> None:
        one, two = Side(1), Side(2)
        two.take(at_section(one.offer(), "a=inactive"))
        answer = two.answer()
        one.take(answer)
        self.assertEqual(len(lines_of(answer, "a=ice-ufrag")), 1)
        self.assertEqual(list(one.started.values()), [credentials(answer)])

    def test_offers_and_answers_without_candidates_are_whole_rule_40(self) -> None:
        """0.0.0.0 and port 9, with candidates or their end to follow, or without."""
        for name in (name for name in OFFERS if name.endswith("_trickled")):
            side, answer = answer_to(load(name))
            self.assertEqual(answer.media[0].port, 9, name)
            self.assertIn(ELSEWHERE, answer.media[0].lines, name)
            self.assertIsNotNone(side.jsep.current_remote, name)


class OptionTests(SynchronousTestCase):
    """Rule 21, against what peers really offer."""

    def test_an_answer_names_only_what_was_offered_rule_21(self) -> None:
        for name in OFFERS:
            offer = SessionDescription.parse(load(name))
            tagged = offer.tagged
            assert tagged is not None
            side, answer = answer_to(load(name))
            self.assertLessEqual(set(answer.ice_options), tagged.ice_options, name)
            self.assertEqual(side.jsep.can_trickle, "trickle" in tagged.ice_options, name)

    def test_offers_without_options_are_taken_rule_21(self) -> None:
        for name in OFFERS:
            lines = load(name).splitlines()
            bare = [line for line in lines if not line.startswith("a=ice-options")]
            side, answer = answer_to("".join(f"{line}\r\n" for line in bare))
            self.assertEqual((answer.ice_options, side.jsep.can_trickle), ((), False), name)

    def test_bundled_sections_that_repeat_the_credentials_start_one_generation_rule_20(
        self,
    ) -> None:
        for name in (name for name in OFFERS if name.endswith("_media")):
            side = Side()
            side.jsep.set_remote(Description(OFFER, load(name)))
            offer = SessionDescription.parse(load(name))
            tagged = offer.tagged
            assert tagged is not None
            (start,) = only(side.jsep.set_local(), StartGeneration)
            taken = {media.mid for media in offer.media if media.own_credentials}
            self.assertIn(tagged.mid, taken, name)
            self.assertIn(start.remote, {media.credentials for media in offer.media}, name)


class BoundsTests(SynchronousTestCase):
    """What costs us more than it costs the peer."""

    def test_a_group_of_very_many_mids_that_are_none_costs_little(self) -> None:
        """Credentials are looked for in the sections that there are, not for each mid."""
        many = " ".join(f"{n:x}" for n in range(1, 10000))
        lines = Side(3).offer().sdp.splitlines()
        bare = [line for line in lines if not line.startswith("a=ice-")]
        bare = [line.replace("BUNDLE 0", f"BUNDLE 0 {many}") for line in bare]
        more = (f"m=audio 9 RTP/AVP 0\r\na=mid:x{n}\r\na=rtcp-mux" for n in range(30))
        sdp = "".join(f"{line}\r\n" for line in [*bare, *more])
        traced = Traced(("refreeze/sdp/", "refreeze/jsep/"))
        side = Side()
        description = Description(OFFER, sdp)
        error = self.assertRaises(
            InvalidAccessError, traced.call, lambda _: side.jsep.set_remote(description), ""
        )
        self.assertIn("no ICE credentials", str(error))
        self.assertLess(traced.executed, 100_000)

    def test_when_the_peer_has_filled_all_sections_there_is_no_offer_with_another(self) -> None:
        """Those that we rejected stay where they are."""
        head = SessionDescription.parse(Side(3).offer().sdp).session.lines
        sections = ["m=message 9 TCP/MSRP *"] * MAX_SECTIONS
        sdp = "".join(f"{line}\r\n" for line in [*head, *sections])
        side, _ = answer_to(sdp)
        side.jsep.want_data()
        before = side.jsep.local_description
        self.assertRaises(OperationError, side.jsep.create_offer)
        self.assertRaises(OperationError, side.jsep.set_local)
        self.assertEqual((side.state, side.jsep.local_description), ("stable", before))

    def test_an_answer_that_would_be_too_long_is_not_applied(self) -> None:
        """What we reject is repeated, with a line or two of ours for each."""
        head = SessionDescription.parse(Side(3).offer().sdp).session.lines
        room = MAX_BYTES - sum(len(line) + 2 for line in head)
        line = "m=message 9 TCP/MSRP "
        section = line + "*" * (room // MAX_SECTIONS - len(line) - 2)
        sdp = "".join(f"{line}\r\n" for line in [*head, *[section] * MAX_SECTIONS])
        side = Side()
        side.take(Description(OFFER, sdp))
        self.assertRaises(RTCError, side.jsep.set_local)
        self.assertEqual((side.state, side.jsep.local_description), ("have-remote-offer", None))


class ErrorTests(SynchronousTestCase):
    """W3C's two kinds of error, each with the line; the state is as it was."""

    def refused(self, sdp: str) -> JsepError:
        _, two = connected()
        before = two.jsep.remote_description
        error = self.assertRaises(JsepError, two.take, Description(OFFER, sdp))
        self.assertEqual((two.state, two.jsep.remote_description), ("stable", before))
        return error

    def test_a_value_that_cannot_be_is_an_invalid_access_rules_24_and_75_to_77(self) -> None:
        good = Side(3).offer()
        for start, bad in (
            ("a=ice-ufrag:", "a=ice-ufrag:abc_d"),
            ("a=ice-pwd:", "a=ice-pwd:short"),
            ("a=mid:", "a=mid:0 0"),
            ("a=setup:", "a=setup:both"),
            ("a=sctp-port:", "a=candidate:1 1 udp 0 192.0.2.1 9 typ host"),
            ("a=sctp-port:", "a=ice-options:"),
            ("a=sctp-port:", "a=remote-candidates:1 192.0.2.1"),
        ):
            lines = good.sdp.splitlines()
            number = next(n for n, line in enumerate(lines) if line.startswith(start))
            lines[number] = bad
            error = self.refused("".join(f"{line}\r\n" for line in lines))
            assert isinstance(error, InvalidAccessError), bad
            self.assertEqual(error.line, number + 1, bad)

    def test_text_that_is_no_description_is_a_syntax_error_with_its_line(self) -> None:
        good = Side(3).offer().sdp.splitlines()
        for number, bad in ((1, "v=1"), (2, "o=x"), (3, "s"), (6, "m=audio"), (8, "nonsense")):
            lines = [*good[: number - 1], bad, *good[number:]]
            error = self.refused("".join(f"{line}\r\n" for line in lines))
            assert isinstance(error, RTCError), bad
            self.assertEqual((error.sdpLineNumber, error.name), (number, "OperationError"), bad)
