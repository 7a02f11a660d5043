"""The transports of one server side by side."""

from __future__ import annotations

from typing import Any

from mcp.server.lowlevel import Server
from starlette.requests import Request
from starlette.responses import Response

from daemon.mcp.caller import Caller
from daemon.mcp.sessions import Sessions
from daemon.mcp.sse import Sse
from daemon.mcp.streamable import Streamable


class Endpoints:
    """One handler a route; each is given a caller whose right to be there is proved."""

    def __init__(self, server: Server[Any], sessions: Sessions) -> None:
        self._sse = Sse(server)
        self._streamable = Streamable(server, sessions)

    async def open_stream(self, request: Request, caller: Caller) -> Response:
        """GET of the legacy transport."""
        return self._sse.open(request)

    async def post_message(self, request: Request, caller: Caller) -> Response:
        """POST of the legacy transport."""
        return await self._sse.post(request, caller)

    async def streamable(self, request: Request, caller: Caller) -> Response:
        """Streamable HTTP."""
        return await self._streamable.handle(request, caller)

    async def relayed(self, request: Request, caller: Caller) -> Response:
        """A line of a stdio client, which its relay posts through the unix socket."""
        return await self._streamable.handle(request, caller, mirrored=False)
