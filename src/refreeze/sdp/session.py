"""Session descriptions (RFC 8866): the ICE and DTLS attributes typed, all else byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials
from refreeze.sdp.candidates import parse_candidate
from refreeze.sdp.errors import SdpError, UnsupportedCandidate

MAX_CHARACTERS: Final = 64 * 1024
MAX_LINES: Final = 1000
MAX_CANDIDATES: Final = 200
MAX_SECTIONS: Final = 32

OWNED: Final = frozenset({"ice-ufrag", "ice-pwd", "ice-options", "candidate", "end-of-candidates"})
"""Attributes of a section that are ours to write; the others pass through."""


@define
class Lines:
    """The lines of one level, in order, without their ends; ``number`` is that of the first."""

    number: int
    lines: list[str] = field(factory=list, repr=False)

    def attributes(self, name: str) -> Iterator[tuple[int, str]]:
        """(line number, value) of every ``a=name`` or ``a=name:value``."""
        bare, prefix = f"a={name}", f"a={name}:"
        for offset, line in enumerate(self.lines):
            if line == bare:
                yield self.number + offset, ""
            elif line.startswith(prefix):
                yield self.number + offset, line[len(prefix) :]

    def first(self, name: str) -> str | None:
        """The value of the first such attribute."""
        return next((value for _, value in self.attributes(name)), None)


@define
class MediaSection(Lines):
    """One m= section and what refreeze reads of it."""

    session: Lines = field(kw_only=True, repr=False)
    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: str = ""

    @property
    def mid(self) -> str | None:
        """``a=mid``."""
        return self.first("mid")

    @property
    def rejected(self) -> bool:
        """Port 0 without a BUNDLE that keeps it (RFC 8866, RFC 8843)."""
        return self.port == 0 and self.first("bundle-only") is None

    def inherited(self, name: str) -> str | None:
        """Media level wins over session level (rule 75)."""
        value = self.first(name)
        return value if value is not None else self.session.first(name)

    @property
    def credentials(self) -> Credentials | None:
        """ufrag and pwd, or None without ICE; SdpError when only one is there or one is bad."""
        ufrag, pwd = self.inherited("ice-ufrag"), self.inherited("ice-pwd")
        if ufrag is None and pwd is None:
            return None
        if ufrag is None or pwd is None:
            raise SdpError("ice-ufrag and ice-pwd together", self.number)
        try:
            return Credentials(ufrag, pwd)
        except ValueError as error:
            raise SdpError(str(error).replace("is not", "of"), self.number) from None

    @property
    def candidates(self) -> list[Candidate]:
        """Those we understand; malformed ones are SdpErrors with their line."""
        found: list[Candidate] = []
        for number, value in self.attributes("candidate"):
            try:
                found.append(parse_candidate("candidate:" + value))
            except UnsupportedCandidate:
                continue
            except SdpError as error:
                raise SdpError(error.expected, number) from None
            if len(found) >= MAX_CANDIDATES:
                break
        return found

    @property
    def end_of_candidates(self) -> bool:
        """``a=end-of-candidates`` at either level."""
        return self.inherited("end-of-candidates") is not None

    @property
    def fingerprints(self) -> list[str]:
        """Values of ``a=fingerprint``, folded to one case."""
        own = [value.upper() for _, value in self.attributes("fingerprint")]
        return own or [value.upper() for _, value in self.session.attributes("fingerprint")]

    @property
    def setup(self) -> str | None:
        """``a=setup``."""
        return self.inherited("setup")

    @property
    def tls_id(self) -> str | None:
        """``a=tls-id``."""
        return self.inherited("tls-id")


@define
class SessionDescription:
    """A parsed description; :meth:`format` gives the very text back."""

    session: Lines
    media: list[MediaSection] = field(factory=list)
    ending: str = "\r\n"

    @classmethod
    def parse(cls, text: str) -> SessionDescription:
        """SdpError with line and expectation for whatever cannot be a description."""
        if len(text) > MAX_CHARACTERS:
            raise SdpError(f"at most {MAX_CHARACTERS} characters")
        ending = "\r\n" if "\r\n" in text else "\n"
        lines = text.removesuffix(ending).split(ending)
        if len(lines) > MAX_LINES:
            raise SdpError(f"at most {MAX_LINES} lines")
        if lines[0] != "v=0":
            raise SdpError("v=0", 1)
        description = cls(Lines(1), ending=ending)
        current = description.session
        for number, line in enumerate(lines, 1):
            if len(line) < 2 or line[1] != "=" or not line[0].islower() or "\r" in line:
                raise SdpError("TYPE=VALUE", number)
            if line.startswith("m="):
                current = _media(line, number, description.session)
                description.media.append(current)
                if len(description.media) > MAX_SECTIONS:
                    raise SdpError(f"at most {MAX_SECTIONS} media sections", number)
            current.lines.append(line)
        return description

    def format(self) -> str:
        """The text."""
        lines = [*self.session.lines]
        for media in self.media:
            lines += media.lines
        return self.ending.join(lines) + self.ending

    @property
    def ice_lite(self) -> bool:
        """``a=ice-lite``."""
        return self.session.first("ice-lite") is not None

    @property
    def bundle(self) -> tuple[str, ...]:
        """The mids of the first BUNDLE group."""
        for _, value in self.session.attributes("group"):
            words = value.split()
            if words and words[0] == "BUNDLE":
                return tuple(words[1:])
        return ()

    @property
    def tagged(self) -> MediaSection | None:
        """The section whose transport everything uses: BUNDLE's first, else the first live one."""
        tag = next(iter(self.bundle), None)
        for media in self.media:
            if (tag is not None and media.mid == tag) or (tag is None and not media.rejected):
                return media
        return None


def _media(line: str, number: int, session: Lines) -> MediaSection:
    words = line[2:].split(" ", 3)
    if len(words) != 4 or not words[1].partition("/")[0].isascii():
        raise SdpError("m=KIND PORT PROTOCOL FORMATS", number)
    port = words[1].partition("/")[0]
    if not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise SdpError("a port from 0 to 65535", number)
    return MediaSection(
        number,
        session=session,
        kind=words[0],
        port=int(port),
        protocol=words[2],
        formats=words[3],
    )
