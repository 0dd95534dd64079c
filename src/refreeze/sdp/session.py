"""Session descriptions (RFC 8866): the ICE and DTLS attributes typed, all else byte for byte.

Everything is checked while parsing, so that what was parsed can be read without care; lines are
kept as they came and :meth:`SessionDescription.format` gives them back in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from sys import intern
from typing import Final

from attrs import define, field

from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials
from refreeze.sdp import grammar
from refreeze.sdp.candidates import parse_candidate
from refreeze.sdp.errors import SdpError, UnsupportedCandidate

MAX_BYTES: Final = 64 * 1024
MAX_LINES: Final = 1000
MAX_CANDIDATES: Final = 200
MAX_SECTIONS: Final = 32
ENDING: Final = "\r\n"

OWNED: Final = frozenset(
    {
        "ice-ufrag",
        "ice-pwd",
        "ice-options",
        "ice-mismatch",
        "candidate",
        "remote-candidates",
        "end-of-candidates",
        "fingerprint",
        "setup",
        "tls-id",
    }
)
"""Attributes of a section that are ours to write; the others pass through (DESIGN rule 7)."""

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

_LINE: Final = re.compile(r"[a-z]=[^\0\r\n]*")
_MEDIA: Final = re.compile(r"m=(\S+) ([0-9]{1,5})(?:/[0-9]{1,5})? (\S+) (\S.*)")


def attribute_name(line: str) -> str:
    """The name in an ``a=`` line, else empty."""
    return line[2:].partition(":")[0] if line.startswith("a=") else ""


@define(eq=False)
class Level:
    """The lines of one level, in order, without their ends; ``number`` is that of the first."""

    number: int
    lines: list[str] = field(factory=list, repr=False)
    _places: dict[str, tuple[int, ...]] = field(factory=dict, init=False, repr=False)
    """Offsets by name, of the first *_indexed* lines of *_of*."""
    _indexed: int = field(default=0, init=False, repr=False)
    _of: list[str] | None = field(default=None, init=False, repr=False)

    def attributes(self, name: str) -> list[tuple[int, str]]:
        """(line number, value) of every ``a=name`` or ``a=name:value``."""
        places, lines = self._index().get(name, ()), self.lines
        return [(self.number + at, lines[at].partition(":")[2]) for at in places]

    def first(self, name: str) -> str | None:
        """The value of the first such attribute."""
        places = self._index().get(name)
        return self.lines[places[0]].partition(":")[2] if places else None

    def _index(self) -> dict[str, tuple[int, ...]]:
        lines = self.lines
        if self._of is not lines:  # somebody wrote others
            self._of, self._places, self._indexed = lines, {}, 0
        places = self._places
        for at in range(self._indexed, len(lines)):
            if name := attribute_name(lines[at]):
                name = intern(name)
                places[name] = (*places.get(name, ()), at)
        self._indexed = len(lines)
        return places

    def check(self) -> None:
        """SdpError for a malformed value of what :data:`grammar.CHECKS` knows, or for two."""
        for offset, line in enumerate(self.lines):
            check = grammar.CHECKS.get(attribute_name(line))
            if check is None:
                continue
            try:
                check(line.partition(":")[2])
            except SdpError as error:
                raise error.at(self.number + offset) from None
        for name in grammar.ONCE:
            values = self.attributes(name)
            for number, value in values[1:]:
                if value != values[0][1]:
                    raise SdpError(f"one a={name} at a level", number)


@define(eq=False)
class MediaSection(Level):
    """One m= section and what refreeze reads of it."""

    session: Level = field(kw_only=True, repr=False)
    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: str = ""
    credentials: Credentials | None = None
    """ufrag and pwd, of the media level or else of the session's (rule 75)."""
    candidates: tuple[Candidate, ...] = field(default=(), repr=False)
    """The first 200, without those that are not for us."""

    @property
    def mid(self) -> str | None:
        """``a=mid``."""
        return self.first("mid")

    @property
    def rejected(self) -> bool:
        """Port 0 without a BUNDLE that keeps it (RFC 8866, RFC 9143 section 6)."""
        return self.port == 0 and self.first("bundle-only") is None

    @property
    def own_credentials(self) -> bool:
        """Whether the section itself names them."""
        return self.first("ice-ufrag") is not None or self.first("ice-pwd") is not None

    @property
    def attributes_kept(self) -> list[str]:
        """The lines that are not ours to write, byte for byte."""
        return [line for line in self.lines if attribute_name(line) not in OWNED]

    def inherited(self, name: str) -> str | None:
        """Media level wins over session level."""
        value = self.first(name)
        return value if value is not None else self.session.first(name)

    @property
    def end_of_candidates(self) -> bool:
        """``a=end-of-candidates`` at either level."""
        return self.inherited("end-of-candidates") is not None

    @property
    def ice_options(self) -> frozenset[str]:
        """The options in force here: browsers write them into the section."""
        value = self.inherited("ice-options")
        return frozenset() if value is None else frozenset(grammar.ice_options(value))

    @property
    def fingerprints(self) -> frozenset[str]:
        """``a=fingerprint``, folded so that equal ones compare equal."""
        own = [value for _, value in self.attributes("fingerprint")]
        values = own or [value for _, value in self.session.attributes("fingerprint")]
        return frozenset(map(grammar.fingerprint, values))

    @property
    def setup(self) -> str | None:
        """``a=setup``."""
        return self.inherited("setup")

    @property
    def tls_id(self) -> str | None:
        """``a=tls-id``."""
        return self.inherited("tls-id")

    @property
    def direction(self) -> str:
        """``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive`` (RFC 8866 section 6.7)."""
        for level in (self, self.session):
            for name in DIRECTIONS:
                if level.first(name) is not None:
                    return name
        return DIRECTIONS[0]

    @property
    def payload(self) -> str | None:
        """``a=refreeze``, an attribute of our own: datagrams as they are, ``none`` or ``dtls``."""
        return self.first("refreeze")

    def read(self) -> None:
        """Fill credentials and candidates in; SdpError with the line of what is wrong."""
        self.credentials = self._read_credentials()
        self.candidates = tuple(self._read_candidates())

    def _read_credentials(self) -> Credentials | None:
        ufrag, pwd = self.inherited("ice-ufrag"), self.inherited("ice-pwd")
        if ufrag is not None and pwd is not None:
            return Credentials(ufrag, pwd)
        if ufrag is None and pwd is None:
            return None
        present, missing = ("ice-pwd", "ice-ufrag") if ufrag is None else ("ice-ufrag", "ice-pwd")
        places = [*self.attributes(present), *self.session.attributes(present)]
        raise SdpError(f"a={missing} beside a={present}", places[0][0])

    def _read_candidates(self) -> Iterator[Candidate]:
        for number, value in islice(self.attributes("candidate"), MAX_CANDIDATES):
            try:
                yield parse_candidate(f"candidate:{value}")
            except UnsupportedCandidate:
                continue
            except SdpError as error:
                raise error.at(number) from None


