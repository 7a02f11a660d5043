"""From an ASGI scope to a route and back: the daemon's one entry for HTTP."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

import jmem
from daemon.http import Answer, Call, Route, Stream, Table
from daemon.problems import internal, problem_answer
from daemon.security import IDENTITY
from jmem.core import places
from jmem.core.actor import Actor
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.model import MAX_BATCH_BYTES, check_client
from jmem.core.wire.base import parse_query
from jmem.core.wire.refusals import HttpProblem, invalid_answer

if TYPE_CHECKING:
    from daemon.context import Daemon
    from daemon.mcp_gate import McpGate
    from daemon.security import Gate

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = MAX_BATCH_BYTES + 256 * 1024
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-jmem-version", jmem.__version__.encode()),
    (b"x-jmem-installation", places.installation().encode()),
]


class App:
    """The daemon's ASGI application. `mcp` answers everything below /mcp/."""

    def __init__(self, daemon: Daemon, gate: Gate, table: Table, pool: Executor, mcp: McpGate) -> None:  # fmt: skip
        self._daemon = daemon
        self._gate = gate
        self._table = table
        self._pool = pool
        self._mcp = mcp
        self._log = daemon.log.bind("http")
        self._boot = f"{int(daemon.started * 1000) & 0xFFFFFFF:07x}"
        self._count = 0
        self.active = 0
        self.last_used = time.monotonic()
        self.on_use: list[Callable[[], None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        self.active += 1
        self._count += 1
        request = f"{self._boot}-{self._count}"
        sent = _Sent(send, request)
        where = "-"
        try:
            where = await self._serve(scope, receive, sent, request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the edge: whatever it was, it is logged and answered
            self._log.error("request failed", request=request, exc_info=error)
            if sent.status == 0:
                await _answer(sent, internal(request))
            else:
                raise
        finally:
            self.active -= 1
            self.last_used = time.monotonic()
            for touch in self.on_use:
                touch()
            took = time.perf_counter() - began
            self._daemon.metrics.requests.add((where, scope["method"], str(sent.status)), took)
            self._log.info("request", request=request, method=scope["method"], route=where, status=sent.status,
                           ms=round(took * 1000, 2))  # fmt: skip

    async def _serve(self, scope: Scope, receive: Receive, send: _Sent, request: str) -> str:
        """Answer; the route's path for metrics and log."""
        headers = dict(scope["headers"])
        where = "-"
        try:
            identity = scope[IDENTITY] = self._gate.admit(scope, headers)
            self._check_home()
            path: str = scope["path"]
            if path.startswith("/mcp/"):
                where = "/mcp"
                _check_length(headers)
                await self._mcp(scope, _bounded(receive), send)
                return where
            route, params = self._route(path, scope["method"])
            where = route.path
            raw = await _body(receive, headers)
            call = Call(route, params, headers, self._daemon, identity, request)
            result = await self._run(route, call, scope["query_string"], raw)
        except ValidationError as error:
            result = problem_answer(invalid_answer(error))
        except JmemError as error:
            if send.status:  # too late to say it
                raise
            if error.status >= 500:
                self._log.warning("request failed", request=request, code=error.code, why=error.message, exc_info=error)
            result = problem_answer(error)
        except _Gone:
            return where
        if isinstance(result, Stream) and scope["method"] != "HEAD":
            await self._stream(send, receive, result)
        elif isinstance(result, Stream):
            await _answer(send, Answer(200, b"", result.media))
        else:
            await _answer(send, result)
        return where

    def _check_home(self) -> None:
        """What is written to files that have been removed is lost: say so and stop, rather than acknowledge it."""
        if not self._daemon.lock.intact():
            self._daemon.stop()
            raise StorageFailed(
                "the home of this daemon was removed while it ran", code="home_gone", fix="jmem daemon start"
            )

    def _route(self, path: str, method: str) -> tuple[Route, dict[str, str]]:
        methods, params = self._table.find(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is not None:
            return route, params
        if not methods:
            raise HttpProblem(404, "no_route", "there is nothing at this address", fix="see /openapi.json")
        allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
        raise HttpProblem(405, "wrong_method", f"this address takes {allow}", headers=((b"allow", allow.encode()),))

    async def _run(self, route: Route, call: Call, query: bytes, raw: bytes) -> Answer | Stream:
        if route.method in ("GET", "DELETE"):
            ask = parse_query(route.ask, query)
        else:
            _check_media(call.headers, raw)
            if query:
                raise HttpProblem(
                    422, "unknown_field", "this address takes no query string", fix="put it into the body"
                )
            ask = route.ask.model_validate_json(raw or b"{}")
        loop = asyncio.get_running_loop()
        if not route.asynchronous:
            return await loop.run_in_executor(self._pool, _call, route, call, ask)
        if route.needs_user:
            await loop.run_in_executor(self._pool, _bind, route, call)
        answer: Answer | Stream = await route.handler(call, ask)  # type: ignore[misc]
        return answer

    async def _stream(self, send: _Sent, receive: Receive, stream: Stream) -> None:
        """Send the pieces until there are no more or the reader goes away."""
        headers = [*_HEADERS, (b"content-type", stream.media.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pieces = stream.pieces if isinstance(stream.pieces, AsyncIterator) else self._threaded(stream.pieces)
        gone = asyncio.ensure_future(_disconnected(receive))
        pump = asyncio.ensure_future(_pump(send, pieces))
        try:
            await asyncio.wait((gone, pump), return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            pump.cancel()
            await asyncio.gather(gone, pump, return_exceptions=True)
            if hasattr(pieces, "aclose"):
                await pieces.aclose()

    async def _threaded(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Drive a blocking iterator in the pool, one piece at a time."""
        loop = asyncio.get_running_loop()
        try:
            while (piece := await loop.run_in_executor(self._pool, next, pieces, None)) is not None:
                yield piece
        finally:
            if inspect.isgenerator(pieces):
                await loop.run_in_executor(self._pool, pieces.close)


class _Gone(Exception):
    """The client left before its request was whole."""


class _Sent:
    """`send`, with the status remembered and the request's id added."""

    __slots__ = ("_request", "_send", "status")

    def __init__(self, send: Send, request: str) -> None:
        self._send = send
        self._request = request.encode()
        self.status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request)]
        await self._send(message)


def _bind(route: Route, call: Call) -> None:
    user = call.daemon.users.open(call.identity.user or "", create=route.writes)
    call.serve(user, Actor(check_client(call.identity.client)))


def _call(route: Route, call: Call, ask: Any) -> Answer | Stream:
    if route.needs_user:
        _bind(route, call)
    return route.handler(call, ask)  # type: ignore[return-value]


async def _answer(send: _Sent, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media.encode()), (b"content-length", str(len(answer.body)).encode()),
        *_HEADERS, *answer.headers,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _pump(send: _Sent, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _check_length(headers: dict[bytes, bytes]) -> None:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _too_large()


def _check_media(headers: Any, raw: bytes) -> None:
    media = headers.get(b"content-type")
    if raw and media is not None and media.split(b";")[0].strip().lower() != b"application/json":
        raise HttpProblem(415, "wrong_media_type", "the body has to be JSON", fix="send Content-Type: application/json")


async def _body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    _check_length(headers)
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return b""
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request":
        body: bytes = message["body"]
        return body
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        parts.append(message["body"])
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if not message["more_body"]:
            return b"".join(parts)
        message = await receive()


def _bounded(receive: Receive) -> Receive:
    """`receive` for applications that read the body themselves."""
    size = 0

    async def receive_some() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return receive_some


def _too_large() -> HttpProblem:
    # the connection stays open: what is still sent of the body is read and dropped, so that the client gets to its answer
    return HttpProblem(413, "too_large", f"a request holds at most {MAX_BODY_BYTES:,} bytes", limit=MAX_BODY_BYTES,
                       fix="send it in parts")  # fmt: skip
