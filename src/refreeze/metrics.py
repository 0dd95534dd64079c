"""Numbers of the watchdog and the network as Prometheus reads them, and an HTTP door for them.

Floors keep their counters; here they are read, at the moment they are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from attrs import asdict, define
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.web.resource import Resource
from twisted.web.server import Site

from refreeze.net.mux import Mux
from refreeze.net.reflexive import Reflexive
from refreeze.net.relays import RelayPool
from refreeze.sessions.certificate import KeptCertificate
from refreeze.sessions.supervisor import Supervisor
from refreeze.signaling.hub import Hub
from refreeze.signaling.link import HubLink
from refreeze.signaling.renewal import Renewal

_COUNTED_ELSEWHERE = frozenset({"received", "stun_as_data", "unauthenticated"})
"""Counters of the mux that are the sum of others, or a part of one: a series would count twice."""

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@define(eq=False, repr=False)
class WatchdogCollector(Collector):
    """Reads one daemon's supervisor whenever it is scraped."""

    supervisor: Supervisor

    def collect(self) -> Iterator[Metric]:
        """Counters by cause or reason, and gauges."""
        total = self.supervisor.totals()
        started = CounterMetricFamily(
            "refreeze_restarts_started", "Rounds begun, by cause.", labels=["cause"]
        )
        for cause, number in sorted(total.started.items()):
            started.add_metric([cause], number)
        yield started
        for name, table in (
            ("refreeze_restarts_failed", total.failed),
            ("refreeze_restarts_suppressed", total.suppressed),
        ):
            family = CounterMetricFamily(name, "By reason.", labels=["reason"])
            for reason, number in sorted(table.items()):
                family.add_metric([reason], number)
            yield family
        for name, number in (
            ("refreeze_restarts_succeeded", total.succeeded),
            ("refreeze_restarts_superseded", total.superseded),
            ("refreeze_restarts_abandoned", total.abandoned),
            ("refreeze_offers_sent", total.offers_sent),
            ("refreeze_offers_received", total.offers_received),
            ("refreeze_offers_stale", total.offers_stale),
            ("refreeze_offers_glare", total.offers_glare),
        ):
            yield CounterMetricFamily(name, "Since the daemon started.", value=number)
        yield from self._gauges(total.pending)

    def _gauges(self, pending: int) -> Iterator[Metric]:
        sessions = GaugeMetricFamily("refreeze_sessions", "By state.", labels=["state"])
        states: dict[str, int] = {}
        open_circuits = 0
        for session in self.supervisor.sessions.values():
            states[session.state] = states.get(session.state, 0) + 1
            open_circuits += session.policy.snapshot().circuit.value == "open"
        for state, number in sorted(states.items()):
            sessions.add_metric([state], number)
        yield sessions
        for name, value in (
            ("refreeze_rounds_pending", pending),
            ("refreeze_circuit_open", open_circuits),
            ("refreeze_storm", int(self.supervisor.storm.on)),
        ):
            yield GaugeMetricFamily(name, "At this moment.", value=value)


class Network(Protocol):
    """The network floor of a daemon, as far as it is counted."""

    @property
    def mux(self) -> Mux: ...

    @property
    def reflexive(self) -> Reflexive: ...

    @property
    def relays(self) -> RelayPool: ...


@define(eq=False, repr=False)
class NetworkCollector(Collector):
    """What came in, what servers said, and what became of relays."""

    network: Network

    def collect(self) -> Iterator[Metric]:
        """Counters by result, and the relays by state."""
        network = self.network
        for name, text, counters in (
            ("refreeze_datagrams", "Received, by what became of them.", network.mux.counters),
            ("refreeze_stun_requests", "To servers, by result.", network.reflexive.counters),
            ("refreeze_relay_attempts", "By result.", network.relays.tools.counters),
        ):
            family = CounterMetricFamily(name, text, labels=["result"])
            for result, number in asdict(counters).items():
                if result not in _COUNTED_ELSEWHERE:
                    family.add_metric([result], number)
            yield family
        states = Counter(relay.state for relay in network.relays.relays)
        relays = GaugeMetricFamily("refreeze_relays", "By state.", labels=["state"])
        for state, number in sorted(states.items()):
            relays.add_metric([state], number)
        yield relays


