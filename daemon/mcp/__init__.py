"""MCP: which request goes to which transport. The SDK takes most of a second to import, so nothing here imports it at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from daemon.mcp.caller import Caller
from jmem.core.errors import NotFound
from jmem.core.mcp.sessions import Sessions
from jmem.core.wire.refusals import HttpProblem

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from daemon.mcp.early import Early
    from jmem.core.mcp.endpoints import Endpoints

PREFIX = "/mcp/"
WARM_AFTER_SECONDS = 1.0
"""How long after its start the daemon imports the SDK when nobody has asked for it: first commands go first."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Messages = list[MutableMapping[str, Any]]
Authenticate = Callable[[Scope, str, str], Awaitable[Caller]]
"""(scope, client, key) -> who asks; raises JmemError. The key is "" for the relay, which comes by the unix socket."""

ROUTES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("{client}", "sse", "{key}"): ("GET",),
    ("{client}", "sse", "{key}", "messages"): ("POST",),
    ("{client}", "http", "{key}"): ("GET", "POST", "DELETE"),
    ("{client}", "stdio"): ("POST",),
}

EARLY = ("http", "stdio")
"""The routes whose first requests are answered before the SDK is imported."""


class Mcp:
    """The transports of one server as an ASGI application. It raises JmemError before it has answered, never after."""

    def __init__(
        self,
        make_server: Callable[[], Server[Any]],
        secret: bytes,
        by_key: Authenticate,
        by_socket: Authenticate,
        *,
        make_early: Callable[[Sessions], Early] | None = None,
    ) -> None:
        """`make_early` makes what answers the first requests while the SDK is not there yet."""
        self._make_server = make_server
        self._make_early = make_early
        self._early: Early | None = None
        self._sessions = Sessions(secret)
        self._by_key = by_key
        self._by_socket = by_socket
        self._ready: asyncio.Task[Endpoints] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client, key, handler = _find(scope)
        caller = await (self._by_key if key else self._by_socket)(scope, client, key)
        if scope["method"] == "POST" and handler in EARLY and self._make_early is not None and not self._imported:
            body = await _read(receive)
            if await self._answer_early(handler, caller, scope, body, send):
                return
            receive = _again(body, receive)
        endpoints = await self.endpoints()
        await endpoints.serve(handler, caller, scope, receive, send)

    @property
    def _imported(self) -> bool:
        return self._ready is not None and self._ready.done()

    async def _answer_early(self, handler: str, caller: Caller, scope: Scope, body: Messages, send: Send) -> bool:
        """Answer without the SDK, if that can be done; its import begins when the program will need it next."""
        if self._early is None:
            assert self._make_early is not None
            self._early = await asyncio.to_thread(self._make_early, self._sessions)
        whole = b"".join(message.get("body", b"") for message in body)
        gone = body[-1]["type"] == "http.disconnect"
        answer = None if gone else self._early.answer(handler, caller, scope["headers"], whole)
        if answer is None:
            return False
        fields = [(b"content-length", str(len(answer.body)).encode()), *answer.headers]
        if answer.body:
            fields.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        if answer.last:
            self._begin()
        return True

    async def warm(self, after: float = WARM_AFTER_SECONDS) -> None:
        """Import in the background; for the daemon's start."""
        await asyncio.sleep(after)
        await self.endpoints()

    async def close(self) -> None:
        """End every open stream; for the daemon's end."""
        if self._ready is not None:
            await (await self.endpoints()).close()

    async def endpoints(self) -> Endpoints:
        """The transports; the first to ask waits for the import, the others wait with it."""
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[Endpoints]:
        if self._ready is None:
            self._ready = asyncio.create_task(asyncio.to_thread(self._build))
        return self._ready

    def _build(self) -> Endpoints:
        endpoints, sse, streamable = (
            importlib.import_module(f"jmem.core.mcp.{name}") for name in ("endpoints", "sse", "streamable")
        )
        server = self._make_server()
        made: Endpoints = endpoints.Endpoints(sse.Sse(server), streamable.Streamable(server, self._sessions))
        return made


async def _read(receive: Receive) -> Messages:
    """The messages of a request's body, up to its end or the client's."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _again(read: Messages, receive: Receive) -> Receive:
    """`receive` with what was read of it put back."""
    waiting = iter(read)

    async def next_message() -> MutableMapping[str, Any]:
        for message in waiting:
            return message
        return await receive()

    return next_message


def _find(scope: Scope) -> tuple[str, str, str]:
    """(client, key, handler's name) of a request; raises NotFound, HttpProblem 405."""
    given = scope["path"].removeprefix(PREFIX).split("/")
    for shape, methods in ROUTES.items():
        if len(shape) == len(given) and all(s == g or (s[0] == "{" and g) for s, g in zip(shape, given, strict=True)):
            if scope["method"] not in methods:
                allow = ", ".join(methods)
                raise HttpProblem(
                    405, "wrong_method", f"this address takes {allow}", headers=((b"allow", allow.encode()),)
                )
            return given[0], given[2] if len(given) > 2 else "", "_".join(s for s in shape if s[0] != "{")
    raise NotFound("there is nothing at this address", fix="jmem connect CLIENT --print")
