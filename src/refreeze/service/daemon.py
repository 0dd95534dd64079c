"""One daemon: its network, its sessions, its hub and its control port, put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import asdict, define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

from refreeze import __version__
from refreeze.basics import Address
from refreeze.config import ConfigError, DaemonSettings, check_session, session_settings
from refreeze.control import Commands, EventLog
from refreeze.ice import PROFILES
from refreeze.metrics import exposition, site
from refreeze.net.port import Port
from refreeze.peer import PeerEnvironment
from refreeze.reloading import Changes, applied, compare, with_setting
from refreeze.service.entrance import Entrance
from refreeze.service.frontage import Frontage
from refreeze.service.ground import Ground
from refreeze.service.meeting import Meeting
from refreeze.service.process import Process
from refreeze.sessions.certificate import KeptCertificate
from refreeze.sessions.forward import Forward, ForwardError, parse_place
from refreeze.sessions.identity import SessionIdentity
from refreeze.sessions.network import LocalNetwork
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.sessions.store import Store
from refreeze.sessions.supervisor import Supervisor
from refreeze.sessions.ways import Ways
from refreeze.signaling import Signaling
from refreeze.signaling.control_carrier import ControlSignaling
from refreeze.signaling.http.carrier import HttpSignaling
from refreeze.watchdog import Policy, Storm

Emit = Callable[[str, dict[str, Any]], None]


@define(eq=False, repr=False, kw_only=True, slots=False)
class Daemon(Service):
    """One daemon: its ports, its sessions, its hub and its control port."""

    process: Process
    settings: DaemonSettings
    read_settings: Callable[[], DaemonSettings] | None = None
    """Reads the configuration file again; ConfigError when it is wrong."""
    listeners: list[Emit] = field(factory=list)
    """Told of every event: topic and fields."""
    ground: Ground = field(init=False)
    supervisor: Supervisor = field(init=False)
    network: LocalNetwork = field(init=False)
    meeting: Meeting = field(init=False)
    certificate: KeptCertificate = field(init=False)
    control_signaling: ControlSignaling = field(init=False)
    _entrance: Entrance | None = field(default=None, init=False)
    _frontage: Frontage | None = field(default=None, init=False)
    _metrics: Any = field(default=None, init=False)
    store: Store = field(init=False)
    _running: dict[str, SessionSettings] = field(factory=dict, init=False)
    """What every session that was made goes by."""

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        process, settings = self.process, self.settings
        self.store = Store(self._state_file("refreeze.db"), self._state_lost)
        self.certificate = KeptCertificate(
            path=self._state_file("dtls.pem"),
            clock=process.reactor,
            wall=process.wall,
            emit=self.emit,
        )
        self.ground = Ground(process=process, settings=lambda: self.settings)
        self.meeting = Meeting(process=process, settings=settings, emit=self.emit)
        self.control_signaling = ControlSignaling(
            name=settings.name,
            clock=process.reactor,
            emit=lambda session, line: self.emit("signal", {"id": session, "envelope": line}),
        )
        self.http_signaling = HttpSignaling(
            name=settings.name,
            clock=process.reactor,
            wall=process.wall,
            random=process.random,
            offers=self._offers,
            stands=self._offer_stands,
        )
        self.listeners.append(self.http_signaling.heed)
        self.supervisor = Supervisor(
            scheduler=process.scheduler,
            storm=Storm(settings.storm, process.random, process.scheduler.now()),
            emit=self.emit,
            open_session=self._open_session,
            save_epoch=self.store.save_epoch,
            save_round=self.store.save_round,
            describe=self._describe,
            expose=lambda supervisor: exposition(
                supervisor, self.ground, self.meeting, self.certificate, self._frontage
            ),
            deliver_signal=self._deliver_signal,
            reread=self.reload,
            more_status=self._more_status,
            remember=self._remember,
            change_setting=self._set,
            examine_network=self.ground.doctor.examine,
            end=self._end,
            look=self._look_at_network,
            drop_path=self._drop_path if settings.faults else None,
        )
        self.network = LocalNetwork(
            pool=self.ground.pool,
            hosts=self.ground.hosts,
            sessions=self.supervisor,
            emit=self.emit,
            clock=process.reactor,
            forget=self.ground.base_gone,
            looked=self.ground.looked,
            ways=Ways(process.route_via),
        )
        if process.on_address_change is not None:
            process.on_address_change(self.network.hint)
        process.scheduler.on_clock_jump(self._clock_jumped)
        self.ground.mux.on_port_broken(self._port_broken)
        self.ground.mux.on_send_refused(self._send_refused)

    def _state_file(self, name: str) -> str | None:
        state = self.settings.state_dir
        return None if state is None else os.path.join(state, name)

    def emit(self, topic: str, fields: dict[str, Any]) -> None:
        """Tell every listener; none of them can stop another."""
        for listener in self.listeners:
            try:
                listener(topic, fields)
            except Exception:
                self._log.failure("a listener for events failed")

    # The service

    def startService(self) -> None:
        """Hub, link, sessions, in this order; what cannot listen is raised."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self.meeting.startService()
        self.supervisor.network_up = bool(self.ground.pool.hosts)
        for name, session in self.settings.sessions.items():
            self.supervisor.add(self.make_session(name, session))
        self._restore_sessions()
        places = self.settings.control
        if places.socket is not None or places.tcp is not None or places.tls is not None:
            self._entrance = self._make_entrance()
            self._entrance.startService()
            if self.store.problem:
                self._state_lost(self.store.problem)  # again, for those who read events
        if self.settings.http.listen is not None:
            self._frontage = Frontage(
                process=self.process,
                settings=self.settings.http,
                signaling=self.http_signaling,
                draining=lambda: self.supervisor.draining,
            )
            self._frontage.startService()
        self.certificate.startService()  # it may have news for those who read events
        if self.settings.metrics.listen is not None:
            host, port = parse_place(self.settings.metrics.listen, "metrics.listen")
            self._metrics = self.process.reactor.listenTCP(
                port, site(self.supervisor.metrics, self._is_ready), interface=host
            )

    def stopService(self) -> Deferred[Any]:
        """The watchdog first, then bye to the peers, then the links, then the sockets."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        self.network.stop()
        self.supervisor.stop()
        self.certificate.stopService()
        stopping: list[Any] = [self.ground.stop()]
        if self._entrance is not None:
            stopping.append(self._entrance.stopService())
        if self._frontage is not None:
            stopping.append(self._frontage.stopService())
        if self._metrics is not None:
            stopping.append(self._metrics.stopListening())
        stopping.append(self.meeting.stopService())
        done = gatherResults([d for d in stopping if isinstance(d, Deferred)], consumeErrors=True)
        # In a turn of its own: what came last may be a socket that is still being read, and the
        # reactor closes every socket as soon as this fires.
        done.addBoth(lambda _: deferLater(self.process.reactor, 0.0, self._release))
        return done

    def _is_ready(self) -> bool:
        link = self.meeting.link
        return bool(self.running) and (link is None or link.up)

    def _release(self) -> None:
        self.ground.close()
        self.store.close()

    def _clock_jumped(self, gap: float) -> None:
        self.ground.clock_jumped(gap)
        self.certificate.look()
        self.supervisor.clock_jumped(gap)

    def _port_broken(self, base: Address, reason: str) -> None:
        """Open the socket again before anybody restarts over a dead one (T35)."""
        self.emit("net.change", {"why": "port-broken", "address": base[0], "errno": reason})
        self.network.hint()

    def _send_refused(self, port: Port, error: str) -> None:
        """The owner of the port is in the middle of something: tell it afterwards."""
        self.process.queue_task(lambda: self.network.refused(port, error))

    def _look_at_network(self) -> None:
        self.network.hint()

    def _make_entrance(self) -> Entrance:
        log = EventLog(self.process.wall)
        self.listeners.append(log.emit)
        certificates = self.meeting.certificates
        return Entrance(
            process=self.process,
            settings=self.settings,
            commands=Commands(self.supervisor, self.process.reactor, __version__),
            events=log,
            emit=self.emit,
            shared=None if certificates is None else certificates.identity,
        )

    # Sessions

    def make_session(self, name: str, settings: SessionSettings) -> Session:
        """Compose one session; ValueError when its signaling is not there."""
        process, me = self.process, self.settings.name
        signaling = self._signaling(settings.signaling)
        offerer = self._offerer(settings)
        ice = evolve(self.settings.ice, liveness=PROFILES[settings.liveness])
        forward = Forward(
            settings=settings.forward,
            factory=process.ports,
            path_send=lambda payloads: 0,
            now=process.scheduler.now,
        )
        gatherer = self.ground.gatherer(settings.peer, name)
        session = Session(
            identity=SessionIdentity(
                name=name,
                me=me,
                peer=settings.peer,
                offerer=offerer == me,
                epoch=self._next_epoch(name),
            ),
            environment=PeerEnvironment(
                mux=self.ground.mux,
                scheduler=process.scheduler,
                random=process.random,
                bucket=self.ground.bucket,
                queue_task=process.queue_task,
                settings=ice,
                certificate=self.certificate.certificate,
                gatherer=gatherer,
                resolve_mdns=self.ground.resolve_mdns,
                dtls=None if settings.protect == "none" else lambda: self.certificate.context,
                as_service=True,
            ),
            signaling=signaling,
            policy=Policy(
                settings=self.settings.watchdog,
                random=process.random,
                offerer=offerer == me,
                now=process.scheduler.now(),
            ),
            forward=forward,
            gatherer=gatherer,
            budget=self.supervisor,
            emit=self.emit,
            wall=process.wall,
            random=process.random,
        )
        self._running[name] = settings
        return session

    def _remember(self, name: str, options: dict[str, str] | None) -> None:
        if options is None:
            self._running.pop(name, None)
        self.store.save_session(name, options)

    def _signaling(self, carrier: str) -> Signaling:
        if carrier == "control":
            return self.control_signaling
        if carrier == "http":
            if self._frontage is None and self.settings.http.listen is None:
                raise ValueError('signaling: "http" needs http.listen')
            return self.http_signaling
        if self.meeting.link is None:
            raise ValueError('signaling: "hub" needs the hub to be named')
        return self.meeting.link

    def _offerer(self, settings: SessionSettings) -> str:
        """A browser has no watchdog: on HTTP it is ours that offers, unless the file says so."""
        me = self.settings.name
        usual = me if settings.signaling == "http" else min(me, settings.peer)
        return settings.offerer or usual

    def _offers(self, session: str) -> bool:
        found = self.supervisor.sessions.get(session)
        return found is None or found.identity.offerer

    def _offer_stands(self, session: str, offer: str) -> bool:
        found = self.supervisor.sessions.get(session)
        return found is not None and found.conversation.offer_id == offer

    def _open_session(self, name: str, options: dict[str, str]) -> Session:
        """A session from words such as a section of the file has."""
        table: dict[str, Any] = dict(options)
        if "allow_from" in table:
            table["allow_from"] = table["allow_from"].split(",")
        try:
            if "flow_idle" in table:
                table["flow_idle"] = float(table["flow_idle"])
        except ValueError:
            raise ValueError("flow_idle: must be a number") from None
        try:
            wanted = session_settings(table, name)
            check_session(self.settings, name, wanted, name)
            return self.make_session(name, wanted)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    def _describe(self) -> dict[str, Any]:
        """Settings by dotted name; none of them is a secret."""
        described: dict[str, Any] = {}
        for part in ("name", "state_dir", "faults"):
            described[part] = getattr(self.settings, part)
        for part in ("watchdog", "storm"):
            for key, value in asdict(getattr(self.settings, part)).items():
                described[f"{part}.{key}"] = value if not isinstance(value, tuple) else str(value)
        return described

    def _deliver_signal(self, envelope: str) -> None:
        self.control_signaling.deliver(envelope)

    def reload(self) -> dict[str, Any]:
        """Read the file again and go by it; what cannot change now is told, not half done.

        ValueError in one line when the file is wrong: then everything stays as it was.
        """
        if self.read_settings is None:
            raise ValueError("there is no configuration file")
        try:
            wanted = self.read_settings()
        except ConfigError as error:
            self._log.error("the configuration stays as it was: {why}", why=error)
            raise ValueError(str(error)) from None
        there = self.supervisor.sessions
        running = {name: each for name, each in self._running.items() if name in there}
        changes = compare(self.settings, wanted, running)
        self._go_by(applied(self.settings, wanted))
        failed = self._change_sessions(changes, wanted)
        outcome: dict[str, Any] = {
            "opened": len(changes.opened),
            "closed": len(changes.closed),
            "changed": len(changes.forwards),
            "remade": len(changes.remade),
        }
        if self._frontage is not None:
            self._frontage.reconfigure(self.settings.http)
        renewed = self.meeting.look_for_certificates()
        if self._entrance is not None:
            renewed |= self._entrance.look_for_certificates()
        if renewed:
            outcome["certificates"] = "renewed"
        if failed:
            outcome["failed"] = ",".join(failed)
        if changes.restart_needed:
            outcome["restart-needed"] = ",".join(changes.restart_needed)
        self._log.info("reloaded: {outcome}", outcome=outcome)
        self.emit("config.reloaded", outcome)
        return outcome

    def _change_sessions(self, changes: Changes, wanted: DaemonSettings) -> list[str]:
        """Closed first, so that others can have their places; returns those that failed."""
        failed = []
        for name in changes.closed:
            self.supervisor.end_session(name, "reload")
        for name in changes.remade:
            # The peer hears of the new one by its epoch; a bye would make it give up.
            self.supervisor.end_session(name, "reload", tell=False)
        for name in changes.forwards:
            session = self.supervisor.sessions[name]
            try:
                session.forward.change(wanted.sessions[name].forward)
                self._running[name] = wanted.sessions[name]
            except ForwardError as error:
                failed.append(self._not_as_wanted(name, error))
        for name in changes.remade + changes.opened:
            try:
                self.supervisor.add(self.make_session(name, wanted.sessions[name]))
            except (ValueError, ForwardError) as error:
                failed.append(self._not_as_wanted(name, error))
        return failed

    def _not_as_wanted(self, name: str, error: Exception) -> str:
        self._log.error("session {name}: {why}", name=name, why=error)
        self.emit("session.failed-to-open", {"id": name, "why": str(error)})
        return name

    def _go_by(self, settings: DaemonSettings) -> None:
        """Settings that can change while sessions run."""
        old, self.settings = self.settings, settings
        if settings.watchdog != old.watchdog:
            for session in self.supervisor.sessions.values():
                session.policy.change_settings(settings.watchdog)
        if settings.storm != old.storm:
            self.supervisor.storm.change_settings(settings.storm)
        if (settings.servers, settings.gathering) != (old.servers, old.gathering):
            sessions = self.supervisor.sessions.values()
            self.ground.reconfigure(session.gatherer for session in sessions)
        if self._entrance is not None:
            self._entrance.reconfigure(settings)
        self.supervisor.settings_changed()

    def _set(self, name: str, value: str) -> None:
        """`set` and `log`: in force until the next reload or restart; ValueError in one line."""
        if name == "log.level":
            if self.process.set_log_level is None:
                raise ValueError("the log is somebody else's (--logger, --logfile or --syslog)")
            self.process.set_log_level(value)
        else:
            self._go_by(with_setting(self.settings, name, value))

    def _restore_sessions(self) -> None:
        """Sessions that were opened at run time come back with the daemon; the file goes first."""
        for name, options in self.store.sessions().items():
            if name in self.settings.sessions:
                self.store.save_session(name, None)
                continue
            try:
                self.supervisor.add(self._open_session(name, options))
            except (ValueError, ForwardError) as error:
                self._not_as_wanted(name, error)

    def _state_lost(self, problem: str) -> None:
        self.emit("state.memory-only", {"why": problem})

    def _more_status(self) -> dict[str, Any]:
        """`status` shows what would otherwise stand in the log only."""
        problem = self.store.problem or self.certificate.problem
        more: dict[str, Any] = {} if not problem else {"state": problem}
        if self.supervisor.draining:
            more["draining"] = True
        more["dtls_certificate_days"] = round(self.certificate.days_left, 1)
        if self._entrance is not None:
            more |= self._entrance.status()
        if self._frontage is not None:
            more |= self._frontage.status()
        return more | self.meeting.status()

    def _end(self) -> None:
        self.process.reactor.callLater(0, self.process.reactor.stop)

    def _next_epoch(self, name: str) -> int:
        """Greater than any before: the clock's, or one more than the stored one."""
        epoch = max(self.store.epoch(name) + 1, int(self.process.wall() * 1000))
        self.store.save_epoch(name, epoch)
        return epoch

    def _drop_path(self, session: Session, what: str, seconds: float) -> int:
        """Lose packets of the session's 5-tuples in our ports, both ways."""
        transport = session.connection.iceTransport.transport
        until = self.process.scheduler.now() + (0.0 if what == "clear" else seconds)
        tuples = transport.tuples()
        if what == "path":
            route = transport.route
            tuples = set() if route is None else {(route.base, route.remote_address)}
        self.ground.drop(tuples, until)
        return len(tuples)
