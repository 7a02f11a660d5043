"""MCP: which request goes to which transport. The SDK takes most of a second to import, so nothing here imports it at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from daemon.mcp.caller import Caller
from daemon.mcp.sessions import Sessions
from daemon.problems import HttpProblem
from jmem.core.errors import NotFound

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from daemon.mcp.endpoints import Endpoints

PREFIX = "/mcp/"
WARM_AFTER_SECONDS = 1.0
"""How long after its start the daemon imports the SDK when nobody has asked for it: first commands go first."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Authenticate = Callable[[Scope, str, str], Awaitable[Caller]]
"""(scope, client, key) -> who asks; raises JmemError. The key is "" for the relay, which comes by the unix socket."""

ROUTES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("{client}", "sse", "{key}"): ("GET",),
    ("{client}", "sse", "{key}", "messages"): ("POST",),
    ("{client}", "http", "{key}"): ("GET", "POST", "DELETE"),
    ("{client}", "stdio"): ("POST",),
}


class Mcp:
    """The transports of one server as an ASGI application. It raises JmemError before it has answered, never after."""

    def __init__(
        self, make_server: Callable[[], Server[Any]], secret: bytes, by_key: Authenticate, by_socket: Authenticate
    ) -> None:
        self._make_server = make_server
        self._sessions = Sessions(secret)
        self._by_key = by_key
        self._by_socket = by_socket
        self._ready: asyncio.Task[Endpoints] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client, key, handler = _find(scope)
        caller = await (self._by_key if key else self._by_socket)(scope, client, key)
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


def _find(scope: Scope) -> tuple[str, str, str]:
    """(client, key, handler's name) of a request; raises NotFound, HttpProblem 405."""
    given = scope["path"].removeprefix(PREFIX).split("/")
    for shape, methods in ROUTES.items():
        if len(shape) == len(given) and all(s == g or (s[0] == "{" and g) for s, g in zip(shape, given, strict=True)):
            if scope["method"] not in methods:
                allow = ", ".join(methods)
                raise HttpProblem(
                    405, "wrong_method", f"this address takes {allow}", headers=((b"allow", allow.encode()),)
                )
            return given[0], given[2] if len(given) > 2 else "", "_".join(s for s in shape if s[0] != "{")
    raise NotFound("there is nothing at this address", fix="jmem connect CLIENT --print")
