"""Every verb: what it asks of the daemon, and what it answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.control.verbs import VERBS
from tests.control.fakes import (
    EXAMINED,
    STRANGER,
    Desk,
    FakeOperations,
    Refusal,
    SettableOperations,
)


class LookingTests(SynchronousTestCase):
    """Verbs that change nothing."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()

    def test_version_and_ping(self) -> None:
        self.assertEqual(self.client.ask("version", "ping"), ["OK server=0.1.0 protocol=1", "OK"])

    def test_status_is_one_record(self) -> None:
        self.assertEqual(self.client.ask("status"), ["- sessions=2 storm=calm uptime=1.5", "OK"])

    def test_list_is_ordered_by_id_and_filtered(self) -> None:
        self.desk.operations.table["s-9a"]["state"] = "failed"
        everything = self.client.ask("list")
        self.assertEqual([line.split()[1] for line in everything[:2]], ["id=s-4f", "id=s-9a"])
        self.assertEqual(everything[2], "OK count=2")
        self.assertEqual(
            self.client.ask("list state=failed"),
            ["- id=s-9a peer=edge-a state=failed", "OK count=1"],
        )
        self.assertEqual(self.client.ask("list peer=edge-[xyz]")[-1][:3], "ERR")
        self.assertEqual(self.client.ask('list peer="edge-[f]"')[-1], "OK count=1")
        self.assertEqual(self.client.ask("list peer=nobody"), ["OK count=0"])

    def test_list_is_paged_by_the_last_id(self) -> None:
        self.assertEqual(
            self.client.ask("list limit=1"),
            ["- id=s-4f peer=edge-f state=connected", "OK count=1 more=1 next=s-4f"],
        )
        self.assertEqual(
            self.client.ask("list limit=1 after=s-4f"),
            ["- id=s-9a peer=edge-a state=connected", "OK count=1"],
        )
        for bad in ("limit=0", "limit=-1", "limit=1e3"):
            self.assertIn("bad-argument", self.client.ask(f"list {bad}")[0])

    def test_show_history_and_stats(self) -> None:
        self.assertEqual(
            self.client.ask("show s-4f"),
            [
                "- part=session id=s-4f peer=edge-f state=connected",
                "- part=watchdog next=-",
                "OK",
            ],
        )
        self.assertEqual(
            self.client.ask("history s-4f"),
            ["- round=1 cause=operator outcome=succeeded", "OK count=1"],
        )
        self.assertEqual(self.client.ask("stats"), ["- part=restarts started=3", "OK"])

    def test_metrics_is_a_sample_a_record(self) -> None:
        self.assertEqual(
            self.client.ask("metrics"),
            ['- sample="x_total{cause=\\"failed\\"}" value=2.0', "OK"],
        )

    def test_get_one_setting_a_section_or_all(self) -> None:
        self.assertEqual(self.client.ask("get name"), ["- name=name value=alice", "OK"])
        self.assertEqual(len(self.client.ask("get watchdog")), 3)
        self.assertEqual(len(self.client.ask("get")), 4)
        self.assertIn("bad-argument name=watch ", self.client.ask("get watch")[0])

    def test_help_has_every_verb_of_this_daemon(self) -> None:
        def verbs() -> set[str]:
            lines = self.client.ask("help")[:-1]
            return {line.split()[1].removeprefix("verb=") for line in lines}

        self.assertEqual(verbs(), set(VERBS) - {"set", "log"})
        self.desk.operations.faults_enabled = False
        self.assertEqual(verbs(), set(VERBS) - {"set", "log", "fault"})
        self.assertEqual(
            self.client.ask("help ping"), ["- verb=ping role=observer usage=ping", "OK"]
        )

    def test_an_unknown_verb_key_or_number_of_words_has_a_hint(self) -> None:
        self.assertEqual(
            self.client.ask("stat"),
            ['ERR unknown-command verb=stat hint="help lists them" retry=no'],
        )
        self.assertEqual(
            self.client.ask("ping x=1"),
            ['ERR bad-argument key=x hint="usage: ping" retry=no'],
        )
        self.assertIn("usage: show ID", self.client.ask("show")[0])
        self.assertIn("usage: show ID", self.client.ask("show a b")[0])

    def test_an_unknown_session_is_the_documented_refusal(self) -> None:
        self.assertEqual(
            self.client.ask("show s-zz"),
            ['ERR no-such-session id=s-zz hint="list shows ids" retry=no'],
        )


