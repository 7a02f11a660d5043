"""The HTTP+SSE transport of 2024-11-05: a GET opens a stream, POSTs beside it hold messages, answers come down the stream.

A stream belongs to the path it was opened at. Who a message comes from is decided by the POST's own path,
as for every other request; nothing is remembered from the GET but the queue of answers.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.mcp import exchange
from daemon.mcp.caller import Caller
from daemon.mcp.exchange import BadMessage, Era, Message
from daemon.mcp.streamable import (
    answer_response,
    chunk,
    next_event,
    refusal,
    stream_start,
    watch,
)

MAX_WAITING = 256
"""Answers that a client which does not read may let pile up; after that its own requests wait."""
CLOSE_SECONDS = 5.0
"""How long a stopping daemon waits for requests that came by streams."""


@dataclass(slots=True)
class Stream:
    """One open stream: a window of a client."""

    path: str
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

    def __init__(self, server: Server[Any]) -> None:
        self._server = server
        self._streams: dict[str, Stream] = {}

    def open(self, request: Request) -> Response:
        """The stream of a GET; its first event names the address for POSTs, in the same path."""
        return _Open(self, request.scope.get("root_path", "") + request.url.path)

    async def post(self, request: Request, caller: Caller) -> Response:
        """Take one message; its answer goes down the stream that `session_id` names, if that is of this path."""
        session = request.query_params.get("session_id", "")
        stream = self._streams.get(session)
        path = request.scope.get("root_path", "") + request.url.path
        if stream is None or path != stream.path + "/messages":
            return refusal("Session not found; open the stream again", 404)
        try:
            message = exchange.parse(await request.body())
            if exchange.is_request(message):
                version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER, stream.version)
                self._start(stream, message, exchange.era_of(message, version, None), caller, session)
        except BadMessage as bad:
            return answer_response(bad.answer, 400)
        return Response("Accepted", 202)

    def _start(self, stream: Stream, message: Message, era: Era, caller: Caller, session: str) -> None:
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
    def __init__(self, sse: Sse, path: str) -> None:
        super().__init__()
        self._sse = sse
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(self._path)
        session = self._sse.add(stream)
        gone = asyncio.create_task(watch(receive, stream.answers))
        try:
            await send(stream_start({}))
            event: bytes | None = f"event: endpoint\ndata: {self._path}/messages?session_id={session}\n\n".encode()
            while event is not None:
                await send(chunk(event))
                event = await next_event(stream.answers)
            await send(chunk(b"", last=True))
        finally:
            gone.cancel()
            self._sse.remove(session)
