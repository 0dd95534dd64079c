"""The control port: a line protocol for people with nc and for programs."""

from refreeze.control.access import Access, Role
from refreeze.control.codes import CommandError
from refreeze.control.commands import Commands
from refreeze.control.events import EventLog
from refreeze.control.operations import Operations, Settable
from refreeze.control.server import ControlServer

__all__ = [
    "Access",
    "CommandError",
    "Commands",
    "ControlServer",
    "EventLog",
    "Operations",
    "Role",
    "Settable",
]
