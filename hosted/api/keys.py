"""API keys, for sync without a browser and for programs of one's own. For the signed-in person alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from fastapi import Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.api import access
from hosted.api.access import ChangeAsk, Label, RightsAsk, RotateAsk
from hosted.api.routing import Call, Routes, answer
from hosted.identity import keys
from hosted.identity.keys import Key, Made
from hosted.identity.principal import person
from jmem.core.errors import NotFound
from jmem.core.wire.asks import ClientName
from jmem.core.wire.base import NoQuery

routes = Routes("keys")


class KeyAsk(RightsAsk):
    """A key to make."""

    name: Label = Field(min_length=1, description="what it is for")
    client: ClientName = Field("api", description="how histories name what it does")
    expires_in_days: int | None = Field(None, ge=1, le=3650, description="null: until it is revoked")


@routes.route("GET", "/keys", NoQuery, "API keys", answers={200: access.Keys}, who=person)
async def list_keys(call: Call, ask: NoQuery) -> Response:
    """The keys in force, with their last use; never their text."""
    async with call.backend.database.tenant(call.principal.user_id) as conn:
        found = await keys.listed(conn, call.principal.user_id)
    return answer({"keys": access.only("api", [key.public() for key in found])})


@routes.route("POST", "/keys", KeyAsk, "Make an API key", answers={201: access.NewKey}, problems=(409,), who=person)
async def make(call: Call, ask: KeyAsk) -> Response:
    """Its text is shown this once."""
    lifetime = None if ask.expires_in_days is None else timedelta(days=ask.expires_in_days)
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        made = await keys.create(conn, user_id, "api", ask.rights(ask.client), name=ask.name, lifetime=lifetime)
    return _shown(made)


@routes.route("PATCH", "/keys/{key}", ChangeAsk, "Change an API key", answers={200: access.Access}, problems=(404,), who=person)  # fmt: skip
async def change(call: Call, ask: ChangeAsk) -> Response:
    """Another name or other permissions, in force with the next request."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        known = await _asked(conn, user_id, call)
        return answer((await keys.change(conn, user_id, known.id, ask.rights(known.rights), name=ask.name)).public())


@routes.route("POST", "/keys/{key}/rotate", RotateAsk, "Rotate an API key", answers={201: access.NewKey}, problems=(404, 409), who=person)  # fmt: skip
async def rotate(call: Call, ask: RotateAsk) -> Response:
    """A new key with the same permissions; the old one serves on for a while."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        known = await _asked(conn, user_id, call)
        return _shown(await keys.rotate(conn, user_id, known.id, timedelta(seconds=ask.overlap_seconds)))


@routes.route("DELETE", "/keys/{key}", NoQuery, "Revoke an API key", answers={200: access.Access}, problems=(404,), who=person)  # fmt: skip
async def revoke(call: Call, ask: NoQuery) -> Response:
    """It is worthless from the next request on."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        return answer((await keys.revoke(conn, user_id, (await _asked(conn, user_id, call)).id)).public())


async def _asked(conn: AsyncConnection, user_id: UUID, call: Call) -> Key:
    asked = call.params["key"]
    try:
        found = await keys.get(conn, user_id, UUID(asked))
    except ValueError:
        found = None
    if found is None or found.kind != "api":
        raise NotFound("there is no such key", code="unknown_key", id=asked)
    return found


def _shown(made: Made) -> Response:
    return answer({**made.key.public(), "key": made.text}, 201)