@define(eq=False)
class SessionDescription:
    """A parsed description; :meth:`format` gives the same lines back, each ended by CRLF."""

    session: Level
    media: list[MediaSection] = field(factory=list)

    @classmethod
    def parse(cls, text: str) -> SessionDescription:
        """SdpError with line and expectation for whatever cannot be a description."""
        lines = _split(text)
        description = cls(Level(1))
        current = description.session
        for number, line in enumerate(lines, 1):
            if _LINE.fullmatch(line) is None:
                raise SdpError("TYPE=VALUE", number, syntax=True)
            if line.startswith("m="):
                current = _media(line, number, description.session)
                description.media.append(current)
                if len(description.media) > MAX_SECTIONS:
                    raise SdpError(f"at most {MAX_SECTIONS} media sections", number, syntax=True)
            current.lines.append(line)
        description._check()
        return description

    def format(self) -> str:
        """The text."""
        lines = list(self.session.lines)
        for media in self.media:
            lines += media.lines
        return ENDING.join(lines) + ENDING

    def _check(self) -> None:
        head = self.session.lines
        if head[:1] != ["v=0"]:
            raise SdpError("v=0", 1, syntax=True)
        for number, start in ((2, "o="), (3, "s=")):
            if len(head) < number or not head[number - 1].startswith(start):
                raise SdpError(start, number, syntax=True)
        try:
            grammar.origin(head[1][2:])
        except SdpError as error:
            raise SdpError(error.expected, 2, syntax=True) from None
        if not any(line.startswith("t=") for line in head):
            raise SdpError("t=", len(head) + 1, syntax=True)
        self.session.check()
        for media in self.media:
            media.check()
            media.read()
        self._check_mids()
        self._check_passwords()

    def _check_mids(self) -> None:
        seen: set[str] = set()
        for media in self.media:
            for number, mid in islice(media.attributes("mid"), 1):
                if mid in seen:
                    raise SdpError("a mid that no other section has", number)
                seen.add(mid)
        for number, value in self.session.attributes("group"):
            words = value.split()
            if words[:1] == ["BUNDLE"] and len(set(words)) < len(words):
                raise SdpError("every mid once in a BUNDLE group", number)

    def _check_passwords(self) -> None:
        """Equal ufrags need equal pwds (rule 75)."""
        known: dict[str, Credentials] = {}
        for media in self.media:
            credentials = media.credentials
            if credentials is None:
                continue
            if known.setdefault(credentials.ufrag, credentials) != credentials:
                place = next(iter(media.attributes("ice-ufrag")), (media.number, ""))
                raise SdpError("equal ice-pwds with equal ice-ufrags", place[0])

    @property
    def origin(self) -> tuple[str, int]:
        """(session id, version) of the o= line."""
        return grammar.origin(self.session.lines[1][2:])

    @property
    def ice_lite(self) -> bool:
        """``a=ice-lite``, at session level only (rule 39)."""
        return self.session.first("ice-lite") is not None

    @property
    def ice_options(self) -> tuple[str, ...]:
        """``a=ice-options`` of the session level."""
        value = self.session.first("ice-options")
        return () if value is None else grammar.ice_options(value)

    @property
    def ice_pacing(self) -> int:
        """Milliseconds; 50 when the description does not say."""
        value = self.session.first("ice-pacing")
        return grammar.ICE_PACING_DEFAULT if value is None else grammar.ice_pacing(value)

    @property
    def bundle(self) -> tuple[str, ...]:
        """The mids of the first BUNDLE group (RFC 9143)."""
        for _, value in self.session.attributes("group"):
            words = value.split()
            if words[:1] == ["BUNDLE"]:
                return tuple(words[1:])
        return ()

    def by_mid(self, mid: str) -> MediaSection | None:
        """The section with that mid."""
        return next((media for media in self.media if media.mid == mid), None)

    def in_bundle_order(self) -> Iterable[MediaSection]:
        """Bundled sections as BUNDLE names them, then all others in their order."""
        # A group may name very many mids that are none: each costs one look.
        places = {mid: place for place, mid in enumerate(self.bundle)}
        last = len(places)
        return sorted(self.media, key=lambda media: places.get(media.mid or "", last))

    @property
    def tagged(self) -> MediaSection | None:
        """The section whose transport all use: BUNDLE's first live one, else the first live."""
        return next((media for media in self.in_bundle_order() if not media.rejected), None)


