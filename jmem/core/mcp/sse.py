"""The HTTP+SSE transport of 2024-11-05: a GET opens a stream, POSTs beside it hold messages, answers come down the stream.

A stream belongs to the path it was opened at. Who a message comes from is decided by the POST's own path,
as for every other request; nothing is remembered from the GET but the queue of answers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message as Sent
from starlette.types import Receive, Scope, Send

from jmem.core.mcp import exchange
from jmem.core.mcp.asker import Asker
from jmem.core.mcp.exchange import BadMessage, Message
from jmem.core.mcp.streamable import (
    KEEP_ALIVE,
    answer_response,
    chunk,
    next_event,
    refusal,
    stream_start,
    watch,
)

MAX_WAITING = 256
"""Answers that a client which does not read may let pile up; after that its own requests wait."""
MAX_RUNNING = 256
"""Requests of one stream that may be under way; more are refused."""
SEND_SECONDS = 30.0
"""A client that takes nothing for so long has gone, or reads too slowly: its stream ends."""
CLOSE_SECONDS = 5.0
"""How long a stopping server waits for requests that came by streams."""
MESSAGES = "/messages"
NO_STREAM = "Session not found; open the stream again"

Elsewhere = Callable[[str, str, str | None, bytes], Awaitable[int]]
"""(session, path of the stream, protocol version, message) -> the status of handing it to whoever holds the stream."""
Still = Callable[[str], Awaitable[bool]]
"""Whether who opened the stream of a path may still hold it; asked whenever nothing was said for a while."""


@dataclass(slots=True)
class Stream:
    """One open stream: a window of a client."""

    path: str
    owner: str
    answers: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    version: str = LATEST_HANDSHAKE_VERSION
    """What initialize agreed on. After a restart clients open a new stream without one, and the newest loses nothing."""

    def end(self) -> None:
        """Close the stream after what waits in it."""
        if self.answers.full():
            self.answers.get_nowait()
        self.answers.put_nowait(None)


class Sse:
    """The endpoint of one server."""

    def __init__(
        self, server: Server[Any], *, elsewhere: Elsewhere | None = None, max_streams: int | None = None,
        still: Still | None = None,
    ) -> None:  # fmt: skip
        """`elsewhere` hands on messages for streams of other processes; `max_streams` is the most of one owner."""
        self._server = server
        self._elsewhere = elsewhere
        self._max_streams = max_streams
        self._still = still
        self._streams: dict[str, Stream] = {}

    def open(self, request: Request, caller: Asker) -> Response:
        """The stream of a GET; its first event names the address for POSTs, in the same path."""
        path = _path(request)
        if self._max_streams is not None and self.count(caller.owner) >= self._max_streams:
            return refusal("This account has too many open streams", 429)
        return _Open(self, Stream(path, caller.owner), self._still)

    async def post(self, request: Request, caller: Asker) -> Response:
        """Take one message; its answer goes down the stream that `session_id` names, if that is of this path."""
        session = request.query_params.get("session_id", "")
        path = _path(request).removesuffix(MESSAGES)
        stream = self.find(session, path)
        if stream is None and (self._elsewhere is None or session in self._streams):
            return refusal(NO_STREAM, 404)
        body = await request.body()
        version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
        try:
            message = exchange.parse(body)
            if stream is not None:
                status = self.take(stream, session, message, version, caller)
            else:
                assert self._elsewhere is not None
                status = await self._elsewhere(session, path, version, body)
        except BadMessage as bad:
            return answer_response(bad.answer, 400)
        match status:
            case 202:
                return Response("Accepted", 202)
            case 404:
                return refusal(NO_STREAM, 404)
            case 429:
                return refusal("Too many requests of this session are under way", 429)
        return refusal("The message was not taken", status)

    def find(self, session: str, path: str) -> Stream | None:
        """The stream of a session, if it was opened at this path."""
        stream = self._streams.get(session)
        return stream if stream is not None and stream.path == path else None

    def get(self, session: str) -> Stream | None:
        """The stream of a session, whatever its path."""
        return self._streams.get(session)

    def count(self, owner: str | None = None) -> int:
        """How many streams are open, of one owner or at all."""
        return sum(owner is None or stream.owner == owner for stream in self._streams.values())

    def take(self, stream: Stream, session: str, message: Message, version: str | None, caller: Asker) -> int:
        """Begin to answer a message down the stream; the status of its POST. Raises BadMessage."""
        if not exchange.is_request(message):
            return 202
        era = exchange.era_of(message, version or stream.version, None)
        if len(stream.tasks) >= MAX_RUNNING:
            return 429

        async def run() -> None:
            reply = await exchange.answer(
                self._server, message, era, caller=caller.in_session(session), emit=stream.answers.put
            )
            if message["method"] == "initialize" and "result" in reply:
                stream.version = reply["result"]["protocolVersion"]
            await stream.answers.put(reply)

        task = asyncio.create_task(run())
        stream.tasks.add(task)
        task.add_done_callback(stream.tasks.discard)
        return 202

    def add(self, stream: Stream) -> str:
        """Make a stream known; its id, which can't be guessed."""
        session = secrets.token_hex(16)
        self._streams[session] = stream
        return session

    async def close(self) -> None:
        """End every stream once its requests are answered; clients open them again."""
        streams = list(self._streams.values())
        if tasks := [task for stream in streams for task in stream.tasks]:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for stream in streams:
            stream.end()

    def remove(self, session: str) -> None:
        """Forget a stream and stop what still works for it."""
        for task in self._streams.pop(session).tasks:
            task.cancel()


class _Open(Response):
    def __init__(self, sse: Sse, stream: Stream, still: Still | None) -> None:
        super().__init__()
        self._sse = sse
        self._stream = stream
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._stream
        session = self._sse.add(stream)
        gone = asyncio.create_task(watch(receive, stream.answers))
        try:
            await send(stream_start({}))
            event: bytes | None = f"event: endpoint\ndata: {stream.path}{MESSAGES}?session_id={session}\n\n".encode()
            while event is not None:
                if not await _sent(send, chunk(event)):
                    return
                event = await next_event(stream.answers)
                if event == KEEP_ALIVE and self._still is not None and not await self._still(stream.path):
                    break
            await _sent(send, chunk(b"", last=True))
        finally:
            gone.cancel()
            self._sse.remove(session)


async def _sent(send: Send, message: Sent) -> bool:
    """Send, unless the client takes too long to read."""
    try:
        await asyncio.wait_for(send(message), SEND_SECONDS)
    except TimeoutError:
        return False
    return True


def _path(request: Request) -> str:
    """The path as the client wrote it, before whatever is mounted below a part of it."""
    path: str = request.scope.get("root_path", "") + request.url.path
    return path