class Signals(Protocol):
    """A daemon's part in the signaling; None: it has none."""

    @property
    def link(self) -> HubLink | None: ...

    @property
    def hub(self) -> Hub | None: ...

    @property
    def certificates(self) -> Renewal | None: ...


@define(eq=False, repr=False)
class SignalingCollector(Collector):
    """The link to the hub, the hub that this daemon serves, and its certificate."""

    signals: Signals

    def collect(self) -> Iterator[Metric]:
        """Gauges, and the hub's counters by result."""
        signals = self.signals
        gauges = []
        if signals.link is not None:
            gauges.append(("refreeze_link_up", "Of the hub.", int(signals.link.up)))
        if signals.hub is not None:
            gauges.append(("refreeze_hub_links", "Daemons.", len(signals.hub.online)))
            family = CounterMetricFamily(
                "refreeze_hub", "Envelopes and connections, by what became.", labels=["result"]
            )
            for result, number in sorted(signals.hub.counters.items()):
                family.add_metric([result], number)
            yield family
        if signals.certificates is not None:
            expires = int(signals.certificates.identity.material.expires.timestamp())
            gauges.append(("refreeze_certificate_expires_seconds", "Unix time.", expires))
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value=value)


@define(eq=False, repr=False)
class ProtectionCollector(Collector):
    """The certificate that the sessions show their peers."""

    certificate: KeptCertificate

    def collect(self) -> Iterator[Metric]:
        """One gauge."""
        expires = int(self.certificate.certificate.expires.timestamp())
        name = "refreeze_dtls_certificate_expires_seconds"
        yield GaugeMetricFamily(name, "Unix time.", value=expires)


class Front(Protocol):
    """The listener for browsers."""

    @property
    def connections(self) -> int: ...

    @property
    def clients(self) -> int: ...

    @property
    def responses(self) -> Mapping[int, int]: ...


@define(eq=False, repr=False)
class FrontCollector(Collector):
    """The sessions on HTTP, and what their clients were answered."""

    front: Front

    def collect(self) -> Iterator[Metric]:
        """Gauges, and responses by status."""
        front = self.front
        for name, text, value in (
            ("refreeze_http_connections", "That are open.", front.connections),
            ("refreeze_http_clients", "Sessions with a client's resource.", front.clients),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        family = CounterMetricFamily("refreeze_http_responses", "By status.", labels=["status"])
        for status, number in sorted(front.responses.items()):
            family.add_metric([str(status)], number)
        yield family


def exposition(
    supervisor: Supervisor,
    network: Network,
    signals: Signals,
    certificate: KeptCertificate,
    front: Front | None = None,
) -> str:
    """The text that a scrape gets."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WatchdogCollector(supervisor))
    registry.register(NetworkCollector(network))
    registry.register(SignalingCollector(signals))
    registry.register(ProtectionCollector(certificate))
    if front is not None:
        registry.register(FrontCollector(front))
    return generate_latest(registry).decode()


class _Text(Resource):
    """A leaf whose text is made when it is asked for; ``None`` is 503."""

    isLeaf = True

    def __init__(self, make: Callable[[], str | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self._make = make

    def render_GET(self, request: Any) -> bytes:
        """The text, or 503."""
        text = self._make()
        request.setHeader(b"content-type", CONTENT_TYPE)
        if text is None:
            request.setResponseCode(503)
            return b"not ready\n"
        return text.encode()


def site(expose: Callable[[], str], ready: Callable[[], bool]) -> Site:
    """``/metrics``, ``/healthz`` (the loop turns) and ``/readyz`` (signaling is up)."""
    root: Any = Resource()  # type: ignore[no-untyped-call]  # Twisted's
    root.putChild(b"metrics", _Text(expose))
    root.putChild(b"healthz", _Text(lambda: "ok\n"))
    root.putChild(b"readyz", _Text(lambda: "ready\n" if ready() else None))
    made: Site = Site(root)  # type: ignore[no-untyped-call]  # Twisted's
    made.noisy = False
    return made
