"""MCP: which request goes to which transport. The SDK takes most of a second to import, so nothing here imports it at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from daemon.mcp.caller import Caller, by_key, by_socket
from daemon.mcp.sessions import Sessions
from daemon.problems import HttpProblem
from jmem.core.errors import NotFound

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from daemon.mcp.endpoints import Endpoints
    from daemon.security import Identity
    from daemon.users import Users
    from jmem.core.settings import Settings

PREFIX = "/mcp/"
WARM_AFTER_SECONDS = 1.0
"""How long after its start the daemon imports the SDK when nobody has asked for it: first commands go first."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
WhoAsks = Callable[[str, str, "Identity"], Caller]
"""(client, key, how the request came) -> who asks; raises NotFound. The key is "" on the unix socket. May block."""

ROUTES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("{client}", "sse", "{key}"): ("GET",),
    ("{client}", "sse", "{key}", "messages"): ("POST",),
    ("{client}", "http", "{key}"): ("GET", "POST", "DELETE"),
    ("{client}", "stdio"): ("POST", "DELETE"),
}


class Mcp:
    """The transports of one server as an ASGI application. It raises JmemError before it has answered, never after."""

    def __init__(self, make_server: Callable[[], Server[Any]], secret: bytes, who_asks: WhoAsks) -> None:
        self._make_server = make_server
        self._sessions = Sessions(secret)
        self._who_asks = who_asks
        self._ready: asyncio.Task[Endpoints] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, identity: Identity) -> None:
        client, key, handler = _find(scope, identity.local)
        caller = await asyncio.to_thread(self._who_asks, client, key, identity)
        endpoints = await self.endpoints()
        await endpoints.serve(handler, caller, scope, receive, send)

    async def warm(self, after: float = WARM_AFTER_SECONDS) -> None:
        """Import in the background; for the daemon's start."""
        await asyncio.sleep(after)
        await self.endpoints()

    async def close(self) -> None:
        """End every open stream; for the daemon's end."""
        if self._ready is not None:
            await (await self.endpoints()).close()

    async def endpoints(self) -> Endpoints:
        """The transports; the first to ask waits for the import, the others wait with it."""
        if self._ready is None:
            self._ready = asyncio.create_task(asyncio.to_thread(self._build))
        return await asyncio.shield(self._ready)

    def _build(self) -> Endpoints:
        module = importlib.import_module("daemon.mcp.endpoints")
        endpoints: Endpoints = module.Endpoints(self._make_server(), self._sessions)
        return endpoints


def make(users: Users, settings: Settings, secret: bytes) -> Mcp:
    """The application that serves every user's memory; `secret` is the home's."""

    def who_asks(client: str, key: str, identity: Identity) -> Caller:
        if key:
            return by_key(users, client, key)
        return by_socket(users, identity.user or "", client)

    def make_server() -> Server[Any]:
        server: Server[Any] = importlib.import_module("daemon.mcp.server").make_server(
            delete_all=bool(settings["mcp.delete_all"])
        )
        return server

    return Mcp(make_server, secret, who_asks)


def _find(scope: Scope, local: bool) -> tuple[str, str, str]:
    """(client, key, handler's name) of a request; raises NotFound, HttpProblem 405."""
    given = scope["path"].removeprefix(PREFIX).split("/")
    for shape, methods in ROUTES.items():
        if len(shape) == len(given) and all(s == g or s[0] == "{" for s, g in zip(shape, given, strict=True)):
            if "{key}" not in shape and not local:
                break
            if scope["method"] not in methods:
                raise HttpProblem(405, "method_not_allowed", f"{scope['method']} is not for this address",
                                  headers=((b"allow", ", ".join(methods).encode()),))  # fmt: skip
            return given[0], given[2] if len(given) > 2 else "", "_".join(s for s in shape if s[0] != "{")
    raise NotFound("there is nothing at this address", fix="jmem connect CLIENT --print   shows the addresses")
