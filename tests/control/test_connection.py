"""One connection: tags, order, pipelining, formats, events, limits, the half-closed end."""

from __future__ import annotations

import json
import os
from unittest.mock import patch

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from refreeze.control import connection as module
from refreeze.control.access import Access, Role
from refreeze.control.outbox import CLOSE_ABOVE, EVENTS_STOP_ABOVE
from refreeze.signaling.cookie import Cookie
from tests.control.fakes import STAMP, STRANGER, Desk


class RequestTests(SynchronousTestCase):
    """Lines in, answers out."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()

    def test_the_greeting_says_who_both_are(self) -> None:
        client = self.desk.connect(greeted=False)
        self.assertEqual(client.lines(), ["* refreeze 1 server=0.1.0 role=admin auth=peercred"])

    def test_a_tag_stands_on_every_line_of_its_answer(self) -> None:
        self.assertEqual(
            self.client.ask("@7 status", "@x nonsense", "ping"),
            [
                "@7 - sessions=2 storm=calm uptime=1.5",
                "@7 OK",
                '@x ERR unknown-command verb=nonsense hint="help lists them" retry=no',
                "OK",
            ],
        )

    def test_answers_keep_the_order_of_the_requests(self) -> None:
        """Also those that the grammar refuses: they wait for the slow one before them."""
        self.assertEqual(self.client.ask("@1 restart s-4f wait=9", "@2 ping", "@3 ="), [])
        self.desk.operations.restarts["s-4f"].callback({"id": "s-4f", "outcome": "succeeded"})
        self.assertEqual(
            [line.split()[0] for line in self.client.lines()], ["@1", "@1", "@2", "@3"]
        )

    def test_a_request_may_come_in_pieces_and_with_crlf(self) -> None:
        for piece in (b"pi", b"ng\r", b"\nver"):
            self.client.connection.dataReceived(piece)
        self.assertEqual(self.client.lines(), ["OK"])
        self.assertEqual(self.client.ask("sion"), ["OK server=0.1.0 protocol=1"])

    def test_a_runbook_can_be_pasted(self) -> None:
        self.assertEqual(self.client.ask("# first look", "", "ping"), ["OK"])

    def test_bytes_that_are_no_utf8_are_bad_syntax(self) -> None:
        self.client.connection.dataReceived(b"ping \xff\n")
        self.assertEqual(
            self.client.lines(), ['ERR bad-syntax byte=6 hint="UTF-8 is wanted" retry=no']
        )

    def test_bad_syntax_names_the_column(self) -> None:
        self.assertEqual(
            self.client.ask("restart 'x'")[0].split(" hint")[0], "ERR bad-syntax column=9"
        )

    def test_64_requests_wait_and_then_the_socket_does(self) -> None:
        self.client.ask("restart s-4f wait=60")
        self.client.ask(*["ping"] * 63)
        self.assertEqual(self.client.transport.producerState, "producing")
        self.client.ask("version")
        self.assertEqual(self.client.transport.producerState, "paused")
        self.desk.operations.restarts["s-4f"].callback({"id": "s-4f", "outcome": "succeeded"})
        self.desk.clock.pump([0] * 5)
        self.assertEqual(self.client.transport.producerState, "producing")
        lines = self.client.lines()
        self.assertEqual(lines[2:], [*["OK"] * 63, "OK server=0.1.0 protocol=1"])

    def test_one_client_does_not_keep_the_reactor(self) -> None:
        self.assertEqual(len(self.client.ask(*["ping"] * 100)), 16)
        self.desk.clock.pump([0] * 6)
        self.assertEqual(len(self.client.lines()), 84)

    def test_a_line_of_4096_bytes_is_read_and_a_longer_one_closes(self) -> None:
        hold = f"hold for=10m s-{'x' * 4090}"[:4096]
        self.assertIn("no-such-session", self.client.ask(hold)[0])
        self.assertEqual(self.client.ask(f"{hold}x"), ["ERR too-long limit=4096 retry=no"])
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_line_without_end_closes_before_its_end(self) -> None:
        self.client.connection.dataReceived(b"x" * 4097)
        self.assertEqual(self.client.lines(), ["ERR too-long limit=4096 retry=no"])
        self.assertEqual(self.client.ask("ping"), [])

    def test_an_observer_gets_no_long_lines_for_signal(self) -> None:
        observer = self.desk.connect(STRANGER)
        self.assertIn("too-long", observer.ask(f'signal "{"x" * 5000}"')[0])

    def test_quit_answers_and_closes(self) -> None:
        self.assertEqual(self.client.ask("quit", "ping"), ["OK"])
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_client_that_does_not_take_the_end_is_aborted(self) -> None:
        self.client.ask("quit")
        self.assertFalse(self.client.transport.aborted)
        self.desk.clock.advance(module.LINGER)
        self.assertTrue(self.client.transport.aborted)

    def test_hello_chooses_format_and_name(self) -> None:
        self.assertEqual(
            self.client.ask("hello 1 format=json name=tool"), ["OK protocol=1 role=admin"]
        )
        self.assertEqual(json.loads(self.client.ask("status")[0][2:])["sessions"], 2)
        self.assertEqual(
            self.client.ask("hello 2"), ["ERR unsupported-version supported=1 retry=no"]
        )
        self.assertIn("ERR bad-argument key=format", self.client.ask("hello 1 format=xml")[0])
        self.assertIn("ERR bad-argument key=name", self.client.ask('hello 1 name="a\\n"')[0])

    def test_what_changes_something_is_logged_with_uid_name_and_reason(self) -> None:
        with capturedLogs() as logs:
            self.client.ask("hello 1 name=tool", 'restart s-4f reason="x y"', "ping", "close zz")
        asked = [log for log in logs if "outcome" in log]
        self.assertEqual(
            [(log["who"], log["name"], log["verb"], log["keys"], log["outcome"]) for log in asked],
            [
                (f"uid {os.getuid()}", "tool", "restart", 'reason="x y"', "done"),
                (f"uid {os.getuid()}", "tool", "close", "", "no-such-session"),
            ],
        )

    def test_an_envelope_is_never_logged(self) -> None:
        with capturedLogs() as logs:
            self.client.ask('signal "ice-pwd:secret"')
        self.assertNotIn("secret", str(logs))


class HalfCloseTests(SynchronousTestCase):
    """`printf ... | nc -N` closes its half as soon as it wrote."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()

    def test_queued_answers_are_finished_before_the_end(self) -> None:
        self.client.ask("restart s-4f wait=9", "ping")
        self.client.connection.readConnectionLost()
        self.assertFalse(self.client.transport.disconnecting)
        self.desk.operations.restarts["s-4f"].callback({"id": "s-4f", "outcome": "succeeded"})
        self.assertEqual(len(self.client.lines()), 3)
        self.assertTrue(self.client.transport.disconnecting)

    def test_half_a_line_is_not_carried_out(self) -> None:
        self.client.connection.dataReceived(b"restart all")
        self.client.connection.readConnectionLost()
        self.assertEqual(
            self.client.lines(), ['ERR bad-syntax hint="the last line has no end" retry=no']
        )
        self.assertEqual(self.desk.operations.asked, [])
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_watcher_goes_on_watching(self) -> None:
        self.client.ask("watch")
        self.client.connection.readConnectionLost()
        self.desk.events.emit("log", {"n": 1})
        self.assertEqual(self.client.lines(), [f"! 1 {STAMP} log n=1"])


