"""Arguments to requests, answers to exit codes.

Exit codes: 0 done, 1 refused (ERR), 2 usage, 3 cannot connect, 4 timeout, 5 some of many failed.
"""

from __future__ import annotations

import os
import sys
import time

from refreeze.ctl.wire import ConnectError, Connection, ReplyTimeout, quote

SOCKETS = (".state/alice/control.sock", "/run/refreeze/control.sock")
READ_ONLY = frozenset(
    [
        "help",
        "version",
        "ping",
        "status",
        "list",
        "show",
        "stats",
        "history",
        "watch",
        "get",
        "wait",
    ]
)
FLAGS = frozenset({"force", "snapshot"})
USAGE = """\
usage: refreezectl [options] VERB [WORD | --KEY VALUE | KEY=VALUE ...]
  --socket PATH   the control socket (or REFREEZE_SOCKET)
  --json          one JSON object a line      -q  only the exit code and errors
  --timeout S     for an answer (30)          -v  show the raw lines
  --read-only     refuse verbs that change anything
verbs of its own:  wait ID STATE [--timeout S]   top   (no verb: a prompt, or a script on stdin)
everything else goes to the daemon: refreezectl help
"""


class UsageError(Exception):
    """Wrong words on the command line."""


class Options:
    """What stands before and between the words."""

    def __init__(self) -> None:
        self.socket = os.environ.get("REFREEZE_SOCKET", "")
        self.timeout = 30.0
        self.json = self.quiet = self.verbose = self.read_only = False


def parse(arguments: list[str]) -> tuple[Options, list[str]]:
    """Options, and the words of the request: ``--wait 10`` becomes ``wait=10``."""
    options, words = Options(), list[str]()
    items = iter(arguments)
    for item in items:
        name = item.removeprefix("--")
        if item == "--json":
            options.json = True
        elif item in ("-q", "--quiet"):
            options.quiet = True
        elif item in ("-v", "--verbose"):
            options.verbose = True
        elif item == "--read-only":
            options.read_only = True
        elif item.startswith("--") and name in FLAGS:
            words.append(name)
        elif item.startswith("--"):
            key, equals, value = name.partition("=")
            if not equals:
                value = next(items, "")
                if not value:
                    raise UsageError(f"{item} wants a value")
            if key == "socket":
                options.socket = value
            elif key == "timeout":
                options.timeout = _seconds(value)
            else:
                words.append(f"{key}={value}")
        else:
            words.append(item)
    if not options.socket:
        options.socket = next((path for path in SOCKETS if os.path.exists(path)), SOCKETS[-1])
    return options, words


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise UsageError(f"--timeout wants seconds, not {text!r}") from None
    if not 0 < seconds <= 86400:
        raise UsageError("--timeout wants seconds from 0 to 86400")
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options, words = parse(given)
        if given and given[0] in ("-h", "--help"):
            print(USAGE, end="")
            return 0
        connection = Connection(options.socket, options.timeout, options.verbose)
        connection.ask("hello 1 format=json name=refreezectl")
        if words:
            return run(connection, options, words)
        return session(connection, options)
    except UsageError as error:
        print(f"refreezectl: {error}\n{USAGE}", end="", file=sys.stderr)
        return 2
    except ConnectError as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return 3
    except ReplyTimeout as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return 4
    except (KeyboardInterrupt, BrokenPipeError):
        return 0


def run(connection: Connection, options: Options, words: list[str]) -> int:
    """One verb."""
    verb = words[0]
    if options.read_only and verb not in READ_ONLY:
        raise UsageError(f"{verb} changes something, and --read-only was given")
    if verb == "wait":
        return wait(connection, options, words[1:])
    if verb == "top":
        return top(connection)
    wanted = next((w.removeprefix("wait=") for w in words if w.startswith("wait=")), None)
    if wanted is not None:
        connection.timeout(options.timeout + _seconds(wanted.removesuffix("s")))
    records, final = connection.ask(" ".join([verb, *map(quote, words[1:])]))
    if final.startswith("ERR"):
        print(f"refreezectl: {final[4:]}", file=sys.stderr)
        return 4 if final.startswith("ERR timeout") else 1
    if not options.quiet:
        show(verb, records, final, as_json=options.json)
    if verb == "watch":
        return follow(connection, options)
    failed = sum(record.get("outcome") in ("failed", "abandoned") for record in records)
    refused = " refused=0" not in final and " refused=" in final
    return 5 if failed or refused else 0


def show(verb: str, records: list[dict[str, object]], final: str, *, as_json: bool) -> None:
    """Print an answer."""
    from refreeze.ctl import output  # noqa: PLC0415  # a script that asks for -q never needs it

    if as_json:
        import json  # noqa: PLC0415

        for record in records:
            print(json.dumps(record))
    elif verb in ("show", "status"):
        print(output.parts([{"part": verb} | record for record in records]))
    elif records:
        print(output.table(records))
    if not as_json and (verb in ("restart", "fault") or not records):
        print(final)


def follow(connection: Connection, options: Options) -> int:
    """Events until the end of it all."""
    from refreeze.ctl import output  # noqa: PLC0415

    connection.timeout(None)
    for line in connection.events():
        print(line if options.json else output.event(line), flush=True)
    return 0


def wait(connection: Connection, options: Options, words: list[str]) -> int:
    """Until a session is in a state (``completed`` is ``connected`` too)."""
    if len(words) != 2:
        raise UsageError("wait ID STATE")
    name, wanted = words
    accepted = {"connected", "completed"} if wanted == "connected" else {wanted}
    deadline = time.monotonic() + options.timeout
    _, final = connection.ask("watch session.state")
    records, final = connection.ask(f"show {quote(name)}")
    if final.startswith("ERR"):
        print(f"refreezectl: {final[4:]}", file=sys.stderr)
        return 1
    state = str(records[0]["state"])
    while state not in accepted:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ReplyTimeout(f"{name} is {state} still")
        connection.timeout(left)
        connection.line()
        connection.timeout(options.timeout)
        records, final = connection.ask(f"show {quote(name)}")
        state = str(records[0]["state"]) if records else "gone"
    return 0


def top(connection: Connection) -> int:
    """The list, again every second."""
    from refreeze.ctl import output  # noqa: PLC0415

    while True:
        records, _ = connection.ask("list")
        print("\033[H\033[2J" + output.table(records), flush=True)
        time.sleep(1.0)


def session(connection: Connection, options: Options) -> int:
    """A prompt on a terminal, or a script on standard input; the last failure is the code."""
    prompt = ""
    if sys.stdin.isatty():
        import readline  # noqa: PLC0415

        records, _ = connection.ask("help")
        verbs = sorted(str(record["verb"]) for record in records)

        def complete(text: str, state: int) -> str | None:
            found = [verb for verb in verbs if verb.startswith(text)]
            return found[state] if state < len(found) else None

        readline.set_completer(complete)
        readline.parse_and_bind("tab: complete")
        prompt = "refreeze> "
    code = 0
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return code
        words = line.split()
        if words and not words[0].startswith("#"):
            result = run(connection, options, words)
            code = result or code
            if words[0] == "quit":
                return code


if __name__ == "__main__":
    sys.exit(main())
