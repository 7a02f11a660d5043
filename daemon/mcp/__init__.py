"""MCP: the routes of the transports. The SDK takes most of a second to import, so nothing here imports it at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from daemon.mcp.caller import Caller
from daemon.mcp.sessions import Sessions

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from daemon.mcp.endpoints import Endpoints

WARM_AFTER_SECONDS = 1.0
"""How long after its start the daemon imports the SDK when nobody has asked for it: first commands go first."""

Authenticate = Callable[[Request], Awaitable[Caller]]
Handler = Callable[["Endpoints", Request, Caller], Awaitable[Response]]


class Stack:
    """The transports of one server, imported in a thread at the first request or soon after the start."""

    def __init__(self, make_server: Callable[[], Server[Any]], secret: bytes) -> None:
        self._make_server = make_server
        self._sessions = Sessions(secret)
        self._ready: asyncio.Task[Endpoints] | None = None

    async def warm(self, after: float = WARM_AFTER_SECONDS) -> None:
        """Import in the background; for the daemon's start."""
        await asyncio.sleep(after)
        await self.endpoints()

    async def endpoints(self) -> Endpoints:
        """The transports; the first to ask waits for the import, the others wait with it."""
        if self._ready is None:
            self._ready = asyncio.create_task(asyncio.to_thread(self._build))
        return await asyncio.shield(self._ready)

    def _build(self) -> Endpoints:
        endpoints = importlib.import_module("daemon.mcp.endpoints").Endpoints
        built: Endpoints = endpoints(self._make_server(), self._sessions)
        return built

    def add_routes(self, app: FastAPI, by_key: Authenticate, by_socket: Authenticate) -> None:
        """Add the routes. The two functions prove who asks, before anything is parsed, or raise NotFound."""
        base = "/mcp/{client}"
        routes: tuple[tuple[str, list[str], Authenticate, str], ...] = (
            ("/sse/{key}", ["GET"], by_key, "open_stream"),
            ("/sse/{key}/messages", ["POST"], by_key, "post_message"),
            ("/http/{key}", ["GET", "POST", "DELETE"], by_key, "streamable"),
            ("/stdio", ["POST", "DELETE"], by_socket, "relayed"),
        )
        for path, methods, authenticate, name in routes:
            app.add_api_route(
                base + path,
                self._route(authenticate, name),
                methods=methods,
                include_in_schema=False,
                response_model=None,
            )

    def _route(self, authenticate: Authenticate, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            caller = await authenticate(request)
            handler: Handler = getattr(type(endpoints := await self.endpoints()), name)
            return await handler(endpoints, request, caller)

        return route
