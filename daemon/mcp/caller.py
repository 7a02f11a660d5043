"""Who sends a request: decided anew for each one, by the key in its path or by the socket it came through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jmem.core.actor import Actor
from jmem.core.mcp.sessions import thread_of

if TYPE_CHECKING:
    from daemon.metrics import Histogram
    from daemon.users import UserMemory


@dataclass(frozen=True, slots=True)
class Caller:
    """A user's memory, the client with what it may do, and the conversation that its memories come from."""

    user: UserMemory
    actor: Actor
    thread: str | None = None
    searches: Histogram | None = None
    """where the time of a search is noted"""

    @property
    def account(self) -> str:
        """The user's id."""
        return self.user.id

    @property
    def owner(self) -> str:
        """The user's id."""
        return self.user.id

    @property
    def client(self) -> str:
        """The client's name."""
        return self.actor.client

    def in_session(self, session: str | None) -> Caller:
        """The same caller in the conversation of a session id."""
        return self if session is None else replace(self, thread=thread_of(self.client, session))
