"""Credentials that change or end: another allocation beside, then the old one goes (T30)."""

from __future__ import annotations

from pathlib import Path

from refreeze.basics import Address
from refreeze.net.mux import Mux
from tests.net.fakes import FakeOwner
from tests.net.relaying import DELAY, URL, RelayCase, Watcher


def claim(mux: Mux, base: Address, remote: Address = ("203.0.113.77", 7000)) -> FakeOwner:
    """Somebody is on that base."""
    owner = FakeOwner()
    assert mux.claim(base, remote, owner)
    return owner


class RotationTests(RelayCase):
    """The operator gives another password, here and at the server."""

    def setUp(self) -> None:
        super().setUp()
        self.now_and_then: list[int] = []

    def rotate(self) -> None:
        self.server.rotate_credentials({"user": "new"})
        self.use(URL, password="new")

    def test_T30_new_credentials_allocate_on_another_socket_beside_the_old_one(self) -> None:
        relay, lease, watcher = self.ready()
        before = [port.local for port in relay.ports]
        self.use(URL, password="secret", ttl=3600.0)
        lease.refresh()
        self.assertEqual(relay.state, "ready")
        self.server.rotate_credentials({"user": "secret", "other": "new"})
        self.site.servers.clear()
        self.use(URL, username="other", credential="new", secret_file=None)
        lease.refresh()
        self.until(lambda: relay.state == "renewing", 1.1)
        self.until(lambda: relay.state == "ready", 1.0)
        self.assertEqual({each.username for each in self.server.allocations}, {"user", "other"})
        clients = {each.flow.remote for each in self.server.allocations}
        self.assertEqual(len(clients), 2)
        self.assertEqual(relay.leaving, before)
        self.assertEqual(watcher.lost, [])
        self.assertEqual(len(watcher.settled), 2)
        self.assertEqual(len(self.site.mux.ports), 4)

    def moved(self) -> tuple[list[Address], Watcher]:
        relay, lease, watcher = self.ready()
        before = [port.local for port in relay.ports]
        self.owner = claim(self.site.mux, before[0])
        self.rotate()
        lease.refresh()
        self.until(lambda: relay.leaving == before, 2.0)
        return before, watcher

    def test_the_old_one_goes_when_its_last_user_moved_off(self) -> None:
        before, watcher = self.moved()
        self.advance(30.0)
        self.assertIn(before[0], self.site.mux.ports)
        self.site.mux.release_owner(self.owner)
        self.advance(1.1)
        self.assertEqual(
            [(bases, why) for _at, bases, why in watcher.lost], [(before, "succeeded")]
        )
        self.assertNotIn(before[0], self.site.mux.ports)
        self.advance(2.1)
        self.assertEqual(self.site.sockets, 1)

    def test_the_old_one_goes_in_any_case_in_two_minutes(self) -> None:
        before, watcher = self.moved()
        self.advance(110.0)
        self.assertEqual(watcher.lost, [])
        self.advance(15.0)
        self.assertEqual(watcher.lost[0][1], before)
        self.assertEqual(len(self.site.mux.ports), 2)

    def test_an_old_one_that_dies_by_itself_is_told_as_lost(self) -> None:
        before, watcher = self.moved()
        self.site.host.add_address("203.0.113.6")
        self.site.host.remove_address("203.0.113.5")
        self.site.pool.look()
        lost = [base for _at, bases, _why in watcher.lost for base in bases]
        self.assertLessEqual(set(before), set(lost))
        self.assertEqual(dict(self.site.mux.ports), {})
        self.advance(6.0)
        self.assertEqual(len(self.site.mux.ports), 2)

    def test_release_in_the_middle_of_it_releases_both(self) -> None:
        self.moved()
        self.site.pool.relays[0].verify()
        self.close()
        self.advance(2.0)
        self.assertLessEqual(len(self.server.allocations), 1)

    def test_new_credentials_that_are_wrong_leave_the_old_allocation_where_it_is(self) -> None:
        relay, lease, watcher = self.ready()
        before = [port.local for port in relay.ports]
        self.use(URL, password="mistyped")
        lease.refresh()
        self.until(lambda: relay.problem is not None, 2.0)
        self.assertEqual([port.local for port in relay.ports], before)
        self.assertEqual(watcher.lost, [])
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "unauthorized")
        self.assertEqual(len(watcher.settled), 1)
        self.advance(2.0)
        self.use(URL)
        lease.refresh()
        self.advance(120.0)
        self.assertEqual(len(self.server.allocations), 1)
        self.assertEqual(relay.attempts, 2)

    def test_what_failed_with_others_is_not_known_of_new_ones(self) -> None:
        """A gathering waits for them, and is not told of the old failure."""
        self.use(URL, password="wrong")
        relay, lease, watcher = self.relay()
        self.until(lambda: relay.settled, 5.0)
        lease.refresh()
        self.assertTrue(relay.settled)
        self.advance(2.0)
        self.use(URL)
        lease.refresh()
        self.assertEqual((relay.settled, relay.problem, relay.state), (False, None, "trying"))
        self.until(lambda: bool(relay.ports), 1.0)
        self.assertEqual(len(watcher.settled), 2)

    def test_those_that_are_as_wrong_are_told_of_again(self) -> None:
        self.use(URL, password="wrong")
        relay, lease, watcher = self.relay()
        self.until(lambda: relay.settled, 5.0)
        self.use(URL, password="wrong too")
        lease.refresh()
        self.assertFalse(relay.settled)
        self.until(lambda: relay.settled, 2.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.code, len(watcher.settled)), (401, 2))

    def test_credentials_that_change_during_an_attempt_are_not_overlooked(self) -> None:
        for late in (False, True):
            lease, _watcher = self.site.lease(session=f"late {late}")
            relay = lease.relays[0]
            self.advance(DELAY)
            if late:
                self.advance(3 * DELAY)
            word = f"new {late}"
            self.server.rotate_credentials({"user": word})
            self.use(URL, password=word)
            self.site.pool.reconfigured()
            self.advance(3.0)
            self.assertTrue(relay.ports)
            self.assertEqual(relay.state, "ready")
            self.assertFalse(relay.wishes[0]._outdated())

    def test_credentials_that_the_server_rotated_alone_are_lost_and_found_again(self) -> None:
        relay, _lease, watcher = self.ready()
        self.server.rotate_credentials({"user": "new"})
        self.server.expire_nonces()
        relay.verify()
        self.until(lambda: bool(watcher.lost), 5.0)
        self.until(lambda: relay.settled, 5.0)
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "unauthorized")
        self.advance(2.0)
        self.use(URL, password="new")
        self.site.pool.reconfigured()
        self.until(lambda: bool(relay.ports), 1.0)


