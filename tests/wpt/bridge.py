"""The connections behind a page: lines of JSON, one request at a time, and events between.

A request is answered by one line. Before that, any number of events and settled promises are told,
each of which the page answers by ``done`` once its listeners and microtasks have run; until then
it may make requests of its own. So a task of ours is a task of the page's.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.jsep import Description
from refreeze.net.gathering import HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.peer import (
    DtlsContext,
    EventTarget,
    PeerEnvironment,
    RTCCertificate,
    RTCConfiguration,
    RTCDataChannel,
    RTCDtlsTransport,
    RTCIceCandidate,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSctpTransport,
)
from refreeze.testing import FakeNetwork, SeededRandom, VirtualReactor
from tests.peer.scripts import CONNECTION_EVENTS, ICE_TRANSPORT_EVENTS

OBJECTS = (
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCIceTransport,
    RTCDtlsTransport,
    RTCSctpTransport,
    RTCDataChannel,
    RTCCertificate,
)
"""What the page knows by number; all else crosses as a value."""
EVENTS: dict[type, tuple[str, ...]] = {
    RTCPeerConnection: CONNECTION_EVENTS,
    RTCIceTransport: ICE_TRANSPORT_EVENTS,
    RTCDtlsTransport: ("statechange", "error"),
}
CANDIDATE = (
    *("candidate", "sdpMid", "sdpMLineIndex", "usernameFragment", "foundation", "component"),
    *("priority", "address", "protocol", "port", "type", "tcpType"),
    *("relatedAddress", "relatedPort", "relayProtocol", "url"),
)
ERROR_EVENT = ("address", "port", "url", "errorCode", "errorText")


@attrs.define(eq=False)
class Bridge:
    """One page's world."""

    source: TextIO
    sink: TextIO
    reactor: VirtualReactor = attrs.field(factory=VirtualReactor)
    network: FakeNetwork = attrs.field(init=False)
    tasks: deque[Callable[[], None]] = attrs.field(factory=deque)
    _objects: list[object] = attrs.field(factory=list)
    _connections: int = 0

    def __attrs_post_init__(self) -> None:
        self.network = FakeNetwork(self.reactor, 1)

    def run(self) -> None:
        """Until the page is gone."""
        while (request := self._read()) is not None:
            self._serve(request)

    def _read(self) -> dict[str, Any] | None:
        line = self.source.readline()
        return json.loads(line) if line else None

    def _send(self, message: Mapping[str, Any]) -> None:
        self.sink.write(json.dumps(message) + "\n")
        self.sink.flush()

    def _tell(self, message: Mapping[str, Any]) -> None:
        """The page does whatever it does with it, now."""
        self._send(message)
        while (request := self._read()) is not None and request["do"] != "done":
            self._serve(request)

    def _serve(self, request: dict[str, Any]) -> None:
        serve = getattr(self, f"_do_{request.pop('do')}")
        try:
            self._send({"result": self._shown(serve(**request))})
        except Exception as error:
            self._send({"error": _error(error)})

    # Requests

    def _do_get(self, target: int, name: str) -> object:
        return getattr(self._objects[target], name)

    def _do_set(self, target: int, name: str, value: object) -> None:
        setattr(self._objects[target], name, value)

    def _do_call(
        self, target: int, name: str, arguments: list[Any], options: dict[str, Any]
    ) -> object:
        return getattr(self._objects[target], name)(*map(self._read_value, arguments), **options)

    def _do_promise(
        self, promise: int, target: int, name: str, arguments: list[Any], options: dict[str, Any]
    ) -> None:
        begun: Deferred[object] = self._do_call(target, name, arguments, options)  # type: ignore[assignment]
        begun.addBoth(self._settle, promise)

    def _settle(self, result: object, promise: int) -> None:
        if isinstance(result, Failure) and result.value is not None:
            self._tell({"promise": promise, "error": _error(result.value)})
        else:
            self._tell({"promise": promise, "result": self._shown(result)})

    def _do_certificate(self, promise: int, algorithm: Any) -> None:
        if isinstance(algorithm, dict) and "publicExponent" in algorithm:
            algorithm["publicExponent"] = bytes(algorithm["publicExponent"])
        made = RTCPeerConnection.generateCertificate(algorithm, now=datetime.now(UTC))

        def settle() -> None:
            made.addBoth(self._settle, promise)

        self.tasks.append(settle)

    def _do_candidate(self, init: dict[str, Any]) -> RTCIceCandidate:
        return RTCIceCandidate(init)

    def _do_connection(self, configuration: dict[str, Any] | None) -> RTCPeerConnection:
        """On a host of its own; *configuration* may name certificates by number."""
        wanted = RTCConfiguration.of(self._read_value(configuration))
        now = datetime.now(UTC)
        wanted.check_dates(now)
        self._connections += 1
        number = self._connections
        host = self.network.host(f"page-{number}", [f"192.0.2.{number % 250 + 1}"])
        scheduler = Scheduler(self.reactor)
        mux = Mux(scheduler.now)
        lease = SocketPool(host.factory, mux, list(host.interfaces)).lease("peer")
        certificate = next(iter(wanted.certificates), None) or RTCCertificate.generate(now)
        context = DtlsContext(certificate)

        def bases() -> list[Any]:
            relayed = made.getConfiguration().iceTransportPolicy == "relay"
            return [] if relayed else list(lease.bases)

        environment = PeerEnvironment(
            mux=mux,
            scheduler=scheduler,
            random=SeededRandom(str(number)),
            bucket=CheckBucket(),
            queue_task=self.tasks.append,
            settings=AgentSettings(),
            certificate=certificate,
            gatherer=HostGatherer(bases),
            dtls=lambda: context,
            wall=lambda: datetime.now(UTC),
        )
        made = RTCPeerConnection(environment, configuration=wanted)
        return made

    def _do_task(self, seconds: float) -> bool:
        """Run the next task, or else let time pass; whether there may be more."""
        if self.tasks:
            self.tasks.popleft()()
        else:
            self.reactor.advance(seconds)
        return bool(self.tasks)

    # Values

    def _read_value(self, value: Any) -> Any:
        if isinstance(value, dict) and "object" in value:
            return self._objects[value["object"]]
        if isinstance(value, dict):
            return {key: self._read_value(each) for key, each in value.items()}
        return [self._read_value(each) for each in value] if isinstance(value, list) else value

    def _shown(self, value: Any) -> Any:
        for kind in OBJECTS:
            if isinstance(value, kind):
                return {"kind": kind.__name__, "object": self._number(kind, value)}
        if isinstance(value, Description):
            return {"kind": "RTCSessionDescription", "type": value.type.value, "sdp": value.sdp}
        if isinstance(value, RTCIceCandidate):
            shown = {name: self._shown(getattr(value, name)) for name in CANDIDATE}
            return {"kind": "RTCIceCandidate", **shown}
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, datetime):
            return value.timestamp() * 1000
        if isinstance(value, bytes):
            return {"kind": "bytes", "length": len(value)}
        return self._collection(value)

    def _collection(self, value: Any) -> Any:
        if attrs.has(type(value)):
            names = [a.name for a in attrs.fields(type(value)) if not a.name.startswith("_")]
            return {name: self._shown(getattr(value, name)) for name in names}
        if isinstance(value, Mapping):
            return {key: self._shown(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(each) for each in value]
        return value

    def _number(self, kind: type, value: object) -> int:
        for number, known in enumerate(self._objects):
            if known is value:
                return number
        self._objects.append(value)
        number = len(self._objects) - 1
        if isinstance(value, EventTarget):
            for name in EVENTS.get(kind, ()):
                value.addEventListener(name, lambda event: self._fired(number, event))
        return number

    def _fired(self, number: int, event: Any) -> None:
        shown = {"candidate": self._shown(event.candidate)}
        shown |= {name: self._shown(getattr(event, name, None)) for name in ERROR_EVENT}
        self._tell({"event": event.type, "object": number, "members": shown})


def _error(error: BaseException) -> dict[str, Any]:
    return {
        "name": getattr(error, "name", type(error).__name__),
        "message": str(error),
        "detail": getattr(error, "errorDetail", None),
        "line": getattr(error, "sdpLineNumber", None),
    }


if __name__ == "__main__":
    # Descriptors 8 and 9 are the page's pipe: both directions block.
    with open(8, encoding="utf-8") as source, open(9, "w", encoding="utf-8") as sink:
        Bridge(source, sink).run()
    sys.stderr.flush()
    os._exit(0)
