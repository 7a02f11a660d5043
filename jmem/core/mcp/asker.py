"""Who sends a request, as far as a transport has to know it."""

from __future__ import annotations

from typing import Protocol, Self


class Asker(Protocol):
    """Whoever proved to be allowed here, decided anew for each request."""

    @property
    def account(self) -> str:
        """Whose memory it is, and by what: a session id of one is unknown to any other."""

    @property
    def owner(self) -> str:
        """Whose memory it is, whatever proved it."""

    @property
    def client(self) -> str:
        """The program's name."""

    def in_session(self, session: str | None) -> Self:
        """The same asker in the conversation of a session id."""