class FileTests(RelayCase):
    """Credentials in a file."""

    def test_what_the_file_holds_is_read_at_every_restart(self) -> None:
        path = Path(self.mktemp())
        path.write_text("user\nsecret\n")
        self.use(URL, credential_file=str(path))
        relay, lease, watcher = self.ready()
        self.server.rotate_credentials({"user": "secret", "second": "word"})
        path.write_text("second\nword\n")
        lease.refresh()
        self.until(lambda: len(self.server.allocations) == 2, 2.0)
        self.assertEqual(self.server.allocations[-1].username, "second")
        self.assertTrue(relay.ports)
        self.assertEqual(watcher.lost, [])

    def test_a_rotated_file_is_noticed_within_a_minute_without_a_touch(self) -> None:
        path = Path(self.mktemp())
        path.write_text("user\nsecret\n")
        self.use(URL, credential_file=str(path))
        relay, _lease, watcher = self.ready()
        self.server.rotate_credentials({"user": "secret", "second": "word"})
        path.write_text("second\nword\n")
        self.until(lambda: len(watcher.settled) == 2, 61.0)
        self.assertEqual(watcher.lost, [])
        self.assertTrue(relay.leaving)
        self.advance(600.0)
        self.assertEqual((relay.attempts, len(self.server.allocations)), (2, 1))

    def test_a_mistyped_file_that_is_put_right_is_noticed_within_a_minute(self) -> None:
        path = Path(self.mktemp())
        path.write_text("user\nmistyped\n")
        self.use(URL, credential_file=str(path))
        relay, _lease, _watcher = self.relay()
        self.advance(130.0)
        self.assertLessEqual(relay.attempts, 4)
        path.write_text("user\nsecret\n")
        self.until(lambda: bool(relay.ports), 61.0)

    def test_a_file_that_is_not_there_is_a_problem_with_a_name_told_later(self) -> None:
        path = Path(self.mktemp())
        self.use(URL, credential_file=str(path))
        relay, lease, watcher = self.relay()
        self.assertEqual(watcher.settled, [])
        self.until(lambda: relay.settled, 0.1)
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "no-credentials")
        self.assertIn(str(path), relay.problem.text)
        path.write_text("user\nsecret\n")
        self.advance(2.0)
        lease.refresh()
        self.until(lambda: bool(relay.ports), 1.0)

    def test_a_file_that_goes_while_there_is_an_allocation_changes_nothing(self) -> None:
        path = Path(self.mktemp())
        path.write_text("user\nsecret\n")
        self.use(URL, credential_file=str(path))
        relay, lease, watcher = self.ready()
        path.unlink()
        lease.refresh()
        self.advance(5.0)
        self.assertTrue(relay.ports)
        self.assertEqual((watcher.lost, relay.problem), ([], None))


