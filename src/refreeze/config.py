"""The configuration file (TOML): parsed strictly into the floors' own settings classes.

Whatever is wrong is one line, ``FILE: KEY: what``: an unknown key, a wrong type, a value that a
settings class refuses, or a contradiction.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from attrs import NOTHING, field, fields, frozen

from refreeze.control.settings import ControlPlaces
from refreeze.ice import PROFILES, AgentSettings
from refreeze.names import is_name
from refreeze.net.gathering import GatherSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.net.servers import IceServer
from refreeze.sessions.forward import ForwardSettings, parse_place
from refreeze.sessions.settings import SessionSettings
from refreeze.signaling.certificates import CertificateError, CertificateFiles, check_server
from refreeze.signaling.certificates import load as load_certificates
from refreeze.signaling.http.settings import HttpSettings
from refreeze.signaling.settings import HubSettings
from refreeze.watchdog import PolicySettings, StormSettings

MAX_FILE = 1024 * 1024
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_LARGEST = 2**63 - 1
"""TOML's integers have 64 bits; Python's parser reads more, which no float can hold."""

_NAME_RULE = "1 to 64 letters, digits or . _ : @ + -, the first a letter or a digit"

_Settings = TypeVar("_Settings")


class ConfigError(Exception):
    """One line: FILE: KEY: what is wrong. A quoted key may hold anything; it is shown escaped."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


@frozen(kw_only=True)
class MetricsSettings:
    """``listen``: HOST:PORT of the HTTP endpoint; None: there is none."""

    listen: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.listen is not None and self.listen.startswith("unix:"):
            raise ValueError("listen: HOST:PORT is wanted")
        if self.listen is not None:
            parse_place(self.listen, "listen")


@frozen(kw_only=True)
class DaemonSettings:
    """Everything that makes one daemon."""

    name: str
    state_dir: str | None = None
    faults: bool = False
    ports: tuple[int, int] = (0, 0)
    hub: HubSettings = field(factory=HubSettings)
    http: HttpSettings = field(factory=HttpSettings)
    control: ControlPlaces = field(factory=ControlPlaces)
    metrics: MetricsSettings = field(factory=MetricsSettings)
    addresses: AddressSettings = field(factory=AddressSettings)
    gathering: GatherSettings = field(factory=GatherSettings)
    servers: dict[str, IceServer] = field(factory=dict)
    ice: AgentSettings = field(factory=AgentSettings)
    watchdog: PolicySettings = field(factory=PolicySettings)
    storm: StormSettings = field(factory=StormSettings)
    sessions: dict[str, SessionSettings] = field(factory=dict)

    @property
    def control_files(self) -> CertificateFiles | None:
        """What the control port on TLS shows: its own files, or else the hub's."""
        return None if self.control.tls is None else self.control.files or self.hub.files


def load(path: str) -> DaemonSettings:
    """The settings in the file at *path*; ConfigError for anything that is wrong with it."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_FILE:
        raise ConfigError(f"{path}: larger than {MAX_FILE} bytes")
    try:
        settings = parse(tomllib.loads(text.decode()))
        if settings.hub.files is not None:
            material = load_certificates(settings.hub.files)
            settings.hub.check_certificates(settings.name, material)
    except CertificateError as error:
        raise ConfigError(f"{path}: hub: {error}") from None
    except (ValueError, ConfigError) as error:  # so are those of TOML and of UTF-8
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    try:
        settings.http.access()
    except ValueError as error:
        raise ConfigError(f"{path}: http.{error}") from None
    try:
        files = settings.control_files
        if files is not None:
            check_server(files, load_certificates(files))
    except CertificateError as error:
        raise ConfigError(f"{path}: control: {error}") from None
    return settings


def parse(table: Mapping[str, Any]) -> DaemonSettings:
    """The settings in a parsed file; ConfigError without the file's name."""
    known = {"name", "state_dir", "faults", "network", "hub", "http", "control", "ice", "watchdog"}
    _refuse_unknown(table, known | {"storm", "sessions", "metrics", "servers", "gathering"}, "")
    name = typed(table.get("name"), str, "name")
    if not is_name(name):
        raise ConfigError(f"name: must be {_NAME_RULE}")
    network = dict(_table(table, "network"))
    ports = _ports(network.pop("ports", "0"))
    ice = dict(_table(table, "ice"))
    if "liveness" in ice:
        raise ConfigError("ice.liveness: is a key of a session, not of ice")
    sessions = {
        key: session_settings(value, f"sessions.{key}")
        for key, value in _table(table, "sessions").items()
    }
    servers = {
        key: build(IceServer, _table(_table(table, "servers"), key, "servers."), f"servers.{key}")
        for key in _table(table, "servers")
    }
    settings = DaemonSettings(
        name=name,
        state_dir=typed(table.get("state_dir"), str | None, "state_dir"),
        faults=typed(table.get("faults", False), bool, "faults"),
        ports=ports,
        hub=build(HubSettings, _table(table, "hub"), "hub"),
        http=build(HttpSettings, _table(table, "http"), "http"),
        control=build(ControlPlaces, _table(table, "control"), "control"),
        metrics=build(MetricsSettings, _table(table, "metrics"), "metrics"),
        addresses=build(AddressSettings, network, "network"),
        gathering=build(GatherSettings, _table(table, "gathering"), "gathering"),
        servers=servers,
        ice=build(AgentSettings, ice, "ice"),
        watchdog=build(PolicySettings, _table(table, "watchdog"), "watchdog"),
        storm=build(StormSettings, _table(table, "storm"), "storm"),
        sessions=sessions,
    )
    if settings.control.tls is not None and settings.control_files is None:
        raise ConfigError("control.certificate: control.tls needs a certificate, its key and a ca")
    for key, session in sessions.items():
        check_session(settings, key, session, f"sessions.{key}")
    _refuse_shared_listen(sessions)
    return settings


