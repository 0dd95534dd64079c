"""What a remote description may change, and when (rules 18, 23, 24, 30, 31, 35, 37, 39; T6)."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    AbandonGeneration,
    Description,
    DtlsAgreed,
    IceDropped,
    InvalidAccessError,
    RemoteCredentialsPending,
    StageGeneration,
    StartGeneration,
)

from .sides import (
    CHANGE,
    FINGERPRINT,
    PRANSWER,
    Side,
    connected,
    credentials,
    exchange,
    kinds,
    only,
    replaced,
    ufrag,
    without,
)

OTHER_FINGERPRINT = FINGERPRINT.replace("AB", "CD")


def with_credentials(description: Description, ufrag: str, pwd: str) -> Description:
    """Other ones."""
    old = credentials(description)
    return replaced(replaced(description, old.ufrag, ufrag), old.pwd, pwd)


def at_session_level(description: Description, *lines: str) -> Description:
    """More lines before the first section."""
    return replaced(
        description, "m=application", "".join(f"{x}\r\n" for x in lines) + "m=application"
    )


def at_section(description: Description, line: str) -> Description:
    """One more line at the end."""
    return Description(description.type, f"{description.sdp}{line}\r\n")


def without_ice(description: Description) -> Description:
    """An answer of somebody who knows no ICE."""
    lines = description.sdp.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("a=ice", "a=candidate", "a=end-of"))]
    return Description(description.type, "".join(kept))


class CredentialRules(SynchronousTestCase):
    """Rules 23 and 24, T6."""

    def test_an_offer_that_changes_only_one_of_them_restarts_T6(self) -> None:
        for change_ufrag in (True, False):
            one, two = connected()
            before = credentials(two.jsep.current_local)
            old = credentials(one.jsep.current_local)
            new = ("abcd", old.pwd) if change_ufrag else (old.ufrag, "p" * 24)
            effects = two.take(with_credentials(one.offer(), *new))
            self.assertEqual(len(only(effects, RemoteCredentialsPending)), 1)
            after = credentials(two.answer())
            self.assertNotEqual(after.ufrag, before.ufrag)
            self.assertNotEqual(after.pwd, before.pwd)

    def test_an_answer_may_change_only_one_of_them_if_we_restart_T6_rule_23(self) -> None:
        one, two = connected()
        old = credentials(two.jsep.current_local)
        two.take(one.offer(restart=True))
        answer = with_credentials(two.answer(), old.ufrag, "p" * 24)
        self.assertEqual(len(only(one.take(answer), StartGeneration)), 1)

    def test_an_answer_restarts_although_the_offer_did_not_rule_23(self) -> None:
        one, two = connected()
        two.take(one.offer())
        answer = with_credentials(two.answer(), "abcd", "p" * 24)
        self.assertRaises(InvalidAccessError, one.take, answer)
        self.assertEqual(one.state, "have-local-offer")

    def test_an_answer_to_a_restart_repeats_the_old_ones_rule_23(self) -> None:
        one, two = connected()
        old = credentials(two.jsep.current_local)
        two.take(one.offer(restart=True))
        answer = with_credentials(two.answer(), old.ufrag, old.pwd)
        self.assertRaises(InvalidAccessError, one.take, answer)
        self.assertEqual(one.state, "have-local-offer")

    def test_another_provisional_answer_discards_the_checks_of_the_first_rule_23(self) -> None:
        one, two = Side(1), Side(2)
        offer = one.offer()
        two.take(offer)
        first = Description(PRANSWER, two.answer().sdp)
        one.take(first)
        second = with_credentials(first, "abcd", "p" * 24)
        local = credentials(offer)
        self.assertEqual(
            one.take(second),
            [
                AbandonGeneration(local.ufrag),
                StageGeneration(local),
                StartGeneration(local.ufrag, credentials(second), False, True),
            ],
        )

    def test_credentials_are_checked_when_parsed_rule_24(self) -> None:
        offer = Side(1).offer()
        old = credentials(offer)
        for bad in (("abc", old.pwd), ("ab-cd", old.pwd), (old.ufrag, "p" * 21)):
            two = Side(2)
            error = self.assertRaises(InvalidAccessError, two.take, with_credentials(offer, *bad))
            self.assertIsNotNone(error.line)
            self.assertEqual(two.state, "stable")


class UnchangedWithoutRestart(SynchronousTestCase):
    """Rules 30 and 31."""

    def test_ice_lite_pacing_and_options_change_only_with_a_restart_rule_31(self) -> None:
        for lines in (("a=ice-lite",), ("a=ice-pacing:20",)):
            one, two = connected()
            offer = at_session_level(one.offer(), *lines)
            self.assertRaises(InvalidAccessError, two.take, offer)
            self.assertEqual(two.state, "stable")
            two.take(at_session_level(one.offer(restart=True), *lines))
        one, two = connected()
        other = replaced(one.offer(), "trickle ice2", "trickle ice2 renomination")
        self.assertRaises(InvalidAccessError, two.take, other)
        two.take(replaced(one.offer(restart=True), "trickle ice2", "trickle"))

    def test_options_that_an_answer_could_not_name_are_no_change_rule_31(self) -> None:
        one, two = Side(1), Side(2)
        offer = replaced(one.offer(), "trickle ice2", "trickle")
        two.take(offer)
        one.take(two.answer())
        # Their answer had to leave their options out; ours keep what the exchange had.
        later = replaced(one.offer(), "a=ice-options:trickle ice2", "a=ice-options:trickle")
        two.take(later)
        one.take(two.answer())
        self.assertIn("a=ice-options:trickle\r\n", two.jsep.create_offer().sdp)
        self.assertIn("a=ice-options:trickle ice2\r\n", two.jsep.create_offer(True).sdp)

    def test_another_dtls_identity_needs_a_restart_rule_30(self) -> None:
        one, two = connected()
        changed = replaced(one.offer(), FINGERPRINT, OTHER_FINGERPRINT)
        self.assertRaises(InvalidAccessError, two.take, changed)
        offer = one.offer()
        tls_id = offer.sdp.partition("a=tls-id:")[2].partition("\r\n")[0]
        self.assertRaises(InvalidAccessError, two.take, replaced(offer, tls_id, "t" * 20))
        two.take(replaced(one.offer(restart=True), FINGERPRINT, OTHER_FINGERPRINT))

    def test_nor_may_an_answer_change_it_rule_30(self) -> None:
        one, two = connected()
        two.take(one.offer())
        answer = replaced(two.answer(), FINGERPRINT, OTHER_FINGERPRINT)
        self.assertRaises(InvalidAccessError, one.take, answer)

    def test_an_association_that_goes_on_keeps_its_dtls_role_rule_30(self) -> None:
        one, two = connected()
        self.assertIn(
            "a=setup:active", two.jsep.current_local.sdp if two.jsep.current_local else ""
        )
        one.take(two.offer(restart=True))
        self.assertIn("a=setup:passive", one.answer().sdp)

    def test_another_role_alone_means_nothing_of_a_peer_without_tls_ids(self) -> None:
        """Firefox answers ``active`` to every offer, and goes on as it was; RFC 8842 4."""
        for with_tls_ids in (True, False):
            said = (lambda each: each) if with_tls_ids else partial(without, name="tls-id")
            ours, firefox = Side(1), Side(2)
            ours.take(said(firefox.offer()))
            firefox.take(ours.answer())
            firefox.take(said(ours.offer(restart=True)))
            answer = replaced(said(firefox.answer()), "a=setup:passive", "a=setup:active")
            agreed = [each for each in ours.take(answer) if isinstance(each, DtlsAgreed)]
            self.assertEqual(bool(agreed), with_tls_ids)

    def test_what_the_peer_only_repeats_is_not_its_own(self) -> None:
        """libdatachannel repeats every attribute that it does not know."""
        ours, theirs = Side(1), Side(2)
        offer = ours.offer()
        theirs.take(offer)
        answer = theirs.answer()
        mine, its = (each.sdp.partition("a=tls-id:")[2].split("\r")[0] for each in (offer, answer))
        echo = at_section(replaced(answer, its, mine), "a=refreeze:dtls")
        (agreed,) = (each for each in ours.take(echo) if isinstance(each, DtlsAgreed))
        self.assertEqual((agreed.remote_tls_id, agreed.payload), (None, None))

    def test_a_new_association_chooses_anew_rule_30(self) -> None:
        one, two = connected()
        one.take(replaced(two.offer(restart=True), FINGERPRINT, OTHER_FINGERPRINT))
        self.assertIn("a=setup:active", one.answer().sdp)

    def test_an_answer_chooses_a_dtls_role(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        undecided = replaced(two.answer(), "setup:active", "setup:actpass")
        self.assertRaises(InvalidAccessError, one.take, undecided)


class WithoutIceTests(SynchronousTestCase):
    """Rule 37."""

    def test_the_session_stays_and_the_next_own_offer_restarts_rule_37(self) -> None:
        for restart in (True, False):
            one, two = connected()
            before = ufrag(one.jsep.current_local)
            offer = one.offer(restart=restart)
            two.take(offer)
            effects = one.take(without_ice(two.answer()))
            dropped = [AbandonGeneration(ufrag(offer))] if restart else []
            self.assertEqual(effects, [*dropped, IceDropped(), CHANGE])
            self.assertEqual(one.state, "stable")
            self.assertIn(before, one.started)
            offered = ufrag(one.jsep.create_offer())
            self.assertNotIn(offered, {before, ufrag(offer)})

    def test_with_ice_again_all_is_well_rule_37(self) -> None:
        one, two = connected()
        two.take(one.offer())
        one.take(without_ice(two.answer()))
        exchange(one, two)
        now = ufrag(one.jsep.current_local)
        self.assertIn(now, one.started)
        exchange(one, two)
        self.assertEqual(ufrag(one.jsep.current_local), now)

    def test_the_peers_old_credentials_are_still_no_restart_rule_37(self) -> None:
        one, two = connected()
        before = ufrag(one.jsep.current_local)
        two.take(one.offer())
        one.take(without_ice(two.answer()))
        self.assertEqual(one.take(two.offer()), [CHANGE])
        self.assertEqual(ufrag(one.answer()), before)

    def test_a_first_answer_must_have_ice(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        self.assertRaises(InvalidAccessError, one.take, without_ice(two.answer()))

    def test_an_offer_must_have_ice_rule_35(self) -> None:
        one, two = connected()
        self.assertRaises(InvalidAccessError, two.take, without_ice(one.offer()))
        self.assertEqual(two.state, "stable")


class LiteTests(SynchronousTestCase):
    """Rule 39: who controls."""

    def roles(self, *, lite_offerer: bool, lite_answerer: bool) -> tuple[bool | None, bool | None]:
        one, two = Side(1, lite=lite_offerer), Side(2, lite=lite_answerer)
        exchange(one, two)
        return one.roles[0], two.roles[0]

    def test_the_full_side_controls_and_of_two_equal_ones_the_offerer_rule_39(self) -> None:
        self.assertEqual(self.roles(lite_offerer=False, lite_answerer=False), (True, False))
        self.assertEqual(self.roles(lite_offerer=True, lite_answerer=False), (False, True))
        self.assertEqual(self.roles(lite_offerer=False, lite_answerer=True), (True, False))
        self.assertEqual(self.roles(lite_offerer=True, lite_answerer=True), (True, False))

    def test_a_peer_that_becomes_lite_by_a_restart_is_controlled_rule_42(self) -> None:
        one, two = connected()
        two.take(at_session_level(one.offer(restart=True), "a=ice-lite"))
        effects = two.did(two.jsep.set_local())
        self.assertEqual(kinds(effects)[:2], ["StageGeneration", "StartGeneration"])
        (start,) = only(effects, StartGeneration)
        self.assertEqual((start.remote_lite, start.controlling), (True, True))
