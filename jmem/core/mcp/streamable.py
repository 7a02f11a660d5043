"""Streamable HTTP: a POST holds one message, and its answer is JSON.

The answer becomes an event stream only when there is something to say before it, or when it takes so long
that the connection must be kept alive. There is no stream for a GET: this server never speaks first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER, find_duplicated_routing_header
from mcp_types import HEADER_MISMATCH, INVALID_REQUEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jmem.core.mcp import exchange
from jmem.core.mcp.asker import Asker
from jmem.core.mcp.exchange import BadMessage, Emit, Message
from jmem.core.mcp.sessions import SESSION_HEADER, Sessions

KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
CONVERSATION_HEADER = "x-jmem-conversation"


@dataclass(frozen=True, slots=True)
class Streamable:
    """The endpoint of one server. `Sessions` says which session ids it has given out."""

    server: Server[Any]
    sessions: Sessions

    async def handle(self, request: Request, caller: Asker) -> Response:
        """Answer a request of a caller whose right to be here is already proved."""
        if request.method == "GET":
            return Response(status_code=405, headers={"Allow": "POST, DELETE"})
        session = request.headers.get(SESSION_HEADER)
        if session is not None and not self.sessions.known(session, caller.account, caller.client):
            return refusal("Session not found", 404)
        if request.method == "DELETE":
            if session is None:
                return refusal("Which session? Mcp-Session-Id is missing", 400)
            self.sessions.end(session)
            return Response(status_code=204)
        try:
            return await self._post(request, caller, session)
        except BadMessage as bad:
            return answer_response(bad.answer, exchange.status_of(bad.answer, None))

    async def relay(self, request: Request, caller: Asker) -> Response:
        """Answer one line of a stdio client. The relay's whole life is one conversation, which it names itself."""
        try:
            message = exchange.parse(await request.body())
            if not exchange.is_request(message):
                return Response(status_code=202)
            era = exchange.era_of(message, request.headers.get(MCP_PROTOCOL_VERSION_HEADER), None)
        except BadMessage as bad:
            return answer_response(bad.answer, 200)
        known = caller.in_session(request.headers.get(CONVERSATION_HEADER))
        return answer_response(await exchange.answer(self.server, message, era, caller=known), 200)

    async def _post(self, request: Request, caller: Asker, session: str | None) -> Response:
        wants_json, wants_stream = accepted(request.headers.get("accept", "*/*"))
        if not (wants_json or wants_stream):
            return refusal("Accept must name application/json and text/event-stream", 406)
        if not request.headers.get("content-type", "").lower().startswith("application/json"):
            return refusal("Content-Type must be application/json", 415)
        message = exchange.parse(await request.body())
        version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
        if not exchange.is_request(message):
            if "method" in message:
                exchange.check_notification(version)
            return Response(status_code=202)
        headers = {name: value.strip() for name, value in request.headers.items()}
        if name := find_duplicated_routing_header(request.headers.items()):
            raise BadMessage(HEADER_MISMATCH, f"{name} header appears more than once", id=message["id"])
        era = exchange.era_of(message, version, headers)
        if era.modern:
            exchange.check_param_headers(self.server, message, headers)
        extra: dict[str, str] = {}
        if message["method"] == "initialize":
            session = session or self.sessions.new(caller.account, caller.client)
            extra[SESSION_HEADER] = session
        known = caller.in_session(session)

        async def run(emit: Emit | None) -> Message:
            return await exchange.answer(self.server, message, era, caller=known, emit=emit, headers=request.headers)

        if not wants_stream:
            reply = await run(None)
            return answer_response(reply, exchange.status_of(reply, era), extra)
        return LazyStream(run, lambda reply: exchange.status_of(reply, era), extra, streamed=not wants_json)


class LazyStream(Response):
    """The answer of a running request: JSON when it comes first, else an event stream that ends with it."""

    def __init__(
        self,
        run: Callable[[Emit], Awaitable[Message]],
        status: Callable[[Message], int],
        headers: dict[str, str],
        *,
        streamed: bool,
    ) -> None:
        super().__init__(headers=headers)
        self._run = run
        self._status = status
        self._extra = headers
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        events: asyncio.Queue[Message | None] = asyncio.Queue(maxsize=64)
        replies: list[Message] = []

        async def work() -> None:
            replies.append(await self._run(events.put))
            await events.put(None)

        tasks = [asyncio.create_task(work()), asyncio.create_task(watch(receive, events))]
        try:
            await self._relay(events, replies, scope, receive, send)
        finally:
            for task in tasks:
                task.cancel()

    async def _relay(
        self, events: asyncio.Queue[Message | None], replies: list[Message], scope: Scope, receive: Receive, send: Send
    ) -> None:
        event = await next_event(events)
        if event is None and replies and not self._streamed:
            await answer_response(replies[0], self._status(replies[0]), self._extra)(scope, receive, send)
            return
        await send(stream_start(self._extra))
        while event is not None:
            await send(chunk(event))
            event = await next_event(events)
        await send(chunk(sse_event(replies[0]) if replies else b"", last=True))


async def watch(receive: Receive, events: asyncio.Queue[Message | None]) -> None:
    """Put None into the queue when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await events.put(None)


async def next_event(events: asyncio.Queue[Message | None]) -> bytes | None:
    """The next message as a server-sent event, a comment when there was none for a while, None at the end."""
    try:
        message = await asyncio.wait_for(events.get(), KEEP_ALIVE_SECONDS)
    except TimeoutError:
        return KEEP_ALIVE
    return None if message is None else sse_event(message)


def accepted(accept: str) -> tuple[bool, bool]:
    """Whether an Accept header takes JSON, and whether it takes an event stream."""
    kinds = {part.split(";")[0].strip().lower() for part in accept.split(",")}
    return (
        not kinds.isdisjoint(("*/*", "application/*", "application/json")),
        not kinds.isdisjoint(("*/*", "text/*", "text/event-stream")),
    )


def refusal(text: str, status: int) -> Response:
    """A JSON-RPC error that answers no message in particular."""
    return answer_response(BadMessage(INVALID_REQUEST, text).answer, status)


def answer_response(reply: Message, status: int, headers: dict[str, str] | None = None) -> Response:
    """A JSON-RPC message as a whole response."""
    return Response(exchange.encode(reply), status, headers, "application/json")


def sse_event(message: Message) -> bytes:
    """A JSON-RPC message as one server-sent event."""
    return b"event: message\ndata: " + exchange.encode(message) + b"\n\n"


def stream_start(headers: dict[str, str]) -> dict[str, Any]:
    """The ASGI message that opens an event stream."""
    fields = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no", **headers}
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in fields.items()],
    }


def chunk(body: bytes, *, last: bool = False) -> dict[str, Any]:
    """The ASGI message of a part of a body."""
    return {"type": "http.response.body", "body": body, "more_body": not last}