def check_session(
    settings: DaemonSettings, name: str, session: SessionSettings, where: str
) -> None:
    """Whether the daemon of *settings* can have this session; ConfigError with keys below *where*.

    The file and the control port's `open` have the same rules.
    """
    if not is_name(name):
        raise ConfigError(f"{where}: a session's name is {_NAME_RULE}")
    if not is_name(session.peer):
        raise ConfigError(f"{where}.peer: must be {_NAME_RULE}")
    if session.signaling == "hub" and settings.hub.connect is None:
        raise ConfigError(f'{where}.signaling: "hub" needs hub.connect')
    if session.signaling == "http" and settings.http.listen is None:
        raise ConfigError(f'{where}.signaling: "http" needs http.listen')
    if session.offerer not in (None, settings.name, session.peer):
        raise ConfigError(f"{where}.offerer: must be {settings.name!r} or {session.peer!r}")
    if session.peer == settings.name:
        raise ConfigError(f"{where}.peer: is this daemon itself")


def _refuse_shared_listen(sessions: Mapping[str, SessionSettings]) -> None:
    """Two forwards cannot have one socket; port 0 is a port of one's own."""
    owners: dict[tuple[str, int], str] = {}
    for key, session in sessions.items():
        place = parse_place(session.forward.listen, "listen")
        if place[1] == 0 and not place[0].startswith("/"):
            continue
        if place in owners:
            raise ConfigError(f"sessions.{key}.listen: sessions.{owners[place]} listens there")
        owners[place] = key


def session_settings(value: Any, where: str) -> SessionSettings:
    """One section of ``sessions``; ConfigError with keys below *where*."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must be a table")
    table = dict(value)
    names = {attribute.name for attribute in fields(ForwardSettings)}
    forward = {key: table.pop(key) for key in names & table.keys()}
    profile = typed(table.get("liveness", "default"), str, f"{where}.liveness")
    if profile not in PROFILES:
        raise ConfigError(f"{where}.liveness: one of {', '.join(PROFILES)}, not {profile!r}")
    table["forward"] = build(ForwardSettings, forward, where)
    return build(SessionSettings, table, where)


def build(cls: type[_Settings], table: Mapping[str, Any], where: str) -> _Settings:
    """An instance of the attrs class *cls* from *table*, every key checked."""
    attributes = {attribute.name: attribute for attribute in fields(cls)}  # type: ignore[arg-type]
    _refuse_unknown(table, attributes.keys(), f"{where}.")
    hints = get_type_hints(cls)
    values = {key: typed(value, hints[key], f"{where}.{key}") for key, value in table.items()}
    for key, attribute in attributes.items():
        if attribute.default is NOTHING and key not in values:
            raise ConfigError(f"{where}.{key}: is missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(_named(str(error), attributes, where)) from None


def _named(text: str, keys: Mapping[str, Any], where: str) -> str:
    """A settings class's refusal below *where*: most begin with the key, some name none."""
    first, _, rest = text.partition(" ")
    key = first.removesuffix(":")
    return f"{where}.{key}: {rest}" if key in keys else f"{where}: {text}"


def _refuse_unknown(table: Mapping[str, Any], known: Any, prefix: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{prefix}{key}: unknown key")


def _table(table: Mapping[str, Any], key: str, above: str = "") -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{above}{key}: must be a table")
    return value


def _ports(value: Any) -> tuple[int, int]:
    """``7000`` or ``"7000-7010"``; 0 lets the kernel choose."""
    match = None if isinstance(value, bool) else _PORTS.fullmatch(str(value))
    if match is None:
        raise ConfigError("network.ports: a port or FIRST-LAST is wanted")
    low, high = int(match[1]), int(match[2] or match[1])
    if not 0 <= low <= high <= 65535 or high - low > 1000:
        raise ConfigError("network.ports: at most 1000 ports from 0 to 65535, the lesser first")
    return low, high


def typed(value: Any, wanted: Any, where: str) -> Any:
    """*value* when it is of the type *wanted* of an annotation; ConfigError in words of TOML."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigError(f"{where}: does not fit in 64 bits")
    options = get_args(wanted) if get_origin(wanted) not in (tuple, dict, None) else (wanted,)
    for option in options:
        if option is NoneType and value is None:
            return None
        if get_origin(option) is tuple and isinstance(value, list):
            inner = get_args(option)[0]
            return tuple(typed(each, inner, where) for each in value)
        if get_origin(option) is dict and isinstance(value, dict):
            inner = get_args(option)[1]
            return {key: typed(each, inner, f"{where}.{key}") for key, each in value.items()}
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if option is int and isinstance(value, bool):
            continue
        if isinstance(option, type) and isinstance(value, option):
            return value
    names = " or ".join(_word(option) for option in options if option is not NoneType)
    raise ConfigError(f"{where}: must be {names}")


def _word(option: Any) -> str:
    if get_origin(option) is tuple:
        return "an array of " + {str: "strings", float: "numbers"}.get(
            get_args(option)[0], "values"
        )
    words = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    return words.get(option, "a table")
