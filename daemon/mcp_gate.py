"""Who may speak MCP: the key in a personal URL, or the unix socket with the name of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from daemon.mcp import Mcp
from daemon.mcp.caller import Caller
from daemon.metrics import Metrics
from daemon.security import IDENTITY, Identity
from daemon.users import Users
from jmem.core.errors import NotFound
from jmem.core.mcp.sessions import Sessions
from jmem.core.settings import Settings

if TYPE_CHECKING:
    from daemon.mcp.early import Early

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class McpGate:
    """The MCP application behind the check of who asks, decided anew for each request."""

    def __init__(self, users: Users, settings: Settings, metrics: Metrics) -> None:
        self._users = users
        self._searches = metrics.searches
        self._settings = settings
        self._mcp = Mcp(
            self._make_server, users.session_secret(), self._by_key, self._by_socket, make_early=self._make_early
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._mcp(scope, receive, send)

    async def warm(self) -> None:
        """Import the protocol's library before the first client asks."""
        await self._mcp.warm()

    async def close(self) -> None:
        """End every open stream."""
        await self._mcp.close()

    def _make_server(self) -> Any:
        from daemon.mcp.server import make_server

        return make_server(delete_all=bool(self._settings["mcp.delete_all"]))

    def _make_early(self, sessions: Sessions) -> Early:
        from daemon.mcp.early import Early

        return Early(sessions, delete_all=bool(self._settings["mcp.delete_all"]))

    async def _by_key(self, scope: Scope, client: str, key: str) -> Caller:
        found = self._users.by_open_key(client, key)
        if found is None:  # the first request for a user opens the store
            found = await asyncio.to_thread(self._users.by_key, client, key)
        if found is None:
            raise _nothing()
        return Caller(*found, searches=self._searches)

    async def _by_socket(self, scope: Scope, client: str, key: str) -> Caller:
        identity: Identity = scope[IDENTITY]
        if not identity.local or identity.user is None:
            raise _nothing()
        found = await asyncio.to_thread(self._users.by_name, identity.user, client)
        return Caller(*found, searches=self._searches)


def _nothing() -> NotFound:
    # the same for a wrong key, another client's key and a path that never was: it tells nothing
    return NotFound("there is nothing at this address", fix="jmem connect CLIENT --print   shows the addresses")
