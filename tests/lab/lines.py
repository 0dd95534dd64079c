"""A program in a machine of the lab that is asked by JSON lines over a UNIX socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from tests.lab.commands import PATIENCE, LabError, until
from tests.lab.namespaces import Namespace


@define(eq=False)
class LineProgram:
    """Started with the path of its socket as the last word; it ends with its only client."""

    namespace: Namespace
    what: str
    """For people."""
    _lines: Any = field(init=False)

    def start(self, command: Sequence[str]) -> None:
        """Run it."""
        directory = self.namespace.directory
        path = directory / f"{self.namespace.name}.sock"
        self.namespace.start([*command, str(path)], directory / f"{self.namespace.name}.log")
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(PATIENCE)
        until(lambda: connected.connect_ex(str(path)) == 0, f"{self.what}'s program")
        self._lines = connected.makefile("rw", encoding="utf-8")
        connected.close()  # with the file, that is

    def close(self) -> None:
        """It ends by itself then."""
        self._lines.close()

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """A command; LabError when it is refused."""
        self._lines.write(json.dumps({"do": do, **fields}) + "\n")
        self._lines.flush()
        answer: dict[str, Any] = json.loads(self._lines.readline() or '{"error": "it has ended"}')
        if "error" in answer:
            raise LabError(f"{self.what}: {do}: {answer['error']}")
        return answer
