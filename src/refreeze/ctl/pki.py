"""`refreezectl pki`: a directory with a CA, and the certificates and keys of daemons.

It needs no daemon. The files: ca.crt and ca.key, NAME.crt and NAME.key for every daemon; keys
have mode 0600. Made as root, those of daemons belong to the user that the daemon runs as, and
the CA's key to root.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pwd
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from refreeze.ctl import output
from refreeze.ctl.authority import CA_DAYS, DAYS, Issued, issue, make_authority, read_issued
from refreeze.ctl.client import DONE, REFUSED
from refreeze.ctl.options import UsageError
from refreeze.names import ROLES, control_of_uri, is_name, name_of_uri

DIRECTORY: Final = "/etc/refreeze/pki"
USER: Final = "refreeze"
"""Whom etc/systemd/refreeze.service runs the daemon as."""
USAGE: Final = (
    "pki init [DIR] [--days N]   pki issue NAME [--host HOST ... | --role ROLE] [--days N]"
    " [--dir DIR] [--force]   pki show [DIR | FILE]"
)
MAX_FILE: Final = 1024 * 1024
MAX_DAYS: Final = 36500

_HOST: Final = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


class PkiError(Exception):
    """One line; nothing was written."""


@define
class Request:
    """What the command line asks for."""

    action: str
    subjects: list[str] = field(factory=list)
    hosts: list[str] = field(factory=list)
    role: str | None = None
    days: int | None = None
    directory: str | None = None
    force: bool = False


def run(words: Sequence[str], *, as_json: bool, quiet: bool) -> int:
    """Do what the words after `pki` say; the exit code. UsageError."""
    request = read(words)
    try:
        records = _ACTIONS[request.action](request, datetime.now(UTC))
    except PkiError as error:
        print(f"refreezectl: {output.show_value(str(error))}", file=sys.stderr)
        return REFUSED
    if as_json:
        print("\n".join(map(json.dumps, records)))
    elif not quiet:
        print(output.parts([{"part": record.pop("file"), **record} for record in records]))
    return DONE


def read(words: Sequence[str]) -> Request:
    """The words, as :func:`.options.parse` leaves them; UsageError."""
    if not words or words[0] not in _ACTIONS:
        raise UsageError(USAGE)
    request = Request(words[0])
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if word == "force":
            request.force = True
        elif not equals:
            request.subjects.append(word)
        elif key == "dir":
            request.directory = value
        elif key == "days" and request.action != "show":
            request.days = _days(value)
        elif key == "host" and request.action == "issue":
            request.hosts.append(_host(value))
        elif key == "role" and request.action == "issue":
            request.role = _role(value)
        else:
            raise UsageError(f"--{key}: {USAGE}")
    if len(request.subjects) > 1 or (request.action == "issue" and not request.subjects):
        raise UsageError(USAGE)
    if request.role is not None and request.hosts:
        raise UsageError(f"--role is for who drives daemons, --host for daemons: {USAGE}")
    if request.force and request.action == "show":
        raise UsageError(f"--force: {USAGE}")
    return request


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= MAX_DAYS:
        raise UsageError(f"--days wants 1 to {MAX_DAYS}, not {text!r}")
    return int(text)


def _role(text: str) -> str:
    if text not in ROLES:
        raise UsageError(f"--role wants one of {', '.join(ROLES)}, not {text!r}")
    return text


def _host(text: str) -> str:
    """A host's name in ASCII, or an address without brackets, as a certificate has them."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    with suppress(ValueError):
        return str(ipaddress.ip_address(bare))
    if not _HOST.fullmatch(text):
        raise UsageError(f"--host wants a host's name or an address, not {text!r}")
    return text.removesuffix(".").lower()


# The actions


def _init(request: Request, now: datetime) -> list[dict[str, object]]:
    directory = _directory(request)
    _make_directory(directory)
    made = make_authority(now, request.days or CA_DAYS)
    _write(directory, "ca", made, force=request.force)
    return [_record(directory / "ca.crt", now)]


