"""Connections: personal MCP URLs, and programs that were let in by OAuth. For the signed-in person alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from pydantic import Field

from hosted.api.access import ChangeAsk, Name, RightsAsk, RotateAsk, database_of, token_of
from hosted.identity import grants, keys
from hosted.identity.errors import IdentityUnavailable
from hosted.identity.keys import Key, Made
from hosted.identity.principal import Person
from hosted.identity.supabase import SignInRefused, Supabase
from jmem.core.errors import NotFound
from jmem.core.wire.asks import ClientName

router = APIRouter(prefix="/connections", tags=["connections"])
_log = structlog.get_logger(__name__)


class ConnectAsk(RightsAsk):
    """A program to connect by a personal URL."""

    client: ClientName = Field(description="its name in histories and filters: claude, cursor, …")
    name: Name = Field("", description="what lists call it; the client's name by default")


@router.get("")
async def list_connections(request: Request, person: Person) -> dict[str, Any]:
    """Personal URLs and programs that were let in, with their last use."""
    async with database_of(request).tenant(person.user_id) as conn:
        urls = [key.public() for key in await keys.listed(conn, person.user_id) if key.kind == "connector"]
        programs = [grant.public() for grant in await grants.listed(conn, person.user_id)]
    return {"connections": sorted([*urls, *programs], key=lambda shown: str(shown["created_at"]), reverse=True)}


@router.post("", status_code=201)
async def connect(request: Request, person: Person, ask: ConnectAsk) -> dict[str, Any]:
    """A personal URL; it is shown this once."""
    async with database_of(request).tenant(person.user_id) as conn:
        made = await keys.create(conn, person.user_id, "connector", ask.rights(ask.client), name=ask.name)
    return _shown(request, made)


@router.patch("/{connection_id}")
async def change(request: Request, person: Person, connection_id: str, ask: ChangeAsk) -> dict[str, Any]:
    """Other permissions, in force with the next request."""
    async with database_of(request).tenant(person.user_id) as conn:
        if (key_id := _key_id(connection_id)) and (key := await _connector(conn, person.user_id, key_id)):
            return (await keys.change(conn, person.user_id, key_id, ask.rights(key.rights), name=ask.name)).public()
        known = await grants.get(conn, person.user_id, connection_id)
        return (
            await grants.change(conn, person.user_id, connection_id, ask.rights(known.rights), name=ask.name)
        ).public()


@router.post("/{connection_id}/rotate", status_code=201)
async def rotate(request: Request, person: Person, connection_id: UUID, ask: RotateAsk) -> dict[str, Any]:
    """A new personal URL with the same permissions; the old one serves on for a while."""
    async with database_of(request).tenant(person.user_id) as conn:
        if await _connector(conn, person.user_id, connection_id) is None:
            raise _unknown(str(connection_id))
        made = await keys.rotate(conn, person.user_id, connection_id, timedelta(seconds=ask.overlap_seconds))
    return _shown(request, made)


@router.delete("/{connection_id}")
async def disconnect(request: Request, person: Person, connection_id: str) -> dict[str, Any]:
    """The URL is worthless, or the program shut out, from the next request on."""
    async with database_of(request).tenant(person.user_id) as conn:
        if (key_id := _key_id(connection_id)) and await _connector(conn, person.user_id, key_id):
            return (await keys.revoke(conn, person.user_id, key_id)).public()
        revoked = (await grants.revoke(conn, person.user_id, connection_id)).public()
    supabase: Supabase = request.app.state.supabase
    try:  # it is refused here already; Supabase forgets its consent, so that it has to ask again
        await supabase.revoke_program(token_of(request), connection_id)
    except (SignInRefused, IdentityUnavailable) as error:
        _log.warning("program_not_revoked_at_supabase", code=error.code)
    return revoked


async def _connector(conn: Any, user_id: UUID, key_id: UUID) -> Key | None:
    try:
        found = await keys.get(conn, user_id, key_id)
    except NotFound:
        return None
    return found if found.kind == "connector" else None


def _key_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _unknown(connection_id: str) -> NotFound:
    return NotFound("there is no such connection", code="unknown_connection", id=connection_id)


def _shown(request: Request, made: Made) -> dict[str, Any]:
    base = f"{request.app.state.public_url.rstrip('/')}/mcp/{made.key.rights.client}"
    return {**made.key.public(), "sse": f"{base}/sse/{made.text}", "http": f"{base}/http/{made.text}"}
