"""refreezectl as a program, against a real server on a real socket."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

import refreeze
from refreeze.control import Access, Commands, ControlServer, EventLog, Role
from tests.control.fakes import EXAMINED, WALL, FakeOperations

SOURCE = str(Path(refreeze.__file__).parent.parent)
PROGRAM = [sys.executable, "-c", "import sys; from refreeze.ctl import main; sys.exit(main())"]


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would choose another daemon."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REFREEZE_")}
    return {**kept, "PYTHONPATH": SOURCE, "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The program, to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments], input=text, capture_output=True, text=True, timeout=20,
        check=False, env=environment(**more),
    )  # fmt: skip


class ProgramTests(TestCase):
    """Verbs, formats and exit codes."""

    timeout = 40

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "control.sock")
        self.cookie = os.path.join(directory.name, "cookie")
        self.operations = FakeOperations()
        self.clock: Any = reactor
        self.events = EventLog(lambda: WALL)
        self.server = ControlServer(
            self.clock,
            self.path,
            Commands(self.operations, self.clock, "0.1.0"),
            self.events,
            Access(cookie=Role.OPERATOR),
            tcp="127.0.0.1:0",
            cookie_file=self.cookie,
            random=random.Random(5),
        )
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    def ctl(self, *arguments: str, text: str = "") -> Deferred[Any]:
        """The program against our server, while the reactor turns."""
        return deferToThread(run, "--socket", self.path, *arguments, text=text)

    async def lines(self, *arguments: str) -> list[str]:
        """What it prints when all is well."""
        done = await self.ctl(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return list(done.stdout.splitlines())

    async def code(self, *arguments: str) -> tuple[int, str]:
        """How it ends when not."""
        done = await self.ctl(*arguments)
        return done.returncode, done.stderr.strip()

    def story(self, tell: Callable[[], Any]) -> Deferred[None]:
        """Run a coroutine function."""
        return Deferred.fromCoroutine(tell())

    def test_list_is_a_table_and_json_an_object_a_line(self) -> Deferred[None]:
        async def tell() -> None:
            self.assertEqual(
                await self.lines("list"),
                [
                    "ID    PEER    STATE",
                    "s-4f  edge-f  connected",
                    "s-9a  edge-a  connected",
                ],
            )
            self.assertEqual(
                [json.loads(line)["id"] for line in await self.lines("--json", "list")],
                ["s-4f", "s-9a"],
            )
            self.assertEqual(await self.lines("-q", "list"), [])

        return self.story(tell)

    def test_flags_reach_the_daemon(self) -> Deferred[None]:
        async def tell() -> None:
            self.operations.at_once = True
            lines = await self.lines("rest", "s-4f", "--wait", "10", "--reason", "core switch")
            self.assertEqual(lines[-1], "job=r1 matched=1 queued=1 refused=0")
            self.assertEqual(lines[1].split(), ["s-4f", "succeeded", "0.1"])
            await self.lines("fault", "s-9a", "path", "--for", "30")
            self.assertEqual(
                self.operations.asked,
                [("restart", "s-4f", "core switch", False), ("fault", "s-9a", "path", 30.0)],
            )

        return self.story(tell)

    def test_doctor_is_read_by_people_and_its_code_tells_that_a_server_failed(
        self,
    ) -> Deferred[None]:
        async def tell() -> None:
            self.operations.at_once = True
            done = await self.ctl("doctor")
            self.assertEqual((done.returncode, done.stderr), (5, ""))
            self.assertIn("what to expect\n  IPv4: directly with peers\n", done.stdout)
            done = await self.ctl("--json", "doctor")
            self.assertEqual(done.returncode, 5)
            records = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual(records, EXAMINED[0])
            EXAMINED[1]["failed"] = 0
            self.addCleanup(EXAMINED[1].update, failed=1)
            self.assertEqual((await self.ctl("-q", "doctor")).returncode, 0)
            self.assertEqual((await self.ctl("--read-only", "doctor")).returncode, 2)

        return self.story(tell)

    def test_verbose_shows_the_wire(self) -> Deferred[None]:
        async def tell() -> None:
            done = await self.ctl("-v", "hold", "--for", "10m")
            self.assertIn("> @2 hold for=10m\n< @2 OK count=2\n", done.stderr)
            self.assertEqual(done.stdout, "count=2\n")

        return self.story(tell)

    def test_a_refusal_is_1_and_usage_2(self) -> Deferred[None]:
        async def tell() -> None:
            self.assertEqual(
                await self.code("show", "zz"),
                (1, "refreezectl: no-such-session id=zz (list shows ids)"),
            )
            self.assertEqual((await self.code("sh", "zz"))[0], 2)
            self.assertEqual((await self.code("--nothing"))[0], 2)
            code, why = await self.code("--read-only", "restart", "all")
            self.assertEqual((code, "--read-only" in why), (2, True))
            self.assertEqual(self.operations.asked, [])

        return self.story(tell)

    def test_late_is_4_by_our_clock_and_by_the_daemons(self) -> Deferred[None]:
        async def tell() -> None:
            self.assertEqual((await self.code("restart", "s-4f", "--wait", "50ms"))[0], 4)
            code, why = await self.code("wait", "s-4f", "failed", "--timeout", "0.1")
            self.assertEqual((code, why), (4, "refreezectl: s-4f is connected, not failed"))

        return self.story(tell)

    def test_some_of_many_is_5(self) -> Deferred[None]:
        async def tell() -> None:
            self.operations.at_once = True
            self.operations.refuse["s-4f"] = self.operations.refusal("held", id="s-4f")  # type: ignore[call-arg, assignment]
            self.assertEqual((await self.code("restart", "all", "--wait", "5"))[0], 5)

        return self.story(tell)

    def test_wait_ends_when_the_state_comes(self) -> Deferred[None]:
        async def tell() -> None:
            session = self.operations.table["s-4f"]
            session["state"] = "failed"
            waiting = self.ctl("wait", "s-4f", "connected", "--timeout", "20")
            shown = self.operations.show

            def look(session_id: str) -> list[dict[str, Any]]:
                """The state changes right after it was looked at for the first time."""
                records = shown(session_id)
                if session["state"] == "failed":
                    session["state"] = "completed"
                    self.clock.callLater(0, self.events.emit, "session.state", {"id": "s-4f"})
                return records

            self.operations.show = look  # type: ignore[method-assign]
            done = await waiting
            self.assertEqual((done.returncode, done.stdout), (0, "s-4f is completed\n"))
            self.assertEqual((await self.code("wait", "zz", "connected"))[0], 1)

        return self.story(tell)

    def test_wait_sees_a_state_that_is_over_at_once(self) -> Deferred[None]:
        async def tell() -> None:
            waiting = self.ctl("wait", "s-4f", "failed", "--timeout", "20")
            shown = self.operations.show

            def look(session_id: str) -> list[dict[str, Any]]:
                for fields in (
                    {"id": "s-9a", "from": "connected", "to": "failed"},
                    {"id": session_id, "from": "connected", "to": "failed"},
                    {"id": session_id, "from": "failed", "to": "connected"},
                ):
                    self.clock.callLater(0, self.events.emit, "session.state", fields)
                return shown(session_id)

            self.operations.show = look  # type: ignore[method-assign]
            self.assertEqual((await waiting).returncode, 0)

        return self.story(tell)

    def test_watch_prints_events_as_they_come(self) -> Deferred[None]:
        def watch() -> list[str]:
            with subprocess.Popen(
                [*PROGRAM, "--socket", self.path, "watch", "session"],
                stdout=subprocess.PIPE, text=True, env=environment(),
            ) as program:  # fmt: skip
                assert program.stdout is not None
                guard = threading.Timer(15, program.kill)
                guard.start()
                first = program.stdout.readline()
                self.clock.callFromThread(
                    self.events.emit, "session.state", {"id": "demo", "from": "new", "to": "failed"}
                )
                lines = [first, program.stdout.readline()]
                program.terminate()
                guard.cancel()
                return lines

        async def tell() -> None:
            lines = await deferToThread(watch)
            self.assertEqual(lines[0], "since=0\n")
            self.assertEqual(
                lines[1].split(),
                ["15:53:52.104", "session.state", "demo", "new", "->", "failed"],
            )

        return self.story(tell)

    def test_top_shows_status_and_sessions_again_and_again(self) -> Deferred[None]:
        def top() -> str:
            with subprocess.Popen(
                [*PROGRAM, "--socket", self.path, "top", "--every", "100ms"],
                stdout=subprocess.PIPE, text=True, env=environment(),
            ) as program:  # fmt: skip
                assert program.stdout is not None
                guard = threading.Timer(15, program.kill)
                guard.start()
                screens = "".join(program.stdout.readline() for _ in range(10))
                program.terminate()
                guard.cancel()
                return screens

        async def tell() -> None:
            screens = await deferToThread(top)
            self.assertEqual(screens.count("sessions 2  storm calm"), 2)
            self.assertIn("s-4f  edge-f  connected", screens)

        return self.story(tell)

    def test_a_terminal_gets_a_prompt_with_completion(self) -> Deferred[None]:
        def prompt() -> str:
            ours, theirs = os.openpty()
            with subprocess.Popen(
                [*PROGRAM, "--socket", self.path],
                stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="dumb"),
            ) as program:  # fmt: skip
                os.close(theirs)
                guard = threading.Timer(15, program.kill)
                guard.start()
                seen = b""
                for wanted, typed in ((b"refreeze> ", b"hist\t s-4\t\n"), (b"OUTCOME", b"")):
                    while wanted not in seen:
                        seen += os.read(ours, 4096)
                    os.write(ours, typed)
                os.write(ours, b"quit\n")
                program.wait(15)
                guard.cancel()
                os.close(ours)
                return seen.decode()

        async def tell() -> None:
            self.assertIn("history s-4f", await deferToThread(prompt))

        return self.story(tell)

    def test_a_script_on_standard_input_goes_on_after_a_failure(self) -> Deferred[None]:
        async def tell() -> None:
            text = (
                '# runbook\nhold s-4f --for 10m\nshow zz\nre\nclose s-9a reason="a b"\nquit\nping'
            )
            done = await self.ctl(text=text)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(
                self.operations.asked, [("hold", "s-4f", 600.0), ("close", "s-9a", "a b")]
            )

        return self.story(tell)

    def test_tcp_needs_the_cookie_and_both_sides_prove_it(self) -> Deferred[None]:
        port: Any = self.server.ports[1].getHost()
        where = f"tcp:127.0.0.1:{port.port}"

        async def tell() -> None:
            done = await deferToThread(
                run, "-v", "--socket", where, "--cookie", self.cookie, "drain"
            )
            self.assertEqual(done.returncode, 1)
            self.assertIn("not-permitted", done.stderr)
            with open(self.cookie, "rb") as file:
                secret = file.read().hex()
            self.assertNotIn(secret, done.stderr)
            self.assertIn("> @1 auth cookie nonce=...\n", done.stderr)
            self.assertIn("> @2 auth cookie proof=...\n", done.stderr)

            done = await deferToThread(
                run, "list", "-q", REFREEZE_SOCKET=where, REFREEZE_COOKIE=self.cookie
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))

            wrong = f"{self.cookie}.wrong"
            with open(wrong, "wb") as file2:
                file2.write(bytes(32))
            done = await deferToThread(run, "--socket", where, "--cookie", wrong, "list")
            self.assertEqual(done.returncode, 3)
            self.assertIn("does not know the cookie", done.stderr)
            done = await deferToThread(run, "--socket", where, "list")
            self.assertEqual(done.returncode, 3)

        return self.story(tell)


class AloneTests(SynchronousTestCase):
    """Without a daemon."""

    def test_nobody_there_is_3(self) -> None:
        done = run("--socket", "/nonexistent/control.sock", "list")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(
            done.stderr, "refreezectl: /nonexistent/control.sock: No such file or directory\n"
        )

    def test_help_needs_no_daemon(self) -> None:
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("usage: refreezectl", done.stdout)

    def test_one_verb_imports_neither_twisted_nor_what_is_slow(self) -> None:
        """The start is quick because little is imported; time itself is measured elsewhere."""
        code = (
            "import sys, refreeze.ctl.main;"
            "print(*sorted({name.split('.')[0] for name in sys.modules}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True,
            env=environment(),
        )  # fmt: skip
        loaded = set(done.stdout.split())
        slow = {"twisted", "attr", "attrs", "argparse", "readline", "hashlib", "asyncio", "ssl"}
        self.assertEqual(loaded & slow, set())
