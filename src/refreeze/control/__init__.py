"""The control port: a line protocol for people with nc and for programs."""

from refreeze.control.commands import Commands, Role
from refreeze.control.events import EventLog
from refreeze.control.operations import Operations
from refreeze.control.server import Access, ControlServer

__all__ = ["Access", "Commands", "ControlServer", "EventLog", "Operations", "Role"]
