"""uvicorn over several sockets at once, without its ten ticks a second, with limits for slow and oversized clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from daemon.problems import HttpProblem

MAX_HEAD_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 75
MAX_CONNECTIONS = 512
"""By each of the two ways in, so that nobody on TCP keeps the owner from the socket."""
MAX_REFUSED = 64
"""Connections beyond these that are still told why; more are closed at once, for every open one takes a file."""
STOP_TIMEOUT_S = 10.0
LOCAL = "jmem.local"
"""scope key: whether the request came by the unix socket"""

_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}  # fmt: skip


class Protocol(HttpToolsProtocol):
    """One connection: a request has to arrive whole within a time, and its head within a size."""

    _local = False
    _in_head = True
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _refusal: HttpProblem | None = None

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
        elif over > 0:  # told once its request is here: it would not read it before
            self._refusal = HttpProblem(503, "busy", f"more than {MAX_CONNECTIONS} connections at once")
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._disarm()
        self._resumed()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes for the parser."""
        if self._in_head:
            self._head_bytes += len(data)
        if self._timer is None:
            self._arm()
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HttpProblem(431, "head_too_large", "the request's headers are too large"))

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[LOCAL] = self._local

    def on_headers_complete(self) -> None:
        """httptools: the request line and the headers are here."""
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD_BYTES:
            self._refusal = HttpProblem(431, "head_too_large", "the request's headers are too large")
        if self._refusal is not None:
            raise ValueError(self._refusal.message)  # the parser hands it to send_400_response
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """httptools: the whole request is here."""
        self._in_head, self._head_bytes = True, 0
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, and close."""
        self._refuse(self._refusal or HttpProblem(400, "bad_request", "this is not an HTTP/1.1 request"))

    def _refuse(self, problem: HttpProblem) -> None:
        from daemon.problems import problem_answer

        answer = problem_answer(problem)
        if not self.transport.is_closing():
            head = b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            values = (answer.status, _PHRASES[answer.status], answer.media.encode(), len(answer.body))
            self.transport.write(head % values + answer.body)
            self.transport.close()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._in_head and self._head_bytes:
            self._refuse(
                HttpProblem(408, "timeout", f"the request took longer than {REQUEST_TIMEOUT_S:.0f} s to arrive")
            )
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """A reader that takes nothing for a minute is dropped: nothing is buffered for it for ever."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """asyncio: the client reads again."""
        super().resume_writing()
        self._resumed()

    def _resumed(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


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
