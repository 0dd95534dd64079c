"""Ports, the mux that shares them, the one scheduler, and local addresses."""

from refreeze.net.faults import FaultyPort, FaultyPortFactory
from refreeze.net.gathering import GatherSettings, HostGatherer
from refreeze.net.interfaces import AddressSettings, choose_hosts
from refreeze.net.mux import Mux, MuxCounters, MuxSettings, Owner
from refreeze.net.pool import Lease, PoolError, SocketPool, parse_port_range
from refreeze.net.port import (
    Batch,
    BatchReceiver,
    Datagram,
    Port,
    PortCounters,
    PortFactory,
)
from refreeze.net.ratelog import RateLimitedLog
from refreeze.net.scheduler import Handle, Scheduler, Timed, system_boottime
from refreeze.net.stock import MuxProtocol, StockPort
from refreeze.net.udp import UdpPortFactory, UdpSettings, UnixPort

__all__ = [
    "AddressSettings",
    "Batch",
    "BatchReceiver",
    "Datagram",
    "FaultyPort",
    "FaultyPortFactory",
    "GatherSettings",
    "Handle",
    "HostGatherer",
    "Lease",
    "Mux",
    "MuxCounters",
    "MuxProtocol",
    "MuxSettings",
    "Owner",
    "PoolError",
    "Port",
    "PortCounters",
    "PortFactory",
    "RateLimitedLog",
    "Scheduler",
    "SocketPool",
    "StockPort",
    "Timed",
    "UdpPortFactory",
    "UdpSettings",
    "UnixPort",
    "choose_hosts",
    "parse_port_range",
    "system_boottime",
]
