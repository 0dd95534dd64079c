"""One way into every state, for both sides, and every input that can come there."""

from __future__ import annotations

from collections.abc import Callable

from refreeze.watchdog import Cause, RoundOutcome, WatchState

from .driving import Driver

ENOUGH = 1.0
"""Longer than the delay of a first attempt (seconds)."""


def _idle(offerer: bool) -> Driver:
    return Driver(offerer=offerer)


def _watching(offerer: bool) -> Driver:
    return Driver(offerer=offerer).established()


def _recovered(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.policy.recovered(driver.now)
    driver.drain()
    return driver


def _suspect(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.ice("disconnected")
    return driver


def _queued(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.ice("failed")
    return driver


def _ungranted(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.grants = False
    driver.policy.operator_restart(driver.now)
    driver.drain()
    return driver


def _asking(_offerer: bool) -> Driver:
    driver = _queued(False)
    driver.wait(ENOUGH)
    return driver


def _round(offerer: bool) -> Driver:
    """Ours, unanswered, of a broken path."""
    driver = _queued(offerer)
    driver.policy.operator_restart(driver.now)
    driver.drain()
    return driver


def _answered(offerer: bool) -> Driver:
    driver = _round(offerer)
    driver.answer()
    return driver


def _peer_round(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.offer()
    return driver


def _signalling_down(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.signaling(False)
    return driver


def _network_down(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.network("down")
    return driver


def _held(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.policy.hold(driver.now, None)
    driver.drain()
    return driver


def _offline(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.online(False)
    return driver


def _peer_closed(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.policy.peer_closed(driver.now, "bye")
    driver.drain()
    return driver


def _never_connected(offerer: bool) -> Driver:
    driver = Driver(offerer=offerer)
    driver.open()
    driver.fail_rounds()
    return driver


def _open(offerer: bool) -> Driver:
    driver = _queued(offerer)
    driver.fail_rounds()
    return driver


def _closed(offerer: bool) -> Driver:
    driver = _watching(offerer)
    driver.policy.close(driver.now)
    driver.drain()
    return driver


SCENARIOS: dict[WatchState, tuple[Callable[[bool], Driver], ...]] = {
    WatchState.IDLE: (_idle,),
    WatchState.WATCHING: (_watching, _recovered),
    WatchState.SUSPECT: (_suspect,),
    WatchState.QUEUED: (_queued, _ungranted),
    WatchState.ASKING: (_asking,),
    WatchState.ROUND: (_round, _answered, _peer_round),
    WatchState.WAITING: (_signalling_down, _network_down),
    WatchState.HELD: (_held, _offline, _peer_closed, _never_connected),
    WatchState.OPEN: (_open,),
    WatchState.CLOSED: (_closed,),
}

INPUTS: dict[str, Callable[[Driver], object]] = {
    "opened": lambda d: d.policy.opened(d.now),
    "ice new": lambda d: d.policy.ice_state("new", d.now),
    "ice checking": lambda d: d.policy.ice_state("checking", d.now),
    "ice connected": lambda d: d.policy.ice_state("connected", d.now),
    "ice completed": lambda d: d.policy.ice_state("completed", d.now),
    "ice disconnected": lambda d: d.policy.ice_state("disconnected", d.now),
    "ice failed": lambda d: d.policy.ice_state("failed", d.now),
    "ice closed": lambda d: d.policy.ice_state("closed", d.now),
    "consent lost": lambda d: d.policy.consent_lost(d.now),
    "recovered": lambda d: d.policy.recovered(d.now),
    "rebound": lambda d: d.policy.rebound(d.now),
    "network major": lambda d: d.policy.network("major", d.now),
    "network minor": lambda d: d.policy.network("minor", d.now),
    "network down": lambda d: d.policy.network("down", d.now),
    "network up": lambda d: d.policy.network("up", d.now),
    "clock jump": lambda d: d.policy.clock_jump(10.0, d.now),
    "send error": lambda d: d.policy.send_error("ENETUNREACH", d.now),
    "signaling up": lambda d: d.policy.signaling(True, d.now),
    "signaling down": lambda d: d.policy.signaling(False, d.now),
    "peer online": lambda d: d.policy.peer_online(True, d.now),
    "peer offline": lambda d: d.policy.peer_online(False, d.now),
    "peer unknown": lambda d: d.policy.peer_online(None, d.now),
    "undeliverable": lambda d: d.policy.undeliverable(d.now, "offline"),
    "restart-please": lambda d: d.policy.restart_please_received(d.now),
    "offer": lambda d: d.policy.offer_received(d.now),
    "peer closed": lambda d: d.policy.peer_closed(d.now, "bye"),
    "operator restart": lambda d: d.policy.operator_restart(d.now),
    "operator force": lambda d: d.policy.operator_restart(d.now, force=True),
    "cancel": lambda d: d.policy.cancel(d.now),
    "dtls refused": lambda d: d.policy.protection_failed("dtls-alert", d.now, heals=False),
    "dtls timed out": lambda d: d.policy.protection_failed("dtls-timeout", d.now, heals=True),
    "dtls connected": lambda d: d.policy.protection_ok(d.now),
    "hold": lambda d: d.policy.hold(d.now, None),
    "release": lambda d: d.policy.release(d.now),
    "reset": lambda d: d.policy.reset(d.now),
    "close": lambda d: d.policy.close(d.now),
    "granted": lambda d: d.policy.granted(1, d.now),
    "round started": lambda d: d.policy.round_started(99, cause=Cause.PEER, ours=False, now=d.now),
    "round answered": lambda d: d.policy.round_answered(d.round, d.now),
    "round connected": lambda d: d.policy.round_connected(d.round, d.now),
    "round failed": lambda d: d.policy.round_ended(d.round, RoundOutcome.FAILED, "test", d.now),
    "round superseded": lambda d: d.policy.round_ended(
        d.round, RoundOutcome.SUPERSEDED, "glare", d.now
    ),
    "round abandoned": lambda d: d.policy.round_ended(
        d.round, RoundOutcome.ABANDONED, "test", d.now
    ),
    "timeout": lambda d: d.policy.handle_timeout(d.policy.next_deadline() or d.now + 1),
}


def reactions() -> dict[str, dict[WatchState, set[WatchState]]]:
    """What every input leads to from every state, over all scenarios and both sides."""
    table: dict[str, dict[WatchState, set[WatchState]]] = {}
    for name, feed in INPUTS.items():
        for state, builders in SCENARIOS.items():
            for build in builders:
                for offerer in (True, False):
                    driver = build(offerer)
                    assert driver.state is state, (build, offerer, driver.state)
                    feed(driver)
                    driver.drain()
                    table.setdefault(name, {}).setdefault(state, set()).add(driver.state)
    return table