def _issue(request: Request, now: datetime) -> list[dict[str, object]]:
    name = request.subjects[0]
    if not is_name(name) or name == "ca":
        raise PkiError(f"{name!r} cannot be a daemon's name here")
    directory = Path(request.directory or DIRECTORY)
    authority = _authority(directory)
    if authority.certificate.not_valid_after_utc <= now:
        raise PkiError(f"{directory / 'ca.crt'}: has expired; make another with pki init --force")
    made = issue(authority, name, request.hosts, now, request.days or DAYS, request.role)
    _write(directory, name, made, force=request.force)
    return [_record(directory / f"{name}.crt", now)]


def _show(request: Request, now: datetime) -> list[dict[str, object]]:
    where = _directory(request)
    if not where.is_dir():
        return [_record(where, now)]
    found = sorted(where.glob("*.crt"))
    if not found:
        raise PkiError(f"{where}: no certificates there (refreezectl pki init makes a CA)")
    return [_record(path, now) for path in found]


_ACTIONS: Final[dict[str, Callable[[Request, datetime], list[dict[str, object]]]]] = {
    "init": _init,
    "issue": _issue,
    "show": _show,
}


def _directory(request: Request) -> Path:
    named = request.subjects[0] if request.subjects else None
    return Path(named or request.directory or DIRECTORY)


# What people read


def _record(path: Path, now: datetime) -> dict[str, object]:
    """One certificate in words; PkiError when there is none in the file."""
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
        names = _alternative_names(certificate)
    except ValueError:
        raise PkiError(f"{path}: holds no certificate that can be read") from None
    key = path.with_suffix(".key")
    record: dict[str, object] = {"file": str(path)}
    daemons = [name for name in map(name_of_uri, names) if name is not None]
    if daemons:
        record["daemon"] = daemons
    roles = [held for held in map(control_of_uri, names) if held is not None]
    if roles:
        record["control"] = [f"{role} {name}" for role, name in roles]
    known = {name for name in names if name_of_uri(name) or control_of_uri(name)}
    hosts = [name for name in names if name not in known]
    if hosts:
        record["hosts"] = hosts
    record["expires"] = expiry(certificate.not_valid_after_utc, now)
    record["sha256"] = certificate.fingerprint(SHA256()).hex()
    record["key"] = str(key) if key.exists() else "not here"
    return record


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None
    return [str(each.value) for each in found.value]


def expiry(when: datetime, now: datetime) -> str:
    """``in 364 days (2027-11-25)``, ``3 days ago (...)``."""
    days = round(abs(when - now).total_seconds() / 86400)
    count = "less than a day" if not days else "1 day" if days == 1 else f"{days} days"
    return f"{f'in {count}' if when > now else f'{count} ago'} ({when.date()})"


# Files


def _authority(directory: Path) -> Issued:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    try:
        return read_issued(_read(certificate), _read(key))
    except ValueError as error:
        raise PkiError(f"{certificate} and {key} are no CA: {error}") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_FILE:
        raise PkiError(f"{path}: larger than {MAX_FILE} bytes")
    return content


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise PkiError(f"{directory}: {error.strerror or error}") from None


def _write(directory: Path, name: str, made: Issued, *, force: bool) -> None:
    """The key, then its certificate. Nothing is overwritten unless *force* says so.

    A daemon that looks between the two keeps what it has, as they do not fit each other.
    """
    contents = {
        directory / f"{name}.key": (made.key_pem, 0o600),
        directory / f"{name}.crt": (made.certificate_pem, 0o644),
    }
    for path in contents:
        if os.path.lexists(path) and not force:
            raise PkiError(f"{path}: is there already; --force replaces it")
    for path, (content, mode) in contents.items():
        try:
            _write_file(path, content, mode, force=force)
        except FileExistsError:
            raise PkiError(f"{path}: is there already; --force replaces it") from None
        except OSError as error:
            raise PkiError(f"{path}: {error.strerror or error}") from None


def _write_file(path: Path, content: bytes, mode: int, *, force: bool) -> None:
    """Complete before it has its name, and never through somebody's link."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0 and path.stem != "ca":
                with suppress(KeyError):  # then the daemon runs as somebody else
                    owner = pwd.getpwnam(USER)
                    os.fchown(descriptor, owner.pw_uid, owner.pw_gid)
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if force:
            os.rename(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
