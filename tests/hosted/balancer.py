"""A balancer that sends each request to the next replica, as if there were no sessions at all."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.hosted.world import Served

_HOP = ("connection", "transfer-encoding", "content-length", "accept-encoding")


class Balancer(Served):
    """Hands each request to another replica than the one before; `replicas` are their addresses."""

    def __init__(self, replicas: Sequence[str] = ()) -> None:
        super().__init__()
        self.replicas = replicas
        self.asked: list[tuple[str, str]] = []
        """Each request's method and the replica that it was handed to."""
        routes = [Route("/{path:path}", self._ask, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])]
        self.serve(Starlette(routes=routes, lifespan=self._lifespan))

    def at(self, address: str) -> str:
        """An address of the backend, through the balancer."""
        return self.url + httpx.URL(address).raw_path.decode()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[None]:
        async with httpx.AsyncHTTPTransport() as self._replica:  # a client would follow, and keep everybody's cookies
            yield

    async def _ask(self, request: Request) -> StreamingResponse:
        target = self.replicas[len(self.asked) % len(self.replicas)]
        self.asked.append((request.method, target))
        url = target + request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP]
        asked = httpx.Request(
            request.method, url, headers=headers, content=await request.body(),
            extensions={"timeout": {"connect": 10.0, "pool": 10.0, "write": 10.0, "read": None}},
        )  # fmt: skip
        answer = await self._replica.handle_async_request(asked)

        async def body() -> AsyncIterator[bytes]:
            try:
                assert isinstance(answer.stream, httpx.AsyncByteStream)
                async for piece in answer.stream:
                    yield piece
            except httpx.ReadError:
                return
            finally:
                await answer.aclose()

        given = StreamingResponse(body(), answer.status_code)
        given.raw_headers = [(k.lower(), v) for k, v in answer.headers.raw if k.decode().lower() not in _HOP]
        return given
