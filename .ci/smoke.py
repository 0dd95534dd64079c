"""Runs the installed wheel under twistd with a fake NOTIFY_SOCKET, as systemd would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile

PATIENCE = 30.0


def main(venv: str) -> None:
    """Demo up, READY told, data through the path, refreezectl answers, clean end."""
    with tempfile.TemporaryDirectory() as directory:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"{directory}/notify")
        notify.settimeout(PATIENCE)
        environment = os.environ | {"NOTIFY_SOCKET": f"{directory}/notify"}
        log = open(f"{directory}/daemon.log", "w+b")  # noqa: SIM115  # outlives this block
        daemon = subprocess.Popen(
            [f"{venv}/bin/twistd", "-n", "--pidfile=", "refreeze", "--demo"],
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                pass

            def ctl(*words: str) -> None:
                command = [f"{venv}/bin/refreezectl", *words]
                subprocess.run(command, cwd=directory, check=True, timeout=PATIENCE)

            ctl("wait", "demo", "connected")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
                program.settimeout(PATIENCE)
                program.sendto(b"hello", ("127.0.0.1", 7001))
                assert program.recv(100) == b"hello"
            ctl("restart", "demo", "--wait", "10")
            ctl("list")
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            daemon.terminate()
        # Twisted ends by the signal that stopped it, which systemd takes for a clean end.
        assert daemon.wait(PATIENCE) in (0, -signal.SIGTERM)
    # The page is data of the package.
    page = "from refreeze.service.frontage import page_files; assert '/refreeze.js' in page_files()"
    subprocess.run([f"{venv}/bin/python", "-c", page], check=True, timeout=PATIENCE)
    print("smoke: 2 passed, 0 failed")


if __name__ == "__main__":
    main(sys.argv[1])
