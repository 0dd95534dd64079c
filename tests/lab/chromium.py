"""Chromium in a machine of the lab, over its debugging pipe: no driver, no port, no display.

Its page is :mod:`tests.lab.page`'s.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from typing import Any

from attrs import define, field

from tests.lab.commands import PATIENCE, LabError, until
from tests.lab.namespaces import Namespace
from tests.lab.page import Page

_PROGRAM = "chromium"
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    "--log-level=3",
)
_THERE, _BACK = 3, 4
"""The descriptors of its pipe."""
_TITLE = "lab"
_START = f"data:text/html,<title>{_TITLE}</title>"
"""What it begins with says when it is there: what a page made before would be lost."""


def lacking() -> str | None:
    """What is missing, in words."""
    return None if shutil.which(_PROGRAM) else "Chromium (apt-get install chromium)"


@define(eq=False)
class Chromium(Page):
    """One browser with one page."""

    namespace: Namespace
    _process: subprocess.Popen[bytes] = field(init=False)
    _write: int = field(init=False)
    _read: int = field(init=False)
    _buffer: bytes = field(default=b"", init=False, repr=False)
    _number: int = field(default=0, init=False)
    _page: str = field(init=False)

    def start(self) -> None:
        """Run it, and load the page."""
        there, self._write = os.pipe()
        self._read, back = os.pipe()
        home = self.namespace.directory / f"{self.namespace.name}.home"
        home.mkdir()
        # The numbers are fixed, so a shell moves the descriptors there.
        shell = f'exec "$@" {_THERE}<&{there} {_BACK}>&{back}'
        self._process = self.namespace.start(
            ["bash", "-c", shell, "bash", _PROGRAM, *_FLAGS, f"--user-data-dir={home}", _START],
            self.namespace.directory / f"{self.namespace.name}.log",
            pass_fds=(there, back),
            env=os.environ | {"HOME": str(home), "TMPDIR": str(home)},
        )
        os.close(there)
        os.close(back)
        until(self._attached, "the browser's page")
        self.load()

    def _attached(self) -> bool:
        """Whether the page is there. The first document of a tab is another one, and empty."""
        for target in self._ask("Target.getTargets")["targetInfos"]:
            if target["type"] == "page" and target["title"] == _TITLE:
                attached = self._ask(
                    "Target.attachToTarget", targetId=target["targetId"], flatten=True
                )
                self._page = attached["sessionId"]
                return bool(self.run("return document.title") == _TITLE)
        return False

    @property
    def version(self) -> str:
        """Of the browser."""
        return str(self._ask("Browser.getVersion")["product"]).rpartition("/")[2]

    def close(self) -> None:
        """End it."""
        try:
            self._ask("Browser.close")
            self._process.wait(PATIENCE)
        except (LabError, subprocess.TimeoutExpired):
            self._process.kill()
        os.close(self._write)
        os.close(self._read)

    def run(self, script: str) -> Any:
        """The JSON value that an asynchronous function returns with this body."""
        result = self._ask(
            "Runtime.evaluate",
            self._page,
            expression=f"(async () => {{{script}}})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            raise LabError(f"chromium: {json.dumps(result['exceptionDetails'])[:600]}")
        return result["result"].get("value")

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        try:
            os.write(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise LabError("chromium has ended") from None
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise LabError(f"chromium: {method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._read], [], [], left)[0]:
                raise LabError("chromium does not answer")
            data = os.read(self._read, 1 << 16)
            if not data:
                raise LabError("chromium has ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
