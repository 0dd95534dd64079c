"""No verb on the command line: a prompt on a terminal, a script on standard input."""

from __future__ import annotations

import shlex
import sys
from copy import copy

from refreeze.ctl.client import DONE, LATE, USAGE, Client
from refreeze.ctl.options import OWN, Options, UsageError, parse
from refreeze.ctl.wire import ReplyTimeout

PROMPT = "refreeze> "


def interact(client: Client) -> int:
    """Lines from the user or from a script until their end; the last failure's code."""
    terminal = sys.stdin.isatty()
    if terminal:
        _complete(client)
    code = DONE
    while True:
        try:
            line = input(PROMPT if terminal else "")
            result = _line(client, line)
        except EOFError:
            return code
        except KeyboardInterrupt:
            if not terminal:
                raise
            print()
            client.unfollow()
            continue
        if result is None:
            return code
        code = result or code
        if terminal:
            code = DONE  # a person has seen what failed


def _line(client: Client, line: str) -> int | None:
    """The code of one line; None: no more lines. Only a lost connection is not caught here."""
    try:
        options = copy(client.options)
        words = _words(options, line)
        if not words:
            return DONE
        if words[0] in ("quit", "exit"):
            return None
        return Client(client.connection, options).run(words)
    except UsageError as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return USAGE
    except ReplyTimeout as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return LATE


def _words(options: Options, line: str) -> list[str]:
    """As a shell would split it, so that a line works here and there; options too."""
    try:
        return parse(shlex.split(line, comments=line.lstrip().startswith("#")), options)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _complete(client: Client) -> None:
    """Tab completes verbs, then the names of sessions."""
    import readline  # noqa: PLC0415  # only a terminal needs it, and it takes its time

    records, _ = client.connection.ask("help")
    verbs = sorted({*OWN, *(str(record["verb"]) for record in records)})

    def words(first: bool) -> list[str]:
        if first:
            return verbs
        sessions, _ = client.connection.ask("list limit=200")
        return ["all", *(str(record["id"]) for record in sessions)]

    def complete(text: str, state: int) -> str | None:
        found = [w for w in words(readline.get_begidx() == 0) if w.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer_delims(" ")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
