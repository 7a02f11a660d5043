"""The transports of one server side by side."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jmem.core.mcp.asker import Asker
from jmem.core.mcp.sse import Sse
from jmem.core.mcp.streamable import Streamable


class Endpoints:
    """Answers requests of callers whose right to be there is proved."""

    def __init__(self, sse: Sse, streamable: Streamable) -> None:
        self._sse = sse
        self._streamable = streamable

    async def serve(self, handler: str, caller: Asker, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. `handler` is the fixed part of its route."""
        response = await self._respond(handler, caller, Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, handler: str, caller: Asker, request: Request) -> Response:
        match handler:
            case "sse":
                return self._sse.open(request, caller)
            case "sse_messages":
                return await self._sse.post(request, caller)
            case "stdio":
                return await self._streamable.relay(request, caller)
            case _:
                return await self._streamable.handle(request, caller)

    async def close(self) -> None:
        """End every open stream."""
        await self._sse.close()
