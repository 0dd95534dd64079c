"""The control port: a line protocol for people with nc and for programs."""

from refreeze.control.access import Access, Role
from refreeze.control.client import (
    Answer,
    ControlClient,
    ControlError,
    ControlEvent,
    ControlRefused,
    connect_control,
)
from refreeze.control.codes import CommandError
from refreeze.control.commands import Commands
from refreeze.control.events import EventLog
from refreeze.control.operations import Operations, Settable
from refreeze.control.server import ControlServer

__all__ = [
    "Access",
    "Answer",
    "CommandError",
    "Commands",
    "ControlClient",
    "ControlError",
    "ControlEvent",
    "ControlRefused",
    "ControlServer",
    "EventLog",
    "Operations",
    "Role",
    "Settable",
    "connect_control",
]
