"""The state x input table of one session's watchdog.

A row is an input, a column a state, a cell the states that may follow: more than one where the
side (offerer or not) or the facts decide. After every input the reactions have already happened:
a restart that needs no delay is under way at once when the storm budget grants it at once.

Late and early messages are rows like all others: a grant nobody waits for (`granted`), reports on
another than the current round (`round ...` outside of R), an offer while the circuit is open, a
restart-please during our own round: none of them has a way to a second round or to a dead end.
The tests walk through every pair.
"""

from __future__ import annotations

from .words import WatchState

LETTERS: dict[str, WatchState] = {
    "I": WatchState.IDLE,
    "W": WatchState.WATCHING,
    "S": WatchState.SUSPECT,
    "Q": WatchState.QUEUED,
    "A": WatchState.ASKING,
    "R": WatchState.ROUND,
    "P": WatchState.WAITING,
    "H": WatchState.HELD,
    "O": WatchState.OPEN,
    "C": WatchState.CLOSED,
}
"""Also the order of the columns. P: paused."""

# fmt: off
REACTIONS: dict[str, str] = {
    #                    I    W    S    Q    A    R    P    H    O    C
    "opened":           "P    W    S    Q    A    R    P    H    O    C",
    "ice new":          "I    W    S    Q    A    R    P    H    O    C",
    "ice checking":     "I    W    S    Q    A    R    P    H    O    C",
    "ice connected":    "I    W    W    WQ   W    R    P    WH   W    C",
    "ice completed":    "I    W    W    WQ   W    R    P    WH   W    C",
    "ice disconnected": "I    WS   S    Q    A    R    P    H    O    C",
    "ice failed":       "I    Q    Q    Q    A    R    P    H    O    C",
    "ice closed":       "C    C    C    C    C    C    C    C    C    C",
    "consent lost":     "I    Q    Q    Q    A    R    P    H    O    C",
    "recovered":        "I    W    S    WQ   W    R    P    WH   W    C",
    "rebound":          "I    AR   AR   QAR  A    R    P    ARH  AR   C",
    "network major":    "I    Q    Q    Q    A    R    P    QH   Q    C",
    "network minor":    "I    W    S    Q    A    R    P    H    O    C",
    "network down":     "I    P    P    P    P    P    P    P    P    C",
    "network up":       "I    W    S    Q    A    R    WP   H    O    C",
    "clock jump":       "I    Q    Q    Q    A    R    P    QH   Q    C",
    "send error":       "I    W    Q    Q    A    R    P    H    O    C",
    "signaling up":     "I    W    S    Q    A    R    QP   H    O    C",
    "signaling down":   "I    P    P    P    P    RP   P    P    P    C",
    "peer online":      "I    W    S    Q    A    R    P    QH   O    C",
    "peer offline":     "I    W    S    H    H    RH   P    H    H    C",
    "peer unknown":     "I    W    S    Q    A    R    P    QH   O    C",
    "undeliverable":    "I    W    S    Q    H    RH   P    H    O    C",
    "restart-please":   "I    R    R    QR   R    R    P    RH   R    C",
    "offer":            "I    W    S    WQ   Q    R    P    WQH  Q    C",
    "peer closed":      "I    H    H    H    H    RH   P    H    H    C",
    "dtls refused":     "I    H    H    H    H    R    P    H    H    C",
    "dtls timed out":   "I    Q    Q    Q    A    R    P    H    O    C",
    "dtls connected":   "I    W    S    Q    A    R    P    H    O    C",
    "operator restart": "I    R    R    QR   R    R    P    RH   R    C",
    "operator force":   "I    R    R    QR   R    R    P    R    R    C",
    "cancel":           "I    W    S    WQ   Q    Q    P    H    O    C",
    "hold":             "I    H    H    H    H    R    P    H    H    C",
    "release":          "I    W    S    Q    A    R    P    QH   O    C",
    "reset":            "I    W    S    Q    Q    R    P    ARH  Q    C",
    "close":            "C    C    C    C    C    C    C    C    C    C",
    "granted":          "I    W    S    QR   A    R    P    H    O    C",
    "round started":    "I    R    R    R    R    R    RP   R    R    C",
    "round answered":   "I    W    S    Q    A    R    P    H    O    C",
    "round connected":  "I    W    S    Q    A    W    P    H    O    C",
    "round failed":     "I    W    S    Q    A    Q    P    H    O    C",
    "round superseded": "I    W    S    Q    A    Q    P    H    O    C",
    "round abandoned":  "I    W    S    Q    A    Q    P    H    O    C",
    "timeout":          "I    WQ   S    QAR  A    QR   P    ARH  AR   C",
}
# fmt: on


def may_follow(name: str, state: WatchState) -> frozenset[WatchState]:
    """The states that the input *name* may lead to from *state*."""
    column = list(LETTERS.values()).index(state)
    return frozenset(LETTERS[letter] for letter in REACTIONS[name].split()[column])
