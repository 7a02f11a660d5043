"""Who sends a request, in the shape that tools and transports take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hosted.identity.principal import Principal
from hosted.memories.service import Memories
from jmem.core.actor import Actor
from jmem.core.mcp.sessions import thread_of


@dataclass(frozen=True, slots=True)
class Caller:
    """One account's memories, the program with what it may do, and the conversation that its memories come from."""

    memories: Memories
    principal: Principal
    thread: str | None = None

    @property
    def actor(self) -> Actor:
        """What the program may do."""
        return self.principal.actor

    @property
    def client(self) -> str:
        """The program's name."""
        return self.principal.actor.client

    @property
    def owner(self) -> str:
        """The user."""
        return str(self.principal.user_id)

    @property
    def account(self) -> str:
        """The user and the connection: another connection of the same user has sessions of its own."""
        return f"{self.owner} {self.principal.key_id or self.principal.client_id}"

    def in_session(self, session: str | None) -> Caller:
        """The same caller in the conversation of a session id."""
        return self if session is None else replace(self, thread=thread_of(self.client, session))
