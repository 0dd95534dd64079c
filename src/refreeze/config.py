"""The settings of one daemon, as a file has them. Each floor owns its class; here they meet."""

from __future__ import annotations

from attrs import field, frozen

from refreeze.ice import AgentSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.watchdog import PolicySettings, StormSettings


class ConfigError(Exception):
    """One line: FILE: KEY: what is wrong."""


@frozen(kw_only=True)
class DaemonSettings:
    """Everything that makes one daemon."""

    name: str
    state_dir: str | None = None
    runtime_dir: str | None = None
    hub: str | None = None
    """Where the hub is that this daemon joins: unix:/PATH or tcp:127.0.0.1:PORT."""
    serve_hub: str | None = None
    """Where this daemon serves a hub itself."""
    hub_cookie: str | None = None
    control: str | None = None
    """The path of the control socket."""
    control_tcp: str | None = None
    control_cookie: str | None = None
    faults: bool = False
    ports: tuple[int, int] = (0, 0)
    addresses: AddressSettings = field(factory=AddressSettings)
    ice: AgentSettings = field(factory=AgentSettings)
    watchdog: PolicySettings = field(factory=PolicySettings)
    storm: StormSettings = field(factory=StormSettings)
    sessions: dict[str, SessionSettings] = field(factory=dict)
