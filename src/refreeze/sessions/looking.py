"""What operators see of a session: records of plain words, no secret among them."""

from __future__ import annotations

from typing import Any

from refreeze.basics import format_address
from refreeze.ice.pair import Pair
from refreeze.net.gathering import ServerReport
from refreeze.peer import RTCDtlsTransport
from refreeze.sessions.session import Session

Record = dict[str, Any]


def summary(session: Session) -> Record:
    """One record, as `list` shows it."""
    snapshot = session.policy.snapshot()
    pair = session.connection.iceTransport.transport.route
    arrow = "none"
    if pair is not None:
        arrow = f"{format_address(pair.base)}->{format_address(pair.remote_address)}"
    record: Record = {
        "id": session.identity.name,
        "peer": session.identity.peer,
        "state": session.state,
        "watchdog": snapshot.state.value,
        "role": "offerer" if session.identity.offerer else "answerer",
        "attempts": snapshot.attempts,
        "pair": arrow,
    }
    if pair is not None:
        record["types"] = f"{pair.local.type.value}/{pair.remote.type.value}"
    if pair is not None and pair.rtt is not None:
        record["rtt_ms"] = round(pair.rtt * 1000, 2)
    return record


def details(session: Session, now: float) -> list[Record]:
    """Everything there is to see, a record a part."""
    return [
        {"part": "session", **summary(session)},
        _watchdog(session, now),
        {
            "part": "signaling",
            "up": session.signaling_up,
            "problem": session.signaling_problem or None,
            "peer_online": session.peer_online,
            "epoch": session.conversation.epoch,
            "generation": session.conversation.generation,
        },
        _forward(session),
        _protect(session),
        *_servers(session),
        *_pairs(session),
    ]


def _watchdog(session: Session, now: float) -> Record:
    snapshot = session.policy.snapshot()
    return {
        "part": "watchdog",
        "state": snapshot.state.value,
        "attempts": snapshot.attempts,
        "circuit": snapshot.circuit.value,
        "cause": snapshot.cause.value if snapshot.cause else None,
        "next": round(snapshot.next_action_at - now, 1) if snapshot.next_action_at else None,
        "held": snapshot.held_reason,
        "last": snapshot.last_outcome.value if snapshot.last_outcome else None,
        "why": snapshot.last_reason,
    }


def _forward(session: Session) -> Record:
    forward = session.forward
    return {
        "part": "forward",
        "listen": forward.listen_address,
        "deliver": forward.settings.deliver,
        "accepted": forward.counters.accepted,
        "handed": forward.counters.handed,
        "dropped": sum(forward.counters.dropped_out.values()),
        "received": forward.counters.received,
        "delivered": forward.counters.delivered,
    }


def _protect(session: Session) -> Record:
    door, dtls = session.protect, session.securing.transport
    counters = door.counters
    return {
        "part": "protect",
        "name": door.name,
        "problem": session.securing.problem or None,
        **({} if dtls is None else dtls.show()),
        "certificate_age_days": None if dtls is None else _age(session, dtls),
        "max_payload": door.max_payload,
        "too_long": counters.dropped["too-long"],
        "dropped_out": counters.dropped.total(),
        "dropped_in": counters.received_dropped.total(),
    }


def _age(session: Session, dtls: RTCDtlsTransport) -> float:
    return round((session.wall() - dtls.certificate.made.timestamp()) / 86400, 1)


def _servers(session: Session) -> list[Record]:
    """Every URL of the configuration: what it gave, or why it gave nothing."""
    return [_server(report) for report in session.gatherer.reports()]


def _server(report: ServerReport) -> Record:
    problem = report.problem
    status = "ok" if report.gave else "asked"
    record: Record = {
        "part": "server",
        "url": str(report.url),
        "status": status if problem is None else problem.reason,
        "mapped": ",".join(map(format_address, report.mapped)) or None,
        "relayed": ",".join(map(format_address, report.relayed)) or None,
        "rtt_ms": None if report.rtt is None else round(report.rtt * 1000, 2),
    }
    if problem is not None:
        record |= {"code": problem.code, "why": problem.text}
    return record


def _pairs(session: Session) -> list[Record]:
    return [
        {
            "part": "pair",
            "generation": generation.number,
            "phase": generation.phase.value,
            "local": format_address(pair.base),
            "remote": format_address(pair.remote_address),
            "types": f"{pair.local.type.value}/{pair.remote.type.value}",
            "server": _server_of(session, pair),
            "state": pair.state.value,
            "nominated": pair.nominated,
            "rtt_ms": None if pair.rtt is None else round(pair.rtt * 1000, 2),
            "packets_out": pair.counters.packets_out,
            "packets_in": pair.counters.packets_in,
        }
        for generation in session.connection.iceTransport.transport.generations()
        for pair in generation.agent.pairs
    ]


def _server_of(session: Session, pair: Pair) -> str | None:
    url = session.gatherer.server_of(pair.base)
    return None if url is None else str(url)


def rounds(session: Session) -> list[Record]:
    """The latest rounds, oldest first."""
    return [
        {
            "round": record.id,
            "cause": record.cause.value,
            "by": "us" if record.ours else "peer",
            "outcome": record.outcome.value if record.outcome else None,
            "seconds": round(record.seconds or 0.0, 3),
            "why": record.detail,
            "reason": record.reason or None,
        }
        for record in session.book.ended
    ]
