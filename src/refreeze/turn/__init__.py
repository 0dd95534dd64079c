"""TURN (RFC 8656): what a client says to a server to be relayed. Sans-IO."""

from refreeze.turn.credentials import TurnCredentials, time_limited

__all__ = ["TurnCredentials", "time_limited"]
