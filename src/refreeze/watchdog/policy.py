"""When to restart one session: facts go in, actions come out, time is an argument."""

from __future__ import annotations

from refreeze.basics import Randomness

from .actions import Action, CheckNetwork, GatherMore, ResendOffer
from .backoff import NEVER, delay
from .counters import Counters, count
from .gates import PEER_OFFLINE
from .machine import Machine
from .path import Health
from .rounds import Round, Stage
from .settings import PolicySettings
from .snapshot import PolicySnapshot, snapshot
from .states import derive
from .words import Cause, Circuit, NetworkChange, Refusal, RoundOutcome, WatchState

_NETWORK_ERRORS = frozenset(
    {"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "EINVAL", "ENODEV", "EPERM"}
)
_PLEASE_RESEND = 1.0
"""A peer that asks while our offer is out gets the offer again, at most this often (seconds)."""


class Policy:
    """I decide when one session restarts. I know no clock, no socket and no signaling.

    After every call the owner takes :meth:`take_actions`, does them in order, and reads
    :meth:`next_deadline` again. Reports about rounds carry the id that the session gave in
    :meth:`round_started`; ids are unique within a session, and a report about another than the
    current round is counted and ignored (T12).

    Every method takes *now*, monotonic seconds that never go back from the *now* of the
    constructor on.
    """

    def __init__(
        self, *, settings: PolicySettings, random: Randomness, offerer: bool, now: float
    ) -> None:
        self._settings = settings
        self._random = random
        self._offerer = offerer
        self._machine = Machine(settings, random, offerer)
        self._last_operator = NEVER
        self._last_peer = NEVER
        self._last_rebind = NEVER
        self._last_major = NEVER
        self._last_error = NEVER
        self._last_resend = NEVER
        self._minor_at: float | None = None

    def change_settings(self, settings: PolicySettings) -> None:
        """Go by *settings* from now on; what is scheduled already stays when it is."""
        self._settings = settings
        self._machine.change_settings(settings)

    # What can be read

    @property
    def state(self) -> WatchState:
        return derive(self._machine)

    @property
    def counters(self) -> Counters:
        return self._machine.counters

    @property
    def offerer(self) -> bool:
        """True when this side is the session's configured offerer."""
        return self._offerer

    def snapshot(self) -> PolicySnapshot:
        """For `show`: the state, its reason, and what comes next."""
        return snapshot(self._machine, self.next_deadline())

    def take_actions(self) -> list[Action]:
        """What is to be done, in order; empties the list."""
        return self._machine.take_actions()

    # Time

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timeout`; None: only a fact from outside moves this."""
        deadline = self._machine.next_deadline()
        if self._minor_at is None or self._machine.closed:
            return deadline
        return self._minor_at if deadline is None else min(deadline, self._minor_at)

    def handle_timeout(self, now: float) -> None:
        machine = self._machine
        if machine.closed:
            return
        if self._minor_at is not None and now >= self._minor_at:
            self._minor_at = None
            machine.act(GatherMore())
        machine.handle_timeout(now)
        machine.settle(now)

    # The path

    def opened(self, now: float) -> None:
        """The session opened: the offerer begins, the other side asks, as soon as they can."""
        if not self._machine.closed:
            self._machine.opened = True
            self._machine.settle(now)

    def ice_state(self, state: str, now: float, reason: str | None = None) -> None:
        """The outward iceConnectionState changed (a W3C word)."""
        machine = self._machine
        if machine.closed:
            return
        if state in ("connected", "completed"):
            machine.usable(now)
        elif state == "disconnected":
            machine.path.suspect(now)
        elif state == "failed":
            machine.path_failed(now, Cause.CONSENT if reason == "consent" else Cause.FAILED)
        elif state == "closed":
            self.close(now)
        elif state == "checking":
            machine.path.checking()
        machine.settle(now)

    def consent_lost(self, now: float) -> None:
        """RFC 7675: nothing may be sent any more until a restart."""
        if self._machine.path.ever_connected:
            self._machine.path_failed(now, Cause.CONSENT)
            self._machine.settle(now)

    def recovered(self, now: float) -> None:
        """The failed path was heard again: a queued restart is cancelled, a pending one goes on."""
        machine = self._machine
        if machine.path.recovered(now):
            machine.cancel_recovery("recovered")
            machine.settle(now)

    def rebound(self, now: float) -> None:
        """A NAT rebinding was seen: restart at once, but not more often than the limit."""
        machine = self._machine
        if not self._live():
            return
        if machine.round is not None:
            count(machine.counters.suppressed, "round-pending")
            return
        due = max(now, self._last_rebind + self._settings.rebind_interval)
        if machine.want(Cause.REBIND, due):
            self._last_rebind = due
            machine.queued(now)
        machine.settle(now)

    # The world outside

    def network(self, change: str, now: float, *, spread: float = 0.0) -> None:
        """The local network changed (:class:`NetworkChange`); ValueError for another word.

        *spread*: seconds over which all sessions' restarts are spread (Storm.network_spread for
        a major change, Storm.return_spread when the network is up again).
        """
        what = NetworkChange(change)
        if self._machine.closed:
            return
        if what is NetworkChange.MINOR:
            if self._minor_at is None:
                self._minor_at = now + self._settings.network_debounce
            return
        if what is NetworkChange.MAJOR:
            self._major(Cause.NETWORK, now, spread)
            return
        self._gate(now, spread, network=what is NetworkChange.UP)

    def clock_jump(self, gap: float, now: float, *, spread: float = 0.0) -> None:
        """The machine slept for *gap* seconds (T37)."""
        if gap > self._settings.clock_jump:
            self._major(Cause.CLOCK, now, spread)

    def send_error(self, errno_name: str, now: float) -> None:
        """Sending failed locally. A hint of a changed network; on a suspect path, a second sign."""
        machine = self._machine
        if errno_name not in _NETWORK_ERRORS or not self._live():
            return
        if now < self._last_error + self._settings.send_error_interval:
            return
        self._last_error = now
        machine.act(CheckNetwork(errno_name))
        if machine.path.health is Health.SUSPECT:
            machine.path_failed(now, Cause.NETWORK)
            machine.settle(now)

    def signaling(self, up: bool, now: float, *, spread: float = 0.0) -> None:
        """The link that carries envelopes is up or down."""
        if not self._machine.closed:
            self._gate(now, spread, signaling=up)

    def peer_online(self, online: bool | None, now: float, *, spread: float = 0.0) -> None:
        """The peer's presence; None when the carrier knows none (assumed online)."""
        machine = self._machine
        if machine.closed:
            return
        gates = machine.gates
        appeared = online is True and (gates.peer is False or gates.nacked_until is not None)
        gates.peer = online
        if online is not False:
            gates.nacked_until = None
        if appeared:
            gates.nacks = 0
            gates.peer_closed = None
            self._refresh(now, "peer-online")
        if online is False:
            self._unanswerable(now)
        machine.settle(now, spread=spread)

    def undeliverable(self, now: float, reason: str) -> None:
        """An offer or restart-please of ours came back: the peer is not there."""
        machine = self._machine
        if not self._live():
            return
        asking = machine.attempt is not None and machine.attempt.stage is Stage.ASK
        current = machine.round
        offering = current is not None and current.ours and not current.answered
        if not asking and not offering:
            return
        gates = machine.gates
        gates.nacks += 1
        gates.nacked_until = now + delay(self._settings, self._random, gates.nacks + 1)
        machine.note("watchdog.undeliverable", reason=reason)
        self._unanswerable(now)
        machine.settle(now)

    # Envelopes

    def restart_please_received(self, now: float) -> bool:
        """The peer asks for a restart; True when one will be made (or our offer is repeated)."""
        machine = self._machine
        if not self._live() or machine.gates.hold_reason is not None:
            count(machine.counters.suppressed, "held" if self._live() else "not-open")
            return False
        machine.gates.heard_from_peer()
        current = machine.round
        if current is not None and current.ours and not current.answered:
            if current.ending is None and now >= self._last_resend + _PLEASE_RESEND:
                self._last_resend = now
                machine.act(ResendOffer(current.id))
            machine.settle(now)
            return True
        due = max(now, self._last_peer + self._settings.peer_interval)
        if machine.want(Cause.PEER, due, direct=True, supersedes=True):
            machine.queued(now)
        machine.settle(now)
        return True

    def offer_received(self, now: float) -> None:
        """An offer of the peer was accepted: it cancels our queued attempt."""
        machine = self._machine
        if machine.closed:
            return
        machine.counters.offers_received += 1
        machine.gates.heard_from_peer()
        if machine.breaker.circuit is Circuit.OPEN:
            machine.breaker.peer_offered()
            machine.note("watchdog.breaker", state=Circuit.CLOSED.value, why="peer-offer")
        machine.drop_attempt("peer-offer")
        machine.expect_peer_round(now)
        machine.settle(now)

    def offer_dropped(self, why: str) -> None:
        """An offer of the peer was not accepted: `stale` or `glare` (the offerer's wins)."""
        if why == "glare":
            self.counters.offers_glare += 1
        else:
            self.counters.offers_stale += 1

    def peer_closed(self, now: float, reason: str) -> None:
        """The peer said bye, or its DTLS closed: no restart until it is heard of again."""
        machine = self._machine
        if machine.closed:
            return
        machine.gates.peer_closed = f"peer-closed:{reason}" if reason else "peer-closed"
        machine.note("watchdog.held", reason=machine.gates.peer_closed)
        self._unanswerable(now)
        machine.settle(now)

    def protection_failed(self, reason: str, now: float, *, heals: bool) -> None:
        """What DTLS refused holds the session, what timed out is tried again. The peer's offer or
        restart-please ends the hold: it may be another than it was.
        """
        machine = self._machine
        if machine.closed:
            return
        if heals:
            machine.path_failed(now, Cause.DTLS)
        else:
            machine.gates.protection = reason
            machine.note("watchdog.held", reason=reason)
        machine.settle(now)

    def protection_ok(self, now: float) -> None:
        """The path is protected."""
        self._machine.gates.protection = None
        self._machine.settle(now)

    # Operators

    def operator_restart(self, now: float, *, force: bool = False) -> Refusal | None:
        """Restart now, past back-off and breaker; None when it is queued.

        *force* also passes a hold and an absent peer. Neither passes a pending round or the rate.
        """
        machine = self._machine
        refusal = self._refuse(now, force)
        if refusal is not None:
            count(machine.counters.suppressed, refusal.code)
            return refusal
        self._last_operator = now
        machine.fresh_budget("operator")
        machine.want(Cause.OPERATOR, now, direct=True, forced=force)
        machine.queued(now)
        machine.settle(now)
        return None

    def _refuse(self, now: float, force: bool) -> Refusal | None:
        machine = self._machine
        if not self._live():
            return Refusal("wrong-state", reason="closed" if machine.closed else "not-open")
        if machine.gates.down is not None:
            return Refusal(machine.gates.down)
        if machine.round is not None:
            return Refusal("round-pending")
        after = self._last_operator + self._settings.operator_interval - now
        if after > 0:
            return Refusal("rate-limited", after=after)
        if machine.gates.held is not None and not force:
            return Refusal("held", reason=machine.gates.held)
        return None

    def cancel(self, now: float) -> bool:
        """Cancel the queued restart and abandon the pending round; False: there was nothing.

        A path that is broken gets its next attempt after the longest back-off.
        """
        machine = self._machine
        if machine.attempt is None and machine.round is None:
            return False
        if machine.path.broken:
            machine.postpone(now)
        machine.drop_attempt("cancelled")
        machine.abandon(now, RoundOutcome.ABANDONED, "cancelled")
        machine.settle(now)
        return True

    def hold(self, now: float, seconds: float | None, reason: str = "operator") -> None:
        """No automatic restart for *seconds*, or until :meth:`release`; a pending one goes on."""
        machine = self._machine
        if machine.closed:
            return
        machine.gates.hold_reason = reason
        machine.gates.hold_until = None if seconds is None else now + seconds
        machine.note("watchdog.held", reason=reason, seconds=seconds)
        machine.settle(now)

    def release(self, now: float) -> None:
        """End a hold, an operator's or that of a refused DTLS, which gets another association."""
        machine, gates = self._machine, self._machine.gates
        if gates.hold_reason is None and gates.protection is None:
            return
        if gates.protection is not None:
            machine.path_failed(now, Cause.DTLS)
        gates.hold_reason = gates.hold_until = gates.protection = None
        machine.note("watchdog.released")
        machine.settle(now)

    def reset(self, now: float) -> None:
        """Close the circuit and forget all failures; a broken path restarts soon."""
        machine = self._machine
        machine.fresh_budget("reset")
        if machine.round is None and machine.attempt is not None:
            machine.cancel_recovery("reset")
        machine.settle(now)

    def close(self, now: float) -> None:
        """The session is over; the pending round, if any, is accounted for as abandoned."""
        machine = self._machine
        if machine.closed:
            return
        machine.drop_attempt("closed")
        machine.finish(RoundOutcome.ABANDONED, "closed", now)
        machine.closed = True

    # Rounds

    def granted(self, ticket: int, now: float) -> bool:
        """The storm budget grants a queued restart; False: no longer wanted, withdraw it there."""
        return self._machine.granted(ticket, now)

    def round_started(self, round_id: int, *, cause: Cause, ours: bool, now: float) -> None:
        """A restart offer of ours went out, or one of the peer's was applied and answered."""
        machine = self._machine
        if machine.closed or (machine.round is not None and machine.round.id == round_id):
            machine.counters.late += 1
            return
        failing = machine.path.ever_connected or machine.breaker.run > 0
        planned = cause in (Cause.INITIAL, Cause.OPERATOR)
        recovering = machine.path.broken and failing and not planned
        if ours:
            machine.counters.offers_sent += 1
            if cause is Cause.PEER:
                self._last_peer = now
        machine.round_started(Round(round_id, cause, ours, recovering, now))
        machine.settle(now)

    def round_answered(self, round_id: int, now: float) -> None:
        """The answer to our offer was applied; checks run."""
        machine = self._machine
        if self._current(round_id) and machine.round is not None:
            machine.round.answered = True
            machine.gates.nacks = 0
            machine.gates.nacked_until = None
            machine.settle(now)

    def round_connected(self, round_id: int, now: float) -> None:
        """The new generation's pair was nominated and carries the traffic."""
        if self._current(round_id):
            self._machine.finish(RoundOutcome.SUCCEEDED, "connected", now)
            self._machine.settle(now)

    def round_ended(self, round_id: int, outcome: RoundOutcome, reason: str, now: float) -> None:
        """The round is over. A repeated SUCCEEDED after :meth:`round_connected` is fine."""
        machine = self._machine
        repeated = machine.round is None and machine.last_round == round_id
        if repeated and outcome is machine.last_outcome:
            return
        if self._current(round_id):
            machine.finish(outcome, reason, now)
            machine.settle(now)

    # Inside

    def _live(self) -> bool:
        return self._machine.opened and not self._machine.closed

    def _current(self, round_id: int) -> bool:
        machine = self._machine
        if machine.round is not None and machine.round.id == round_id:
            return True
        machine.counters.late += 1
        return False

    def _refresh(self, now: float, why: str) -> bool:
        if self._machine.breaker.pristine:
            return True
        return self._machine.refresh(now, why)

    def _gate(
        self,
        now: float,
        spread: float,
        *,
        network: bool | None = None,
        signaling: bool | None = None,
    ) -> None:
        """The network or the signaling came or went; on return the budget is fresh, and spread."""
        machine = self._machine
        was_down = machine.gates.down
        if network is not None:
            machine.gates.network = network
        if signaling is not None:
            machine.gates.signaling = signaling
            machine.gates.nacked_until = None
        if was_down and machine.gates.down is None:
            self._refresh(now, f"{was_down.removesuffix('-down')}-up")
        machine.settle(now, spread=spread)

    def _major(self, cause: Cause, now: float, spread: float) -> None:
        """Restart soon on the new network; repeats are debounced, and stop resetting the budget."""
        machine = self._machine
        if not self._live():
            return
        settings = self._settings
        repeated = now < self._last_major + settings.network_debounce
        fresh = repeated or machine.refresh(now, cause.value)
        if not fresh and machine.breaker.circuit is Circuit.OPEN:
            count(machine.counters.suppressed, "network-flapping")
            return
        if repeated:
            planned = self._last_major > now
            due = self._last_major + (0.0 if planned else settings.network_debounce)
        elif fresh:
            due = now + self._random.uniform(0.0, spread or settings.network_first)
        else:
            due = now + delay(settings, self._random, machine.breaker.run + 1)
        if machine.want(cause, due, supersedes=True):
            self._last_major = due if repeated else now
            machine.queued(now)
        machine.settle(now)

    def _unanswerable(self, now: float) -> None:
        """The peer is gone: an offer that it did not answer yet is given up."""
        current = self._machine.round
        if current is not None and current.ours and not current.answered:
            self._machine.abandon(now, RoundOutcome.FAILED, PEER_OFFLINE)
