"""`doctor` of a whole daemon, in a virtual world."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import DaemonSettings
from refreeze.net.servers import IceServer
from refreeze.service import Daemon
from refreeze.sessions.supervisor import OperationError
from refreeze.testing import PORT_RESTRICTED, VirtualWorld
from tests.net.stunserver import BehaviorServer

Found = tuple[list[dict[str, Any]], dict[str, Any]]


class DoctorTests(SynchronousTestCase):
    """What the control port asks the daemon for."""

    def setUp(self) -> None:
        self.world = VirtualWorld(3)
        nat = self.world.network.nat("nat", "203.0.113.1", PORT_RESTRICTED)
        self.host = self.world.network.host("alice", ["10.0.0.2"], nat=nat)
        public = self.world.network.host("server", ["192.0.2.1", "192.0.2.2"])
        BehaviorServer(host=public)
        self.world.reactor.nameResolver.table["stun.example.org"] = ["192.0.2.1"]
        self.addCleanup(lambda: self.assertEqual(list(self.world.stop()), []))

    def daemon(self, **servers: IceServer) -> Daemon:
        daemon = self.world.daemon(self.host, DaemonSettings(name="alice", servers=servers))
        daemon.startService()
        return daemon

    def test_a_daemon_without_a_session_tells_what_is_around_it(self) -> None:
        daemon = self.daemon(one=IceServer(urls=("stun:stun.example.org",)))
        running: Deferred[Found] = daemon.supervisor.examine()
        self.world.reactor.run_until(lambda: running.called, 8.0)
        records, final = self.successResultOf(running)
        self.assertEqual(final, {"servers": 1, "failed": 0})
        nat = next(record for record in records if record["part"] == "nat")
        self.assertEqual(nat["kind"], ["port-restricted"])
        self.assertEqual(daemon.ground.mux.ports, {})
        self.assertEqual(list(self.host._ports), [])

    def test_a_daemon_that_ends_says_so_to_who_waits(self) -> None:
        daemon = self.daemon(one=IceServer(urls=("stun:stun.example.org",)))
        running: Deferred[Found] = daemon.supervisor.examine()
        self.world.reactor.advance(0.5)
        stopped = daemon.stopService()
        self.world.reactor.advance(0.0)
        self.successResultOf(stopped)
        self.assertEqual(self.failureResultOf(running, OperationError).value.code, "shutting-down")
        self.assertEqual(list(self.host._ports), [])
