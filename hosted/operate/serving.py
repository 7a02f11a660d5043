"""An ASGI app on a port, until a signal: the requests under way are finished first, and streams told to end."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from jmem.core.errors import Conflict, Invalid
from jmem.core.wire.connections import Bounded

DRAIN_S = 20
"""For which an end waits for the requests that are under way."""
KEEP_ALIVE_S = 75
"""Longer than load balancers keep an idle connection, so that it is they who close it."""
BACKLOG = 1024


class Interrupted(BaseException):
    """A signal asked the process to end."""


class Server(uvicorn.Server):
    """Calls `ready` once requests are answered, and `drain` when the end begins."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None, drain: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._ready, self._drain = ready, drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is there by now stays; to look through it for garbage again and again would hold all up
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and end."""
        self._drain()
        await super().shutdown(sockets)


def options(app: Any, *, body_timeout: float = 30.0, request_timeout: float = 60.0, **changes: Any) -> uvicorn.Config:
    """How every app of ours is served: no access log (a path may hold a key), no server header, and nobody's word on who
    asks is taken before the edge decides whose may be.

    The timeouts are the app's own (`hosted.edge.bodies`). A request that the app reads is refused by them; who sends a head
    or a body that nobody reads is cut off.
    """

    class Connection(Bounded):
        silence_s, head_s, rest_s = KEEP_ALIVE_S, body_timeout, request_timeout + body_timeout

    fixed = {
        "http": Connection,
        "proxy_headers": False,
        "log_config": None, "access_log": False, "server_header": False, "ws": "none", "lifespan": "on",
        "timeout_keep_alive": KEEP_ALIVE_S, "timeout_graceful_shutdown": DRAIN_S, "backlog": BACKLOG,
    }  # fmt: skip
    return uvicorn.Config(app, **{**fixed, **changes})


def listen(host: str, port: int, *, again: str) -> socket.socket:
    """A socket that listens; port 0 is any free one. Raises Conflict `port_taken`, naming `again` as what to run."""
    if not 0 <= port <= 65535:
        raise Invalid(f"{port} is no port: 0 to 65535", field="port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)  # at once: until somebody listens, a second one may bind the same port
    except OSError as error:
        made.close()
        raise Conflict(f"port {port} can't be used: {error.strerror}", code="port_taken", fix=again) from error
    return made


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Until its end, SIGINT and SIGTERM raise Interrupted in the main thread."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within `interruptible`: a signal waits for the end of this, so that what is started is known to be."""
    heard: list[int] = []
    before = {n: signal.signal(n, lambda n, frame: heard.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise Interrupted


def undisturbed() -> None:
    """From here to the end of `interruptible`, while what was started is stopped, a second signal changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def run(server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
    """Serve until a signal; raises Invalid when the app could not start (the reason is in the log)."""
    try:
        server.run(sockets=list(sockets))
    except SystemExit as error:
        raise Invalid("the backend could not start: see the lines above", code="not_started") from error
