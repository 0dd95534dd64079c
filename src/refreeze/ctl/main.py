"""refreezectl's front door: options in, exit code out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from refreeze.ctl.client import DONE, LATE, UNREACHABLE, USAGE, Client
from refreeze.ctl.options import USAGE as USAGE_TEXT
from refreeze.ctl.options import Options, UsageError, parse
from refreeze.ctl.places import Certificates
from refreeze.ctl.wire import ConnectError, Connection, ReplyTimeout, WireError


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. The exit codes stand in the usage."""
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"refreezectl: {error} (see refreezectl --help)", file=sys.stderr)
        return USAGE
    except (ConnectError, WireError) as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return UNREACHABLE
    except ReplyTimeout as error:
        print(f"refreezectl: {error}", file=sys.stderr)
        return LATE
    except KeyboardInterrupt:
        return DONE
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _main(arguments: Sequence[str]) -> int:
    options = Options()
    words = parse(arguments, options)
    if options.help:
        print(USAGE_TEXT, end="")
        return DONE
    if words and words[0] == "pki":
        from refreeze.ctl import pki  # noqa: PLC0415  # no other verb wants its cryptography

        return pki.run(words[1:], as_json=options.json, quiet=options.quiet)
    connection = Connection(
        options.where(),
        options.timeout,
        trace=options.verbose,
        cookie=options.cookie,
        certificates=Certificates(options.cert, options.key, options.ca, options.server_name),
    )
    try:
        client = Client(connection, options)
        if words:
            return client.run(words)
        from refreeze.ctl.prompt import interact  # noqa: PLC0415  # one verb never needs it

        return interact(client)
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