def _split(text: str) -> list[str]:
    """Lines without their ends, which are CRLF or LF; all within what may be written again."""
    if len(text) > MAX_BYTES:
        raise SdpError(f"at most {MAX_BYTES} bytes", syntax=True)
    *ended, rest = text.split("\n")
    lines = [line.removesuffix("\r") for line in ended]
    if rest or not lines:
        lines.append(rest)
    if len(lines) > MAX_LINES:
        raise SdpError(f"at most {MAX_LINES} lines", MAX_LINES + 1, syntax=True)
    size = 0
    for number, line in enumerate(lines, 1):
        try:
            size += len(line.encode()) + len(ENDING)
        except UnicodeEncodeError:
            raise SdpError("text that can be UTF-8", number, syntax=True) from None
        if size > MAX_BYTES:
            raise SdpError(f"at most {MAX_BYTES} bytes", number, syntax=True)
    return lines


def _media(line: str, number: int, session: Level) -> MediaSection:
    found = _MEDIA.fullmatch(line)
    if found is None:
        raise SdpError("m=KIND PORT PROTOCOL FORMATS", number, syntax=True)
    kind, port, protocol, formats = found.groups()
    if int(port) > 65535:
        raise SdpError("a port from 0 to 65535", number, syntax=True)
    return MediaSection(
        number, session=session, kind=kind, port=int(port), protocol=protocol, formats=formats
    )