class TimeLimitedTests(RelayCase):
    """Made of a secret, for a limited time."""

    def setUp(self) -> None:
        super().setUp()
        self.server.rotate_credentials(secret="shared")

    def test_they_are_renewed_before_they_expire_and_nothing_is_lost(self) -> None:
        self.use(URL, secret="shared", ttl=120.0)
        relay, _lease, watcher = self.ready()
        self.advance(80.0)
        self.assertEqual((relay.attempts, relay.leaving), (1, []))
        self.until(lambda: len(watcher.settled) == 2, 15.0)
        self.assertTrue(relay.leaving)
        self.advance(600.0)
        self.assertGreaterEqual(relay.attempts, 6)
        self.assertTrue(relay.ports)
        self.assertEqual({why for _at, _bases, why in watcher.lost}, {"succeeded"})
        self.assertEqual(self.server.journal.counts["expired"], 0)

    def test_a_long_life_is_renewed_a_quarter_of_an_hour_before_its_end(self) -> None:
        self.use(URL, secret="shared", ttl=86400.0)
        relay, _lease, watcher = self.ready()
        self.advance(86400.0 - 900.0 - 30.0)
        self.assertEqual(relay.attempts, 1)
        self.advance(60.0)
        self.assertEqual((relay.attempts, len(watcher.settled)), (2, 2))
        self.assertTrue(relay.ports)

    def test_restarts_do_not_renew_what_is_good(self) -> None:
        self.use(URL, secret="shared", ttl=86400.0)
        relay, lease, _watcher = self.ready()
        for _ in range(5):
            self.advance(100.0)
            lease.refresh()
        self.assertEqual(relay.attempts, 1)

    def test_another_secret_is_noticed_at_the_next_restart(self) -> None:
        self.use(URL, secret="shared", ttl=86400.0)
        relay, lease, watcher = self.ready()
        self.advance(100.0)
        self.server.rotate_credentials(secret="another")
        self.use(URL, secret="another", ttl=86400.0)
        lease.refresh()
        self.until(lambda: len(watcher.settled) == 2, 1.0)
        self.assertTrue(relay.leaving)
