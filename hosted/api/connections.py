"""Connections: personal MCP URLs, and programs that were let in by OAuth. For the signed-in person alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from fastapi import Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.api import access
from hosted.api.access import ChangeAsk, Label, RightsAsk, RotateAsk
from hosted.api.routing import Call, Routes, answer
from hosted.identity import grants, keys
from hosted.identity.errors import IdentityUnavailable
from hosted.identity.keys import Key, Made
from hosted.identity.principal import person, token_of
from hosted.identity.services import services_of
from hosted.identity.supabase import SignInRefused
from jmem.core.errors import NotFound
from jmem.core.wire.asks import ClientName
from jmem.core.wire.base import NoQuery

routes = Routes("connections")
_log = structlog.get_logger(__name__)


class ConnectAsk(RightsAsk):
    """A program to connect by a personal URL."""

    client: ClientName = Field(description="its name in histories and filters: claude, cursor, …")
    name: Label = Field("", description="what lists call it; the client's name by default")


@routes.route("GET", "/connections", NoQuery, "Connected programs", answers={200: access.Connections}, who=person)
async def connections(call: Call, ask: NoQuery) -> Response:
    """Personal URLs and programs that were let in, with their last use."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        urls = access.only("connector", [key.public() for key in await keys.listed(conn, user_id)])
        programs = [grant.public() for grant in await grants.listed(conn, user_id)]
    return answer({"connections": sorted([*urls, *programs], key=lambda shown: str(shown["created_at"]), reverse=True)})


@routes.route("POST", "/connections", ConnectAsk, "Connect a program", answers={201: access.NewConnection}, problems=(409,), who=person)  # fmt: skip
async def connect(call: Call, ask: ConnectAsk) -> Response:
    """A personal URL; it is shown this once."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        made = await keys.create(conn, user_id, "connector", ask.rights(ask.client), name=ask.name)
    return answer(_shown(call, made), 201)


@routes.route("PATCH", "/connections/{connection}", ChangeAsk, "Change what a program may do", answers={200: access.Access}, problems=(404,), who=person)  # fmt: skip
async def change(call: Call, ask: ChangeAsk) -> Response:
    """Other permissions, in force with the next request."""
    asked, user_id = call.params["connection"], call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        if key := await _connector(conn, user_id, asked):
            return answer((await keys.change(conn, user_id, key.id, ask.rights(key.rights), name=ask.name)).public())
        known = await grants.get(conn, user_id, asked)
        return answer((await grants.change(conn, user_id, asked, ask.rights(known.rights), name=ask.name)).public())


@routes.route("POST", "/connections/{connection}/rotate", RotateAsk, "A new personal URL", answers={201: access.NewConnection}, problems=(404, 409), who=person)  # fmt: skip
async def rotate(call: Call, ask: RotateAsk) -> Response:
    """With the same permissions; the old one serves on for a while."""
    asked, user_id = call.params["connection"], call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        key = await _connector(conn, user_id, asked)
        if key is None:
            raise NotFound("there is no such connection", code="unknown_connection", id=asked)
        made = await keys.rotate(conn, user_id, key.id, timedelta(seconds=ask.overlap_seconds))
    return answer(_shown(call, made), 201)


@routes.route("DELETE", "/connections/{connection}", NoQuery, "Disconnect a program", answers={200: access.Access}, problems=(404,), who=person)  # fmt: skip
async def disconnect(call: Call, ask: NoQuery) -> Response:
    """The URL is worthless, or the program shut out, from the next request on."""
    asked, user_id = call.params["connection"], call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        if key := await _connector(conn, user_id, asked):
            return answer((await keys.revoke(conn, user_id, key.id)).public())
        revoked = (await grants.revoke(conn, user_id, asked)).public()
    try:  # it is refused here already; Supabase forgets its consent too, so that it has to ask again
        await services_of(call.request).supabase.revoke_program(token_of(call.request), asked)
    except (SignInRefused, IdentityUnavailable) as error:
        _log.warning("program_not_revoked_at_supabase", code=error.code)
    return answer(revoked)


async def _connector(conn: AsyncConnection, user_id: UUID, asked: str) -> Key | None:
    """The key of a personal URL, when it is one's id; a program's id may look the same."""
    try:
        found = await keys.get(conn, user_id, UUID(asked))
    except (ValueError, NotFound):
        return None
    return found if found.kind == "connector" else None


def _shown(call: Call, made: Made) -> dict[str, Any]:
    base = f"{services_of(call.request).public_url}/mcp/{made.key.rights.client}"
    return {**made.key.public(), "sse": f"{base}/sse/{made.text}", "http": f"{base}/http/{made.text}"}
