"""The four descriptions that a connection holds (webrtc-pc section 4.4.1.1)."""

from __future__ import annotations

from attrs import define, field

from refreeze.jsep.descriptions import Applied, Description
from refreeze.sdp import MediaSection


@define(eq=False, repr=False, kw_only=True)
class HeldDescriptions:
    """Current: since the last completed exchange. Pending: while one is under way."""

    _current_local: Applied | None = field(default=None, init=False)
    _pending_local: Applied | None = field(default=None, init=False)
    _current_remote: Applied | None = field(default=None, init=False)
    _pending_remote: Applied | None = field(default=None, init=False)

    def remote_section(self, index: int) -> MediaSection | None:
        """Of the peer's description since the last answer, which may be a provisional one."""
        provisional = self._pending_local is not None and self._pending_remote is not None
        answered = self._pending_remote if provisional else self._current_remote
        media = [] if answered is None else answered.parsed.media
        found = media[index] if index < len(media) else None
        return None if found is None or found.rejected else found

    @property
    def current_local(self) -> Description | None:
        """Since the last completed exchange."""
        return self._current_local.describe() if self._current_local else None

    @property
    def pending_local(self) -> Description | None:
        """While an exchange is under way."""
        return self._pending_local.describe() if self._pending_local else None

    @property
    def current_remote(self) -> Description | None:
        """Since the last completed exchange."""
        return self._current_remote.describe() if self._current_remote else None

    @property
    def pending_remote(self) -> Description | None:
        """While an exchange is under way."""
        return self._pending_remote.describe() if self._pending_remote else None

    @property
    def local_description(self) -> Description | None:
        """Pending, or else current."""
        return self.pending_local or self.current_local

    @property
    def remote_description(self) -> Description | None:
        """Pending, or else current."""
        return self.pending_remote or self.current_remote

    def _applied(self) -> list[Applied]:
        """All that are held."""
        held = (
            self._current_local,
            self._current_remote,
            self._pending_local,
            self._pending_remote,
        )
        return [each for each in held if each is not None]
