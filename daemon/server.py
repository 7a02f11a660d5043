"""uvicorn over several sockets at once, without its ten ticks a second, with limits for slow and oversized clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.config import Config

from jmem.core.wire.connections import Bounded
from jmem.core.wire.refusals import HttpProblem

KEEP_ALIVE_S = 75
MAX_CONNECTIONS = 512
"""By each of the two ways in, so that nobody on TCP keeps the owner from the socket."""
MAX_REFUSED = 64
"""Connections beyond these that are still told why; more are closed at once, for every open one takes a file."""
STOP_TIMEOUT_S = 10.0
LOCAL = "jmem.local"
"""scope key: whether the request came by the unix socket"""


class Protocol(Bounded):
    """One connection, one of so many."""

    _local = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: a client has connected."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        self._local = sock is not None and sock.family == socket.AF_UNIX
        over = 0
        if len(self.connections) > MAX_CONNECTIONS:
            same = sum(cast(Protocol, each)._local == self._local for each in self.connections)
            over = same - MAX_CONNECTIONS
        if over > MAX_REFUSED:
            transport.abort()
        elif over > 0:
            self._refusal = HttpProblem(503, "busy", f"more than {MAX_CONNECTIONS} connections at once")

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[LOCAL] = self._local


class Server(uvicorn.Server):
    """Serves until `stop`, then lets requests that are under way finish."""

    def __init__(self, app: Any, before_drain: Callable[[], Any]) -> None:
        super().__init__(
            Config(
                app, loop="none", http=Protocol, ws="none", lifespan="off", interface="asgi3", log_config=None, log_level="warning",
                access_log=False, proxy_headers=False, server_header=False, date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )  # fmt: skip
        self._stopping = asyncio.Event()
        self._before_drain = before_drain

    def stop(self) -> None:
        """Begin to stop; call on the event loop."""
        self.should_exit = True
        self._stopping.set()

    async def run_on(self, sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
        """Serve on listening sockets; returns when every request has been answered or the time for that is over."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=sockets)
        on_ready()
        await self._stopping.wait()
        for server in self.servers:
            server.close()
        await self._before_drain()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := set(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
