"""API keys, for sync without a browser and for programs of one's own. For the signed-in person alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from hosted.api.access import ChangeAsk, Name, RightsAsk, RotateAsk, database_of
from hosted.identity import keys
from hosted.identity.keys import Key, Made
from hosted.identity.principal import Person
from jmem.core.errors import NotFound
from jmem.core.wire.asks import ClientName

router = APIRouter(prefix="/keys", tags=["keys"])


class KeyAsk(RightsAsk):
    """A key to make."""

    name: Name = Field(description="what it is for")
    client: ClientName = Field("api", description="how histories name what it does")
    expires_in_days: int | None = Field(None, ge=1, le=3650, description="null: until it is revoked")


@router.get("")
async def list_keys(request: Request, person: Person) -> dict[str, Any]:
    """The keys in force, newest first, with their last use; never their text."""
    async with database_of(request).tenant(person.user_id) as conn:
        found = await keys.listed(conn, person.user_id)
    return {"keys": [key.public() for key in found if key.kind == "api"]}


@router.post("", status_code=201)
async def make(request: Request, person: Person, ask: KeyAsk) -> dict[str, Any]:
    """A key; `key` is shown this once."""
    lifetime = None if ask.expires_in_days is None else timedelta(days=ask.expires_in_days)
    async with database_of(request).tenant(person.user_id) as conn:
        made = await keys.create(conn, person.user_id, "api", ask.rights(ask.client), name=ask.name, lifetime=lifetime)
    return _shown(made)


@router.patch("/{key_id}")
async def change(request: Request, person: Person, key_id: UUID, ask: ChangeAsk) -> dict[str, Any]:
    """Another name or other permissions, in force with the next request."""
    async with database_of(request).tenant(person.user_id) as conn:
        known = await _api_key(conn, person.user_id, key_id)
        return (await keys.change(conn, person.user_id, key_id, ask.rights(known.rights), name=ask.name)).public()


@router.post("/{key_id}/rotate", status_code=201)
async def rotate(request: Request, person: Person, key_id: UUID, ask: RotateAsk) -> dict[str, Any]:
    """A new key with the same permissions; the old one serves on for a while."""
    async with database_of(request).tenant(person.user_id) as conn:
        await _api_key(conn, person.user_id, key_id)
        return _shown(await keys.rotate(conn, person.user_id, key_id, timedelta(seconds=ask.overlap_seconds)))


@router.delete("/{key_id}")
async def revoke(request: Request, person: Person, key_id: UUID) -> dict[str, Any]:
    """The key is worthless from the next request on."""
    async with database_of(request).tenant(person.user_id) as conn:
        await _api_key(conn, person.user_id, key_id)
        return (await keys.revoke(conn, person.user_id, key_id)).public()


async def _api_key(conn: Any, user_id: UUID, key_id: UUID) -> Key:
    found = await keys.get(conn, user_id, key_id)
    if found.kind != "api":
        raise NotFound("there is no such key", code="unknown_key", id=str(key_id))
    return found


def _shown(made: Made) -> dict[str, Any]:
    return {**made.key.public(), "key": made.text}
