"""The words of the command line: options, the verb, and what becomes a word of the request."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

SOCKETS = ("/run/refreeze/control.sock", ".state/alice/control.sock")
"""The first that exists is used: the daemon's, then that of the demo in this directory."""

LOOKING = (
    "help",
    "version",
    "ping",
    "status",
    "list",
    "show",
    "stats",
    "metrics",
    "history",
    "watch",
    "unwatch",
    "get",
    "quit",
    "wait",
    "top",
)
CHANGING = (
    "restart",
    "cancel",
    "hold",
    "release",
    "reset",
    "doctor",
    "signal",
    "open",
    "close",
    "fault",
    "set",
    "log",
    "reload",
    "drain",
    "shutdown",
)
OWN = ("wait", "top")
"""Verbs of this program; all others go to the daemon."""

FLAGS = frozenset({"force", "snapshot"})
USAGE = """\
usage: refreezectl [options] VERB [WORD | --KEY VALUE | KEY=VALUE ...]
  --connect WHERE the control socket's path, tcp:HOST:PORT or tls:HOST:PORT; --socket is
                  the same (or REFREEZE_SOCKET)
  --cookie FILE   the cookie that TCP wants (or REFREEZE_COOKIE)
  --cert FILE     the certificate that TLS wants (or REFREEZE_CERT)
  --key FILE      its key (or REFREEZE_KEY; default: NAME.key beside NAME.crt)
  --ca FILE       who made the daemon's certificate (or REFREEZE_CA; default: ca.crt beside it)
  --server-name N whom that must be for, when not for HOST (or REFREEZE_SERVER_NAME)
  --timeout S     seconds for an answer (30)
  --json          one JSON object a line
  -q, --quiet     only errors and the exit code
  -v, --verbose   the raw lines of the protocol, on standard error
  --read-only     refuse verbs that change anything
  -h, --help      this; `refreezectl help` asks the daemon for its verbs
verbs of its own:  wait ID STATE [--timeout S]     top [--every S]
without a daemon:  pki init | issue NAME [--host HOST | --role ROLE] | show    a CA for TLS
A verb may be shortened. Without one: a prompt on a terminal, else a script on standard input.
exit: 0 done, 1 refused, 2 usage, 3 cannot connect, 4 timeout, 5 some of many failed
"""

ALONE = ("pki",)
"""Verbs of this program that ask no daemon; they are not shortened."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SWITCHES = {
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
    "--read-only": "read_only",
    "-h": "help",
    "--help": "help",
}

_PLACES = {
    "socket": "socket",
    "connect": "socket",
    "cookie": "cookie",
    "cert": "cert",
    "key": "key",
    "ca": "ca",
    "server-name": "server_name",
}
"""Options that say where, and what is shown there."""


class UsageError(Exception):
    """Wrong words on the command line."""


class Options:
    """What was said beside the request."""

    def __init__(self) -> None:
        self.socket = os.environ.get("REFREEZE_SOCKET", "")
        self.cookie = os.environ.get("REFREEZE_COOKIE", "")
        self.cert = os.environ.get("REFREEZE_CERT", "")
        self.key = os.environ.get("REFREEZE_KEY", "")
        self.ca = os.environ.get("REFREEZE_CA", "")
        self.server_name = os.environ.get("REFREEZE_SERVER_NAME", "")
        self.timeout = 30.0
        self.json = False
        self.quiet = False
        self.verbose = False
        self.read_only = False
        self.help = False

    def where(self) -> str:
        """The socket to connect to."""
        return self.socket or next((path for path in SOCKETS if os.path.exists(path)), SOCKETS[0])


def parse(arguments: Sequence[str], options: Options) -> list[str]:
    """The words of the request, ``--wait 10`` as ``wait=10``; *options* gets the rest.

    After ``--`` nothing is an option. UsageError.
    """
    words: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            return [*words, *items]
        if item in _SWITCHES:
            setattr(options, _SWITCHES[item], True)
        elif item.startswith("--") and item[2:] in FLAGS:
            words.append(item[2:])
        elif item.startswith("--"):
            key, equals, value = item[2:].partition("=")
            if not equals:
                value = next(items, "")
            if not value:
                raise UsageError(f"{item} wants a value")
            _option(options, words, key, value)
        elif item.startswith("-") and len(item) > 1:
            raise UsageError(f"{item}: no such option")
        else:
            words.append(item)
    return words


def _option(options: Options, words: list[str], key: str, value: str) -> None:
    if key == "timeout":
        options.timeout = seconds(value, "--timeout")
    elif key in _PLACES:
        setattr(options, _PLACES[key], value)
    else:
        words.append(f"{key}={value}")


def seconds(text: str, name: str) -> float:
    """``10``, ``1.5s``, ``2m``; UsageError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{name} wants a time such as 10, 1.5s or 2m, not {text!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]


def full_verb(word: str) -> str:
    """The verb that *word* begins, when there is only one; UsageError when there are more.

    An unknown word stays as it is: the daemon may know it.
    """
    verbs = [*LOOKING, *CHANGING]
    if word in verbs:
        return word
    found = [verb for verb in verbs if verb.startswith(word)]
    if len(found) > 1:
        raise UsageError(f"{word} may be {', '.join(sorted(found))}")
    return found[0] if found else word
