"""One request after another over one connection: answers shown, exit codes kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from refreeze.ctl import output
from refreeze.ctl.examined import examined
from refreeze.ctl.options import LOOKING, Options, UsageError, full_verb, seconds
from refreeze.ctl.wire import ConnectError, Connection, Final, Record, ReplyTimeout, quote

DONE, REFUSED, USAGE, UNREACHABLE, LATE, SOME = range(6)
"""The exit codes."""

_UP = frozenset({"connected", "completed"})
_BROKEN = frozenset({"failed", "abandoned", "superseded"})
_GRACE = 5.0
"""Seconds beyond the daemon's own wait= before we give up on its answer."""


class Client:
    """I run requests and print what comes back."""

    def __init__(self, connection: Connection, options: Options) -> None:
        self.connection = connection
        self.options = options

    def run(self, words: Sequence[str]) -> int:
        """One request, of words as :func:`.options.parse` leaves them; the exit code."""
        verb, *rest = words
        verb = full_verb(verb)
        if self.options.read_only and verb not in LOOKING:
            raise UsageError(f"{verb} changes something, and --read-only was given")
        if verb == "wait":
            return self.wait(rest)
        if verb == "top":
            return self.top(rest)
        line = " ".join([verb, *map(quote, rest)])
        records, final = self.connection.ask(line, self._patience(rest))
        if not final.ok:
            return self._refused(final)
        self._print(self._shown(verb, records, final))
        if verb == "watch":
            return self.follow()
        if verb == "restart" and any(r.get("outcome") in _BROKEN for r in records):
            return SOME
        failed = "failed" if verb == "doctor" else "refused"
        return SOME if final.number(failed) else DONE

    def _shown(self, verb: str, records: Sequence[Record], final: Final) -> str:
        if self.options.json:
            return output.answer_json(records, final)
        return examined(records) if verb == "doctor" else output.answer(verb, records, final)

    def _patience(self, words: Sequence[str]) -> float:
        """Seconds until the answer is late: what the daemon waits comes on top."""
        for word in words:
            if word.startswith("wait="):
                return max(self.options.timeout, seconds(word[5:], "wait") + _GRACE)
        return self.options.timeout

    def _refused(self, final: Final) -> int:
        if self.options.json:
            print(output.answer_json([], final), flush=True)
        else:
            print(f"refreezectl: {output.refusal(final)}", file=sys.stderr)
        return LATE if final.code == "timeout" else REFUSED

    def _print(self, text: str) -> None:
        if text and not self.options.quiet:
            print(text, flush=True)

    def follow(self) -> int:
        """Events until the daemon hangs up, or the user does."""
        shown = output.event_json if self.options.json else output.event
        for line in self.connection.events():
            print(shown(line), flush=True)
        return DONE

    def unfollow(self) -> None:
        """After an interrupted watch: the connection is good for other requests again."""
        self.connection.ask("unwatch")
        self.connection.forget_events()

    def wait(self, words: Sequence[str]) -> int:
        """Until a session is in a state; ``completed`` is ``connected`` too."""
        if len(words) != 2 or "=" in words[0]:
            raise UsageError("wait ID STATE [--timeout S]")
        name, wanted = words
        accepted = _UP if wanted == "connected" else {wanted}
        deadline = time.monotonic() + self.options.timeout
        # Follow first, then look: a change between the two is seen by one of them.
        _, final = self.connection.ask("watch session")
        if not final.ok:
            return self._refused(final)
        try:
            while True:
                left = max(0.0, deadline - time.monotonic())
                records, final = self.connection.ask(f"show {quote(name)}", left)
                if not final.ok:
                    return self._refused(final)
                state = str(records[0].get("state")) if records else "gone"
                if state in accepted:
                    self._print("" if self.options.json else f"{name} is {state}")
                    return DONE
                late = f"{name} is {state}, not {wanted}"
                if self._passed_through(name, accepted, deadline, late):
                    return DONE
        finally:
            # Not asked: whoever gave up waiting must not wait for the answer to that.
            with suppress(ConnectError, ReplyTimeout):
                self.connection.send("unwatch")
            self.connection.forget_events()

    def _passed_through(
        self, name: str, accepted: Collection[str], deadline: float, late: str
    ) -> bool:
        """Whether the next event tells a wanted state, which may be over before we could look."""
        try:
            line = self.connection.event(max(0.0, deadline - time.monotonic()))
        except ReplyTimeout:
            raise ReplyTimeout(late) from None
        _, _, topic, fields = output.split_event(line)
        passed = topic == "session.state" and fields.get("id") == name
        return passed and fields.get("to") in accepted

    def top(self, words: Sequence[str]) -> int:
        """Status and the list, again and again."""
        every = 1.0
        for word in words:
            if not word.startswith("every="):
                raise UsageError("top [--every S]")
            every = max(0.1, seconds(word[6:], "--every"))
        while True:
            status, _ = self.connection.ask("status")
            records, final = self.connection.ask("list limit=200")
            if not final.ok:
                return self._refused(final)
            head = "  ".join(f"{k} {output.show_value(v)}" for r in status for k, v in r.items())
            rows = output.table(records) if records else "no sessions"
            print(f"\033[H\033[2J{head}\n\n{rows}", flush=True)
            time.sleep(every)
