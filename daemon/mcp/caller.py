"""Who sends a request: decided anew for each one, by the key in its path or by the socket it came through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daemon.mcp.sessions import thread_of
from jmem.core.actor import Actor
from jmem.core.errors import NotFound
from jmem.core.model import check_client

if TYPE_CHECKING:
    from daemon.users import UserMemory, Users


@dataclass(frozen=True, slots=True)
class Caller:
    """A user's name, the client with what it may do, and the conversation that its memories come from."""

    users: Users
    user: str
    actor: Actor
    thread: str | None = None

    @property
    def client(self) -> str:
        """The client's name."""
        return self.actor.client

    def in_session(self, session: str | None) -> Caller:
        """The same caller in the conversation of a session id."""
        return self if session is None else replace(self, thread=thread_of(self.client, session))

    def reading(self) -> UserMemory:
        """The user's memory; raises NotFound while the user has none."""
        return self.users.open(self.user)

    def writing(self) -> UserMemory:
        """The user's memory, made by its first write."""
        return self.users.open(self.user, create=True)


def by_key(users: Users, client: str, key: str) -> Caller:
    """The caller that a personal URL stands for; raises the same NotFound for every URL that is none."""
    found = users.by_key(client, key)
    if found is None:
        raise NotFound("there is nothing at this address", fix=f"jmem connect {client} --print   shows the addresses")
    memory, actor = found
    return Caller(users, memory.name, actor)


def by_socket(users: Users, user: str, client: str) -> Caller:
    """The caller behind `jmem mcp`. Who can open the socket is the owner; the client is known by the name it gives.

    Raises Invalid for a name that no client can have, NotFound for a client that was disconnected.
    """
    if user not in users.names():
        return Caller(users, user, Actor(check_client(client)))
    clients = users.clients(user)
    try:
        known = clients.get(client)
    except NotFound:
        known = clients.connect(client)
    if known.revoked:
        raise NotFound(f"{client} was disconnected", code="client_revoked", fix=f"jmem connect {client}")
    return Caller(users, user, known.actor)
