"""The edge around small apps, asked through real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from hosted.edge import problems
from hosted.edge.compose import wrap
from hosted.edge.context import request_id
from hosted.edge.rates import admit
from hosted.identity.principal import Principal
from hosted.settings import Settings
from jmem.core.actor import Actor
from tests.hosted.api.conftest import app, http, me, other

__all__ = ["app", "http", "me", "other"]


class Small:
    """An app behind the edge, whose routes show what the edge does to them."""

    def __init__(self, settings: Settings | None) -> None:
        self.app = FastAPI()
        self.app.state.contexts = []
        self.left = threading.Event()
        self.cancelled = threading.Event()
        problems.install(self.app)
        self._routes()
        wrap(self.app, settings)

    def _routes(self) -> None:
        app = self.app

        @app.api_route("/api/v1/echo", methods=["GET", "POST"])
        async def echo(request: Request) -> dict[str, Any]:
            return {"bytes": len(await request.body()), "id": request_id()}

        @app.post("/api/v1/sync/push")
        @app.post("/api/v1/search")
        @app.post("/api/v1/known")
        async def known(request: Request) -> dict[str, str]:
            user = uuid.UUID(request.headers["x-user"])
            await admit(Principal(user, Actor("api"), "api_key"))
            await admit(Principal(user, Actor("api"), "api_key"))  # a second time in one request counts nothing
            return {"user": str(user)}

        @app.get("/health")
        @app.post("/sign-in")
        @app.get("/page")
        async def page() -> dict[str, bool]:
            return {"ok": True}

        @app.get("/api/v1/crash")
        async def crash() -> None:
            raise ZeroDivisionError("the secret text of a memory")

        @app.get("/api/v1/slow")
        async def slow() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

        @app.get("/api/v1/stream")
        async def stream(fail: bool = False) -> StreamingResponse:
            return StreamingResponse(self._events(fail), media_type="text/event-stream")

    async def _events(self, fail: bool) -> AsyncIterator[bytes]:
        try:
            for number in range(1000):
                yield f"data: {number}\n\n".encode()
                if fail:
                    raise ZeroDivisionError("in the middle")
                await asyncio.sleep(0.05)
        finally:
            self.left.set()


class Serving:
    """A small app on a port of this machine."""

    def __init__(self, settings: Settings | None) -> None:
        self.small = Small(settings)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        options = uvicorn.Config(
            self.small.app, log_level="critical", ws="none", proxy_headers=False, timeout_graceful_shutdown=1,
            lifespan="off",
        )  # fmt: skip
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def raw(self, data: bytes, *, wait: float = 5.0) -> bytes:
        """Send bytes and read until the server closes the connection, or nothing comes for `wait` seconds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(data)
            pieces = []
            with contextlib.suppress(TimeoutError):
                while piece := connection.recv(65536):
                    pieces.append(piece)
            return b"".join(pieces)


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    """Serves a small app with these settings, or with none."""
    running: list[Serving] = []

    def start(**settings: Any) -> Serving:
        running.append(Serving(Settings(database_url="", **settings) if settings else None))
        running[-1].start()
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def plain(serve: Callable[..., Serving]) -> Iterator[httpx.Client]:
    """A client of a small app without settings."""
    with httpx.Client(base_url=serve().url) as client:
        yield client
