"""OpenSSL's own clock made virtual, so that the timer of a DTLS handshake obeys the fake one.

OpenSSL keeps the timer that repeats a flight (RFC 6347 section 4.2.4) by ``gettimeofday``, and
nothing in its interface replaces that. The function is imported from libc, though, so the loaded
library has a slot with its address: I write the address of a function of mine there, once for the
process. It tells the time of the clock that is followed, or the true one when none is.

Certificates are judged by ``time``, which stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from mmap import PAGESIZE, PROT_READ, PROT_WRITE
from typing import Any, Final, Protocol
from weakref import ReferenceType, ref

from attrs import define, field, frozen

EPOCH: Final = 1_700_000_000
"""What OpenSSL takes the time 0 of a virtual clock for, in seconds since 1970."""

_SYMBOL: Final = b"gettimeofday"
_SLOTS: Final = {"x86_64": (6, 7), "aarch64": (1025, 1026)}
"""The relocations that fill a slot with a function's address: GLOB_DAT and JUMP_SLOT."""

_PT_DYNAMIC: Final = 2
_DT_NULL, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB = 0, 2, 5, 6
_DT_RELA, _DT_RELASZ, _DT_JMPREL = 7, 8, 23
_DYNAMIC: Final = struct.Struct("qQ")
_RELOCATION: Final = struct.Struct("QQq")
_SYMBOL_SIZE: Final = 24


class OpenSslTimeUnavailable(RuntimeError):
    """Here OpenSSL's clock cannot be replaced; the text says why."""


class Seconds(Protocol):
    """Any clock, as Twisted has them."""

    def seconds(self) -> float:
        """Its time now."""
        ...


def follow(clock: Seconds | None) -> None:
    """From now on OpenSSL's time is that of *clock*; None, or when it is gone: the true time.

    Of several the last one counts. OpenSslTimeUnavailable where it cannot be done.
    """
    _teller().follow(clock)


def release(clock: Seconds) -> None:
    """*clock* has run its course: the true time, unless another one is followed already."""
    if unavailable() is None and _teller().followed is clock:
        follow(None)


@contextmanager
def openssl_time(clock: Seconds) -> Iterator[None]:
    """Within, OpenSSL's time is that of *clock*; then what it was before."""
    before = _teller().followed
    follow(clock)
    try:
        yield
    finally:
        follow(before)


@cache
def unavailable() -> str | None:
    """Why OpenSSL's clock cannot be replaced here; None: it can."""
    try:
        _teller()
    except OpenSslTimeUnavailable as error:
        return str(error)
    return None


# The function


class _TimeVal(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("microseconds", ctypes.c_long)]


_GetTimeOfDay: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_TimeVal), ctypes.c_void_p)


@define(eq=False, repr=False)
class _Teller:
    """I am what OpenSSL asks. I live as long as the process, for it never stops asking."""

    _clock: ReferenceType[Seconds] | None = field(default=None, init=False)
    function: Any = field(init=False)
    """Mine for C to call."""

    def __attrs_post_init__(self) -> None:
        self.function = _GetTimeOfDay(self._tell)

    def follow(self, clock: Seconds | None) -> None:
        self._clock = None if clock is None else ref(clock)

    @property
    def followed(self) -> Seconds | None:
        return None if self._clock is None else self._clock()

    def _tell(self, into: Any, _zone: object) -> int:
        clock = self.followed
        if clock is None:
            now = time.time_ns() // 1000
        else:
            now = EPOCH * 1_000_000 + round(clock.seconds() * 1e6)
        into[0].seconds, into[0].microseconds = divmod(now, 1_000_000)
        return 0


@cache
def _teller() -> _Teller:
    """The one of this process, which OpenSSL asks from then on."""
    kinds = _SLOTS.get(platform.machine())
    if kinds is None or not hasattr(ctypes.CDLL(None), "dl_iterate_phdr"):
        raise OpenSslTimeUnavailable(f"not on {platform.system()} {platform.machine()}")
    slot = next((each.slot(_SYMBOL, kinds) for each in _openssl()), None)
    if slot is None:
        raise OpenSslTimeUnavailable("no loaded OpenSSL takes its time from gettimeofday")
    teller = _Teller()
    _write(slot, ctypes.cast(teller.function, ctypes.c_void_p).value or 0)
    return teller


def _write(slot: int, address: int) -> None:
    """Put *address* into *slot*, whose page the loader may have made read-only (RELRO).

    It stays writable: where it was so before, the loader and the library still write there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    page = ctypes.c_void_p(slot - slot % PAGESIZE)
    if libc.mprotect(page, ctypes.c_size_t(PAGESIZE), PROT_READ | PROT_WRITE):
        raise OpenSslTimeUnavailable(f"mprotect: {os.strerror(ctypes.get_errno())}")
    ctypes.c_void_p.from_address(slot).value = address


# The loaded libraries (elf(5), dl_iterate_phdr(3))


class _ProgramHeader(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("virtual", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("file_size", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("alignment", ctypes.c_uint64),
    ]


class _Info(ctypes.Structure):
    _fields_ = [
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_ProgramHeader)),
        ("count", ctypes.c_uint16),
    ]


@frozen
class _Library:
    """A shared object as it lies in memory."""

    name: str
    base: int
    dynamic: int
    """The address of its dynamic section."""

    def slot(self, symbol: bytes, kinds: tuple[int, ...]) -> int | None:
        """The address of the slot for an imported function; None: it imports no such."""
        entries = dict(self._entries())
        symbols, names = self._at(entries[_DT_SYMTAB]), self._at(entries[_DT_STRTAB])
        for table, size in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
            if table not in entries:
                continue
            relocations = ctypes.string_at(self._at(entries[table]), entries[size])
            for offset, info, _addend in _RELOCATION.iter_unpack(relocations):
                if info & 0xFFFFFFFF not in kinds:
                    continue
                name = ctypes.c_uint32.from_address(symbols + (info >> 32) * _SYMBOL_SIZE).value
                if ctypes.string_at(names + name) == symbol:
                    return self.base + int(offset)
        return None

    def _entries(self) -> Iterator[tuple[int, int]]:
        at = self.dynamic
        while True:
            tag, value = _DYNAMIC.unpack(ctypes.string_at(at, _DYNAMIC.size))
            if tag == _DT_NULL:
                return
            yield tag, value
            at += _DYNAMIC.size

    def _at(self, pointer: int) -> int:
        """glibc has made addresses of the offsets in the dynamic section, others leave them."""
        return pointer if pointer >= self.base else self.base + pointer


def _openssl() -> list[_Library]:
    """Where OpenSSL may be: within cryptography, as its wheels have it, or by itself."""
    from cryptography.hazmat.bindings import _rust  # noqa: PLC0415

    loaded = _loaded()
    within = [each for each in loaded if each.name == os.path.realpath(_rust.__file__)]
    return within + [each for each in loaded if "libcrypto" in os.path.basename(each.name)]


def _loaded() -> list[_Library]:
    """Every shared object of this process."""
    found: list[_Library] = []

    def note(info: Any, _size: int, _data: object) -> int:
        one = info[0]
        for number in range(one.count):
            header = one.headers[number]
            if header.kind == _PT_DYNAMIC and one.name:
                name = os.path.realpath(os.fsdecode(one.name))
                found.append(_Library(name, one.base, one.base + header.virtual))
        return 0

    _each(note)
    return found


def _each(note: Callable[[Any, int, object], int]) -> None:
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(note), None)