class ChangeOfRolesTests(SynchronousTestCase):
    """The configuration was read again."""

    def test_users_have_their_new_roles_at_once(self) -> None:
        desk = Desk(uids={STRANGER: Role.OPERATOR})
        client, root = desk.connect(STRANGER), desk.connect(0)
        desk.server.change_access(Access(uids={STRANGER: Role.ADMIN}))
        self.assertEqual(client.ask("reload"), ["OK opened=1 closed=0"])
        desk.server.change_access(Access(gids={}))
        self.assertIn("not-permitted", client.ask("reload")[0])
        desk.server.change_access(Access(gids={}, others=Role.NONE))
        self.assertEqual(client.lines(), ["* bye reason=not-permitted"])
        self.assertEqual(root.ask("reload"), ["OK opened=1 closed=0"])

    def test_who_has_shown_nothing_yet_gets_nothing(self) -> None:
        desk = Desk(others=Role.NONE, gids={})
        waiting, proving = desk.connect(STRANGER), desk.connect(cookie=Cookie(bytes(32)))
        desk.server.change_access(Access(others=Role.ADMIN))
        for client in (waiting, proving):
            self.assertIn("auth-required", client.ask("list")[0])


class EventTests(SynchronousTestCase):
    """watch, and what becomes of it."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()

    def emit(self, count: int, topic: str = "session.state") -> None:
        for index in range(count):
            self.desk.events.emit(topic, {"n": index})

    def test_watch_follows_topics_and_their_families(self) -> None:
        self.assertEqual(self.client.ask("watch session job"), ["OK since=0"])
        for topic in ("session.state", "sessions", "job.done", "log", "session"):
            self.desk.events.emit(topic, {"id": "s-9a"})
        self.assertEqual(
            self.client.lines(),
            [
                f"! 1 {STAMP} session.state id=s-9a",
                f"! 3 {STAMP} job.done id=s-9a",
                f"! 5 {STAMP} session id=s-9a",
            ],
        )
        self.assertEqual(self.client.ask("unwatch"), ["OK"])
        self.emit(1)
        self.assertEqual(self.client.lines(), [])

    def test_nothing_is_followed_without_watch(self) -> None:
        self.emit(1)
        self.assertEqual(self.client.lines(), [])

    def test_since_replays_what_is_kept_and_goes_on(self) -> None:
        self.emit(3)
        lines = self.client.ask("watch since=1")
        self.emit(1)
        self.assertEqual(lines[0], "OK since=1")
        numbers = [line.split()[1] for line in lines[1:] + self.client.lines()]
        self.assertEqual(numbers, ["2", "3", "4"])

    def test_what_is_kept_no_more_is_a_gap(self) -> None:
        self.emit(10_050)
        with patch.object(self.client.connection, "_event_line") as line:
            self.client.ask("watch since=20")
        self.assertEqual(line.call_args_list[0].args, (50, STAMP, "gap", {"missed": 30}))
        self.assertEqual(line.call_args_list[1].args[0], 51)
        self.assertEqual(line.call_count, 10_001)

    def test_a_number_of_an_earlier_life_starts_over(self) -> None:
        self.emit(2)
        lines = self.client.ask("watch since=4711")
        self.assertEqual(lines[0], "OK since=0 reset=yes")
        self.assertEqual(len(lines), 3)

    def test_snapshot_then_follow_is_atomic(self) -> None:
        self.emit(2)
        lines = self.client.ask("watch session snapshot")
        self.assertEqual(lines[2], "OK since=2")
        self.assertTrue(all(line.startswith("- id=") for line in lines[:2]))
        self.emit(1)
        self.assertTrue(self.client.lines()[0].startswith("! 3 "))

    def test_an_event_never_stands_inside_an_answer(self) -> None:
        """Not even when looking at the sessions makes one."""
        listed = self.desk.operations.list_sessions

        def noisy() -> list[dict[str, object]]:
            self.emit(1)
            return listed()

        self.desk.operations.list_sessions = noisy  # type: ignore[method-assign]
        self.client.ask("watch")
        lines = self.client.ask("@t list")
        self.assertEqual([line[:1] for line in lines], ["!", "@", "@", "@"])

    def test_json_mode_keeps_the_frame(self) -> None:
        self.client.ask("hello 1 format=json", "watch")
        self.emit(1)
        self.assertEqual(self.client.lines(), [f'! 1 {STAMP} session.state {{"n":0}}'])

    def test_envelopes_go_only_to_operators_who_name_the_topic(self) -> None:
        observer = self.desk.connect(STRANGER)
        watching = self.desk.connect()
        for client, line in (
            (observer, "watch signal"),
            (self.client, "watch signal"),
            (watching, "watch"),
        ):
            client.ask(line)
        self.desk.events.emit("signal", {"envelope": "ice-pwd"})
        self.desk.events.emit("signal.up", {"id": "s-4f"})
        self.assertEqual([len(c.lines()) for c in (observer, self.client, watching)], [1, 2, 1])

    def test_a_follower_that_fails_does_not_stop_the_others(self) -> None:
        def broken(_event: object) -> None:
            raise ZeroDivisionError

        self.desk.events.follow(broken)
        late = self.desk.connect()
        late.ask("watch")
        self.emit(1)
        self.assertEqual(len(late.lines()), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.desk.events.unfollow(broken)


class SlowReaderTests(SynchronousTestCase):
    """A client that does not read costs memory up to a limit, and then itself."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()
        self.client.ask("watch")
        self.producer = self.client.transport.producer

    def fill(self, size: int) -> None:
        """Events of about 1000 bytes, *size* bytes in all."""
        for _ in range(size // 1000):
            self.desk.events.emit("log", {"text": "x" * 950})

    def test_while_the_transport_is_paused_nothing_is_written_to_it(self) -> None:
        self.producer.pauseProducing()
        self.fill(100_000)
        self.assertEqual(self.client.lines(), [])
        self.producer.resumeProducing()
        self.assertEqual(len(self.client.lines()), 100)

    def test_above_1_mib_events_are_dropped_and_the_gap_is_told_in_its_place(self) -> None:
        self.producer.pauseProducing()
        self.fill(EVENTS_STOP_ABOVE + 500_000)
        total = self.desk.events.number
        self.producer.resumeProducing()
        lines = self.client.lines()
        kept = len(lines) - 1
        self.assertEqual(lines[-1], f"! {total} {STAMP} gap missed={total - kept}")
        self.desk.events.emit("log", {"n": 1})
        self.assertEqual(self.client.lines(), [f"! {total + 1} {STAMP} log n=1"])

    def test_answers_are_never_dropped(self) -> None:
        self.producer.pauseProducing()
        self.fill(EVENTS_STOP_ABOVE + 10_000)
        self.client.ask("@late ping")
        self.producer.resumeProducing()
        self.assertIn("@late OK", self.client.lines())

    def test_above_8_mib_it_is_closed(self) -> None:
        self.desk.operations.table["s-4f"]["note"] = "x" * 1_000_000
        self.producer.pauseProducing()
        for _ in range(CLOSE_ABOVE // 1_000_100):
            self.assertEqual(self.client.ask("list"), [])
        self.assertEqual(self.client.ask("list"), ["* bye reason=slow"])
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.client.ask("ping"), [])

    def test_another_client_is_not_touched(self) -> None:
        other = self.desk.connect()
        other.ask("watch")
        self.producer.pauseProducing()
        self.fill(2 * EVENTS_STOP_ABOVE)
        self.assertEqual(len(other.lines()), 2 * EVENTS_STOP_ABOVE // 1000)


class AdmissionTests(SynchronousTestCase):
    """32 connections, one of them root's."""

    def test_the_last_place_is_for_root(self) -> None:
        desk = Desk()
        clients = [desk.connect(STRANGER) for _ in range(31)]
        refused = desk.connect(STRANGER, greeted=False)
        self.assertEqual(refused.lines(), ["* bye reason=too-many"])
        root = desk.connect(0, greeted=False)
        self.assertIn("role=admin", root.lines()[0])
        self.assertEqual(desk.connect(0, greeted=False).lines(), ["* bye reason=too-many"])
        clients[0].connection.connectionLost()
        self.assertIn("role=observer", desk.connect(STRANGER, greeted=False).lines()[0])

    def test_the_server_says_bye_when_it_stops(self) -> None:
        desk = Desk()
        client = desk.connect()
        coroutine = desk.server.stop()
        self.successResultOf(module.Deferred.fromCoroutine(coroutine))
        self.assertEqual(client.lines(), ["* bye reason=shutdown"])
        self.assertTrue(client.transport.disconnecting)

    def test_roles_are_ordered(self) -> None:
        self.assertLess(Role.OBSERVER, Role.OPERATOR)
        self.assertLess(Role.OPERATOR, Role.ADMIN)
