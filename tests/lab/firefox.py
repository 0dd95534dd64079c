"""Firefox in a machine of the lab, over raw Marionette: no driver, no display.

Its page is :mod:`tests.lab.page`'s.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from typing import Any

from attrs import define, field

from tests.lab.commands import PATIENCE, LabError, until
from tests.lab.namespaces import Namespace
from tests.lab.page import Page

_PROGRAM = "firefox-esr"
_PORT = 2828
_PREFERENCES = {
    "marionette.port": _PORT,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
}
_START = "data:text/html,<title>lab</title>"
_MAX_ANSWER = 1 << 24


def lacking() -> str | None:
    """What is missing, in words."""
    return None if shutil.which(_PROGRAM) else "Firefox (apt-get install firefox-esr)"


@define(eq=False)
class Firefox(Page):
    """One browser with one page."""

    namespace: Namespace
    _process: subprocess.Popen[bytes] = field(init=False)
    _socket: socket.socket = field(init=False)
    _number: int = field(default=0, init=False)
    _version: str = field(default="", init=False)

    def start(self) -> None:
        """Run it, and load the page."""
        home = self.namespace.directory / f"{self.namespace.name}.home"
        home.mkdir()
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
        (home / "user.js").write_text("\n".join(lines) + "\n")
        self._process = self.namespace.start(
            [_PROGRAM, "--headless", "--marionette", "--no-remote", "--profile", str(home), _START],
            self.namespace.directory / f"{self.namespace.name}.log",
            env=os.environ | {"HOME": str(home), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        )
        until(self._reached, "the browser")
        self._message()  # its greeting
        session = self._ask("WebDriver:NewSession", {})
        self._version = str(session["capabilities"]["browserVersion"])
        self._ask("WebDriver:SetTimeouts", {"script": int(PATIENCE * 1000)})
        self.load()

    def _reached(self) -> bool:
        try:
            self._socket = self.namespace.tcp(("127.0.0.1", _PORT), timeout=PATIENCE)
        except OSError:
            return False
        return True

    @property
    def version(self) -> str:
        """Of the browser."""
        return self._version

    def close(self) -> None:
        """End it."""
        try:
            self._ask("Marionette:Quit", {"flags": ["eForceQuit"]})
            self._process.wait(PATIENCE)
        except (LabError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
        self._socket.close()

    def run(self, script: str) -> Any:
        """The JSON value that an asynchronous function returns with this body."""
        body = (
            "const done = arguments[arguments.length - 1];"
            f"(async () => {{{script}}})()"
            ".then((value) => done({value}), (error) => done({error: String(error)}));"
        )
        answer = self._ask(
            "WebDriver:ExecuteAsyncScript",
            {"script": body, "args": [], "sandbox": "keep", "newSandbox": False},
        )["value"]
        if answer is None:
            raise LabError("firefox: the page went away meanwhile")
        if "error" in answer:
            raise LabError(f"firefox: {answer['error'][:600]}")
        return answer.get("value")

    def _ask(self, command: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._message()
        if number != self._number or error:
            raise LabError(f"firefox: {command}: {json.dumps(error)[:600]}")
        return dict(result or {})

    def _message(self) -> Any:
        """``LENGTH:JSON``."""
        head = b""
        while not head.endswith(b":"):
            head += self._exactly(1)
        length = int(head[:-1])
        if length > _MAX_ANSWER:
            raise LabError("firefox says too much")
        return json.loads(self._exactly(length))

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise LabError("firefox has ended")
            data += more
        return data