class ActingTests(SynchronousTestCase):
    """Verbs that change something."""

    def setUp(self) -> None:
        self.desk = Desk(SettableOperations())
        self.operations = self.desk.operations
        self.client = self.desk.connect()

    def test_cancel_hold_release_reset(self) -> None:
        answers = self.client.ask(
            "cancel s-4f", "hold s-4f for=10m", "hold", "release peer=edge-a", "reset all"
        )
        self.assertEqual(
            answers, ["OK count=1", "OK count=1", "OK count=2", "OK count=1", "OK count=2"]
        )
        self.assertEqual(
            self.operations.asked,
            [
                ("cancel", "s-4f"),
                ("hold", "s-4f", 600.0),
                ("hold", "s-4f", None),
                ("hold", "s-9a", None),
                ("release", "s-9a"),
                ("reset", "s-4f"),
                ("reset", "s-9a"),
            ],
        )

    def test_some_refusals_do_not_stop_the_others(self) -> None:
        self.operations.refuse["s-4f"] = Refusal("wrong-state", id="s-4f")
        self.assertEqual(
            self.client.ask("cancel all"),
            ["- id=s-4f refused=wrong-state", "OK count=1 refused=1"],
        )
        self.assertEqual(self.client.ask("cancel s-4f"), ["ERR wrong-state id=s-4f retry=yes"])

    def test_open_and_close(self) -> None:
        self.assertEqual(
            self.client.ask("open s-new peer=edge-1 protect=none"),
            ["- id=s-new peer=edge-1 state=new", "OK"],
        )
        self.assertEqual(self.client.ask('close s-4f reason="no more"'), ["OK"])
        self.assertEqual(
            self.operations.asked,
            [
                ("open", "s-new", {"peer": "edge-1", "protect": "none"}),
                ("close", "s-4f", "no more"),
            ],
        )

    def test_fault_exists_only_when_enabled(self) -> None:
        self.assertEqual(self.client.ask("fault s-4f path for=30"), ["OK paths=1 seconds=30.0"])
        self.assertIn("bad-argument", self.client.ask("fault s-4f everything")[0])
        self.operations.faults_enabled = False
        self.assertIn("unknown-command", self.client.ask("fault s-4f path")[0])

    def test_signal_may_be_longer_than_other_requests(self) -> None:
        envelope = "x" * 50_000
        self.assertEqual(self.client.ask(f'signal "{envelope}"'), ["OK"])
        self.assertEqual(self.operations.asked, [("signal", envelope)])

    def test_reload_drain_shutdown(self) -> None:
        answers = self.client.ask("reload", "drain", "shutdown")
        self.assertEqual(answers, ["OK opened=1 closed=0", "OK", "OK"])
        self.assertEqual(self.operations.asked, [("drain",), ("shutdown",)])

    def test_set_and_log_change_settings_by_name(self) -> None:
        answers = self.client.ask("set watchdog.attempts=3", "log level=debug")
        self.assertEqual(answers, ["OK count=1", "OK"])
        self.assertEqual(
            self.operations.asked,
            [("set", "watchdog.attempts", "3"), ("set", "log.level", "debug")],
        )
        self.assertEqual(
            self.client.ask("set nonsense=1"),
            ['ERR bad-argument name=nonsense hint="no such setting" retry=no'],
        )
        self.assertIn("debug, info", self.client.ask("log level=loud")[0])

    def test_set_does_not_exist_where_nothing_can_be_set(self) -> None:
        client = Desk(FakeOperations()).connect()
        self.assertIn("unknown-command", client.ask("set name=bob")[0])

    def test_a_time_that_is_none_is_refused(self) -> None:
        for text in ("soon", "-1", "1d", "1e9", "10ss"):
            self.assertIn("ERR bad-argument key=for", self.client.ask(f"hold for={text}")[0])

    def test_a_bug_is_internal_with_a_reference_and_no_detail(self) -> None:
        self.operations.status = lambda: 1 // 0  # type: ignore[method-assign, assignment]
        self.assertEqual(self.client.ask("status"), ["ERR internal ref=e1 retry=no"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.client.ask("ping"), ["OK"])


class RestartTests(SynchronousTestCase):
    """The one verb whose work takes time."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.operations = self.desk.operations
        self.client = self.desk.connect()

    def done(self, name: str, outcome: str = "succeeded") -> None:
        """A round ends."""
        self.operations.restarts[name].callback({"id": name, "outcome": outcome})

    def test_it_answers_at_once_with_a_job(self) -> None:
        self.assertEqual(
            self.client.ask('restart s-4f reason="core switch replaced"'),
            ["OK job=r1 matched=1 queued=1 refused=0"],
        )
        self.assertEqual(
            self.operations.asked, [("restart", "s-4f", "core switch replaced", False)]
        )

    def test_the_job_tells_its_end_as_an_event(self) -> None:
        self.client.ask("watch job")
        self.assertEqual(
            [line.split(" ", 3)[3] for line in self.client.ask("restart all")[:-1]],
            ["job.queued job=r1 matched=2 queued=2 refused=0"],
        )
        self.done("s-4f")
        self.assertEqual(self.client.lines(), [])
        self.done("s-9a", "failed")
        self.assertIn("job.done job=r1 succeeded=1 failed=1 refused=0", self.client.lines()[0])

    def test_a_restart_that_is_over_at_once_is_queued_before_it_is_done(self) -> None:
        self.operations.at_once = True
        self.client.ask("watch job")
        lines = self.client.ask("restart s-4f wait=5")
        self.assertEqual([line.split()[3] for line in lines[:2]], ["job.queued", "job.done"])
        self.assertEqual(
            lines[2:],
            [
                "- id=s-4f outcome=succeeded seconds=0.1",
                "OK job=r1 matched=1 queued=1 refused=0",
            ],
        )

    def test_wait_answers_with_the_outcomes(self) -> None:
        self.assertEqual(self.client.ask("restart all wait=10"), [])
        self.done("s-9a")
        self.assertEqual(self.client.lines(), [])
        self.done("s-4f", "failed")
        self.assertEqual(
            self.client.lines(),
            [
                "- id=s-9a outcome=succeeded",
                "- id=s-4f outcome=failed",
                "OK job=r1 matched=2 queued=2 refused=0",
            ],
        )
        self.assertEqual(self.desk.clock.getDelayedCalls(), [])

    def test_wait_is_over_in_time_and_the_restart_goes_on(self) -> None:
        self.client.ask("watch job", "restart s-4f wait=1500ms")
        self.desk.clock.advance(1.5)
        self.assertEqual(
            self.client.lines(),
            ["ERR timeout job=r1 matched=1 queued=1 refused=0 done=0 retry=yes"],
        )
        self.done("s-4f")
        self.assertIn("job.done", self.client.lines()[0])

    def test_a_client_that_goes_away_while_it_waits_changes_nothing(self) -> None:
        self.client.ask("restart s-4f wait=10")
        self.client.connection.connectionLost()
        self.done("s-4f")
        self.assertEqual(self.client.lines(), [])

    def test_a_broken_restart_is_an_outcome(self) -> None:
        self.client.ask("restart s-4f wait=10")
        self.operations.restarts["s-4f"].errback(Refusal("signalling-down"))
        self.assertEqual(self.client.lines()[0], "- id=s-4f outcome=failed why=signalling-down")

    def test_the_refusal_of_the_only_one_is_the_answer(self) -> None:
        self.operations.refuse["s-4f"] = Refusal("rate-limited", id="s-4f", after=4.0)
        self.assertEqual(
            self.client.ask("restart s-4f"), ["ERR rate-limited id=s-4f after=4.0 retry=yes"]
        )

    def test_some_refusals_are_counted_and_told(self) -> None:
        self.operations.refuse["s-4f"] = Refusal("round-pending", id="s-4f")
        self.assertEqual(
            self.client.ask("restart peer=edge-*"),
            ["- id=s-4f refused=round-pending", "OK job=r1 matched=2 queued=1 refused=1"],
        )

    def test_nothing_selected_is_a_job_without_work(self) -> None:
        self.assertEqual(
            self.client.ask("restart state=failed"), ["OK job=r1 matched=0 queued=0 refused=0"]
        )
        self.assertEqual(
            self.client.ask("restart state=failed wait=5"),
            ["OK job=r2 matched=0 queued=0 refused=0"],
        )

    def test_a_selector_is_wanted_and_only_one(self) -> None:
        for line in ("restart", "restart force", "restart s-4f s-9a", "restart s-4f peer=x"):
            self.assertIn("ERR bad-argument", self.client.ask(line)[0])
        self.assertEqual(self.operations.asked, [])

    def test_force_is_a_word_or_a_key(self) -> None:
        self.client.ask("restart s-4f force", "restart s-9a force=yes")
        self.assertEqual([asked[3] for asked in self.operations.asked], [True, True])

    def test_more_than_twenty_want_their_number_confirmed(self) -> None:
        desk = Desk(FakeOperations(*(f"s-{index:02}" for index in range(21))))
        client = desk.connect()
        refusal = client.ask("restart all")[0]
        self.assertTrue(refusal.startswith("ERR confirm-required count=21 "), refusal)
        self.assertIn("ERR confirm-required", client.ask("restart all confirm=20")[0])
        self.assertEqual(desk.operations.asked, [])
        self.assertEqual(
            client.ask("restart all confirm=21"), ["OK job=r1 matched=21 queued=21 refused=0"]
        )


class DoctorTests(SynchronousTestCase):
    """An examination is slow work of one request."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect()

    def test_it_is_answered_when_it_is_over_and_in_order(self) -> None:
        self.assertEqual(self.client.ask("@d doctor", "ping"), [])
        self.desk.operations.examined.callback(EXAMINED)
        lines = self.client.lines()
        self.assertTrue(lines[0].startswith("@d - part=server server=lab url=turn:192.0.2.1 "))
        self.assertIn('why="wrong credentials"', lines[0])
        self.assertEqual(lines[1], "@d - part=reach family=ipv4 udp=yes tcp=- tls=no")
        self.assertEqual(lines[-2:], ["@d OK servers=1 failed=1", "OK"])

    def test_a_refusal_ends_it(self) -> None:
        self.client.ask("doctor")
        self.desk.operations.examined.errback(Refusal("shutting-down"))
        self.assertEqual(self.client.lines(), ["ERR shutting-down retry=no"])

    def test_an_observer_cannot_make_the_daemon_send(self) -> None:
        observer = self.desk.connect(STRANGER)
        self.assertEqual(
            observer.ask("doctor"), ["ERR not-permitted verb=doctor needs=operator retry=no"]
        )
        self.assertEqual(self.desk.operations.asked, [])
