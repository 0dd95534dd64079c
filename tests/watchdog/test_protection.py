"""What becomes of a session whose DTLS was refused, or gave up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import Cause, StartRound, WatchState

from .driving import Driver

A_DAY = 86400.0


class RefusedTests(SynchronousTestCase):
    """Row: no restart heals that."""

    def setUp(self) -> None:
        self.driver = Driver().established()
        self.driver.policy.protection_failed("dtls-fingerprint", self.driver.now, heals=False)
        self.driver.drain()

    def held(self) -> str | None:
        """Why."""
        return self.driver.policy.snapshot().held_reason

    def causes(self) -> list[Cause]:
        """Of the rounds that began."""
        return [each.cause for each in self.driver.of(StartRound)]

    def test_it_is_held_whatever_happens_around_it(self) -> None:
        driver = self.driver
        self.assertIs(driver.state, WatchState.HELD)
        for what in (
            lambda: driver.ice("failed"),
            lambda: driver.network("major"),
            lambda: driver.online(False),
            lambda: driver.online(True),
            lambda: driver.signaling(False),
            lambda: driver.signaling(True),
            lambda: driver.policy.reset(driver.now),
        ):
            what()
            driver.drain()
            driver.wait(A_DAY)
            self.assertEqual(self.causes(), [])
        self.assertEqual(self.held(), "dtls-fingerprint")

    def test_an_operators_restart_needs_force(self) -> None:
        refusal = self.driver.policy.operator_restart(self.driver.now)
        assert refusal is not None
        self.assertEqual((refusal.code, refusal.reason), ("held", "dtls-fingerprint"))
        self.assertIsNone(self.driver.policy.operator_restart(self.driver.now, force=True))
        self.driver.drain()
        self.assertEqual(self.causes(), [Cause.OPERATOR])
        self.driver.connect()
        self.assertEqual(self.held(), "dtls-fingerprint")
        self.driver.policy.protection_ok(self.driver.now)
        self.assertIsNone(self.held())

    def test_release_asks_for_another_association(self) -> None:
        """Though ICE's path is as good as it was."""
        self.driver.policy.release(self.driver.now)
        self.driver.wait(1.0)
        self.assertEqual(self.causes(), [Cause.DTLS])

    def test_release_of_an_operators_hold_restarts_nothing(self) -> None:
        driver = Driver().established()
        driver.policy.hold(driver.now, None)
        driver.policy.release(driver.now)
        driver.wait(100.0)
        self.assertEqual(driver.of(StartRound), [])

    def test_an_offer_of_the_peer_ends_it(self) -> None:
        self.driver.offer()
        self.driver.connect()
        self.assertIsNone(self.held())

    def test_a_restart_please_of_the_peer_ends_it(self) -> None:
        self.assertTrue(self.driver.please())
        self.assertEqual(self.causes(), [Cause.PEER])

    def test_both_holds_have_to_end(self) -> None:
        self.driver.policy.hold(self.driver.now, 10.0)
        self.driver.drain()
        self.assertEqual(self.held(), "operator")
        self.driver.wait(20.0)
        self.assertEqual(self.held(), "dtls-fingerprint")


class TimedOutTests(SynchronousTestCase):
    """Row: another round makes another association."""

    def test_it_is_a_failed_path(self) -> None:
        driver = Driver().established()
        driver.policy.protection_failed("dtls-timeout", driver.now, heals=True)
        driver.wait(1.0)
        self.assertEqual([each.cause for each in driver.of(StartRound)], [Cause.DTLS])

    def test_one_that_never_works_opens_the_circuit(self) -> None:
        """As any path that dies young: no association is asked for over and over."""
        driver = Driver().established()
        for _ in range(50):
            driver.policy.protection_failed("dtls-timeout", driver.now, heals=True)
            driver.wait(100.0)
            if driver.state is WatchState.ROUND:
                driver.connect()
        self.assertLess(len(driver.of(StartRound)), 20)


class ClosedTests(SynchronousTestCase):
    """A close_notify is a bye."""

    def setUp(self) -> None:
        self.driver = Driver().established()
        self.driver.policy.peer_closed(self.driver.now, "dtls-close")
        self.driver.drain()

    def test_it_holds_until_the_peer_is_heard_of(self) -> None:
        self.driver.ice("failed")
        self.driver.wait(A_DAY)
        self.assertEqual(self.driver.of(StartRound), [])
        self.assertEqual(self.driver.policy.snapshot().held_reason, "peer-closed:dtls-close")

    def test_the_peers_next_life_ends_it(self) -> None:
        """By its presence, or by its first offer where there is no presence."""
        self.driver.online(False)
        self.driver.ice("failed")
        self.driver.online(True)
        self.driver.wait(10.0)
        self.assertEqual(len(self.driver.of(StartRound)), 1)

    def test_an_offer_of_the_peer_ends_it(self) -> None:
        self.driver.offer()
        self.driver.connect()
        self.assertIsNone(self.driver.policy.snapshot().held_reason)
