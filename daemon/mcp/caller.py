"""Who sends a request: decided anew for each one, by the key in its path or by the socket it came through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daemon.mcp.sessions import thread_of

if TYPE_CHECKING:
    from daemon.users import UserMemory
    from jmem.core.access import Actor


@dataclass(frozen=True, slots=True)
class Caller:
    """A user's memory, what the client may do with it, and the conversation that its memories come from."""

    user: UserMemory
    actor: Actor
    thread: str | None = None

    @property
    def user_id(self) -> str:
        """The user's id, which no rename changes."""
        return self.user.id

    @property
    def client(self) -> str:
        """The client's name."""
        return self.actor.client

    def in_session(self, session: str | None) -> Caller:
        """The same caller in the conversation of a session id."""
        return self if session is None else replace(self, thread=thread_of(self.client, session))
