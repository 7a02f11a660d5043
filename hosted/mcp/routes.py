"""The addresses. Who asks is told by the key in a personal URL's path, or by the token of a program; by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from hosted.api.routing import body_of
from hosted.db.engine import DATABASE_FAILURES
from hosted.edge.compose import origins_of
from hosted.identity.errors import BadToken
from hosted.identity.principal import Identity, Principal
from hosted.identity.services import Services
from hosted.mcp.caller import Caller
from hosted.mcp.metadata import discovery
from hosted.mcp.relay import Relay
from hosted.mcp.server import make_server
from hosted.mcp.tools import Tools
from hosted.memories.service import Backend
from jmem.core.errors import JmemError
from jmem.core.mcp.endpoints import Endpoints
from jmem.core.mcp.sessions import Sessions
from jmem.core.mcp.sse import Sse
from jmem.core.mcp.streamable import Streamable
from jmem.core.wire.refusals import HttpProblem

MAX_MESSAGE = 512 * 1024
"""Bytes of one message: a memory of 64 KiB with every byte escaped, and room."""
MAX_STREAMS = 64
"""Open streams of one account in one replica."""
PERSONAL: Mapping[str, tuple[str, ...]] = {
    "/mcp/{client}/sse/{key}": ("GET",),
    "/mcp/{client}/sse/{key}/messages": ("POST",),
    "/mcp/{client}/http/{key}": ("GET", "POST", "DELETE"),
}
HANDLERS: Mapping[str, str] = dict(zip(PERSONAL, ("sse", "sse_messages", "http"), strict=True))
SIGNED_IN = "/mcp"


@dataclass(frozen=True, slots=True)
class Parts:
    """What every address stands on."""

    backend: Backend
    identity: Identity
    endpoints: Endpoints
    origins: frozenset[str]

    def check_origin(self, scope: Scope) -> None:
        """Refuse what a web page sends that is neither this server's own nor named in the settings."""
        for origin in Headers(scope=scope).getlist("origin"):
            if origin not in self.origins:
                raise HttpProblem(403, "wrong_origin", "this page may not speak to the memory",
                                  fix="name its origin in CORS_ORIGINS")  # fmt: skip

    def caller(self, principal: Principal) -> Caller:
        """The principal with the account's memories."""
        return Caller(self.backend.of(principal.user_id), principal)

    async def by_key(self, client: str, key: str) -> Caller:
        """Who a personal URL belongs to. A wrong key, another program's and a path that never was look the same."""
        try:
            return self.caller(await self.identity.of_connector(client, key))
        except BadToken:
            raise HTTPException(404) from None

    async def by_path(self, path: str) -> Caller:
        """The same for the path of a stream."""
        _, _, client, _, key = path.split("/")
        try:
            return self.caller(await self.identity.of_connector(client, key))
        except BadToken:
            raise HttpProblem(404, "no_route", "there is nothing at this address") from None

    async def still(self, path: str) -> bool:
        """Whether the key in the path of an open stream still serves; while nobody can tell, it does."""
        _, _, client, _, key = path.split("/")
        try:
            await self.identity.connector_again(client, key)
        except JmemError:
            return False
        except DATABASE_FAILURES:
            return True
        return True


class Personal:
    """One address of a personal URL as an ASGI application."""

    def __init__(self, parts: Parts, handler: str, methods: tuple[str, ...]) -> None:
        self._parts, self._handler, self._methods = parts, handler, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        check_method(scope, self._methods)
        self._parts.check_origin(scope)
        given = scope["path_params"]
        caller = await self._parts.by_key(given["client"], given["key"])
        await self._parts.endpoints.serve(self._handler, caller, scope, await bounded(scope, receive), send)


class SignedIn:
    """The address for programs that sign in by OAuth, as an ASGI application."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._parts.check_origin(scope)
        principal = await self._parts.identity.of_bearer(bearer(scope), accepted=frozenset(("oauth",)))
        check_method(scope, PERSONAL["/mcp/{client}/http/{key}"])
        caller = self._parts.caller(principal)
        await self._parts.endpoints.serve("http", caller, scope, await bounded(scope, receive), send)


def bearer(scope: Scope) -> str:
    """The token of a request; raises BadToken."""
    given = Headers(scope=scope).getlist("authorization")
    if not given:
        raise BadToken("this needs a token of a program that was let in", code="unauthorized", missing=True)
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise BadToken("the Authorization header names no bearer token")
    return token.strip()


def check_method(scope: Scope, methods: tuple[str, ...]) -> None:
    """Refuse a method that an address doesn't take."""
    if scope["method"] not in methods:
        raise HTTPException(405, headers={"allow": ", ".join(methods)})


async def bounded(scope: Scope, receive: Receive) -> Receive:
    """`receive` with the body read already; raises TooLarge before more than MAX_MESSAGE is held."""
    body = await body_of(Request(scope, receive), MAX_MESSAGE)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def install(app: FastAPI) -> None:
    """Add the addresses to the app. Programs can sign in where the app knows the project they sign in at."""
    services: Services | None = app.state.services
    backend: Backend = app.state.backend
    public_url = services.public_url if services else ""
    own = urlsplit(public_url)
    tools = Tools(public_url)
    server = make_server(tools, public_url)
    sse: Sse
    parts: Parts

    async def authenticate(path: str) -> Caller:
        return await parts.by_path(path)

    async def still(path: str) -> bool:
        return await parts.still(path)

    relay = Relay(backend.bus, authenticate)
    sse = Sse(server, elsewhere=relay.hand_on, max_streams=MAX_STREAMS, still=still)
    relay.start(sse)
    # no secret: an id grants nothing that its connection doesn't, and must be known to every replica
    endpoints = Endpoints(sse, Streamable(server, Sessions(b"hosted")))
    origins = frozenset((f"{own.scheme}://{own.netloc}", *origins_of(app.state.settings)))
    parts = Parts(backend, app.state.identity, endpoints, origins)
    app.state.mcp = sse
    for path, methods in PERSONAL.items():
        app.router.routes.append(Route(path, Personal(parts, HANDLERS[path], methods), include_in_schema=False))
    if services is not None:
        app.router.routes.append(Route(SIGNED_IN, SignedIn(parts), include_in_schema=False))
        app.router.routes.extend(discovery(public_url, SIGNED_IN, services.supabase_url))
    _end_with(app, backend, sse)


def _end_with(app: FastAPI, backend: Backend, sse: Sse) -> None:
    """End the streams when the process is told to end, or at the latest with the app."""
    ending: set[asyncio.Task[Any]] = set()

    def end() -> None:
        if not ending:
            ending.add(asyncio.get_running_loop().create_task(sse.close()))

    @asynccontextmanager
    async def streams() -> AsyncIterator[None]:
        yield
        end()
        await asyncio.gather(*ending)

    backend.bus.on_end(end)
    app.state.contexts.append(streams)
