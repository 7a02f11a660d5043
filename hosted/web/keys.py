"""API keys: made, shown once, changed, renewed, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from hosted.identity import keys
from hosted.identity.keys import OVERLAP
from hosted.identity.lookup import Rights
from hosted.web.flashes import Flash
from hosted.web.rights import rights_asked, rights_page, typed
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import JmemError, NotFound

pages = Pages(private=True)
DAYS = {"30": 30, "90": 90, "365": 365}


@pages.get("/keys/new")
async def new(visit: Visit) -> Response:
    """What it is for, and what it may do."""
    return _new(visit)


def _new(visit: Visit, status: int = 200, problem: str = "") -> Response:
    return visit.page("new_key.html", status, problem=problem, name=visit.form.get("name"), days=visit.form.get("days"),
                      rights=typed(visit.form) if problem else Rights("api"))  # fmt: skip


@pages.post("/keys/new")
async def make(visit: Visit) -> Response:
    """Make it, and show it this once."""
    form, user_id = visit.form, visit.me.user_id
    days = DAYS.get(form.get("days"))
    name = form.get("name").strip()
    if not name:
        return _new(visit, 422, "Say what the key is for, so that you know it again.")
    try:
        async with visit.site.backend.database.tenant(user_id) as conn:
            made = await keys.create(conn, user_id, "api", rights_asked(form, "api"), name=name,
                                     lifetime=None if days is None else timedelta(days=days))  # fmt: skip
    except JmemError as error:
        if error.status >= 500:
            raise
        return _new(visit, 422, error.message)
    return visit.page("key.html", key=made.key.public(), text=made.text)


@pages.get("/keys/{id}")
async def key(visit: Visit) -> Response:
    """One key: its permissions, and the ways to end it."""
    return rights_page(visit, await _one(visit), "key")


@pages.post("/keys/{id}")
async def change(visit: Visit) -> Response:
    """Other permissions or another name, from the next request on."""
    known, user_id = await _one(visit), visit.me.user_id
    try:
        async with visit.site.backend.database.tenant(user_id) as conn:
            given, name = rights_asked(visit.form, known["client"]), visit.form.get("name") or None
            await keys.change(conn, user_id, UUID(known["id"]), given, name=name)
    except JmemError as error:
        if error.status >= 500:
            raise
        return rights_page(visit, known, "key", error.message)
    return visit.go("/connections", Flash("connection_changed"))


@pages.post("/keys/{id}/rotate")
async def rotate(visit: Visit) -> Response:
    """A new text, shown this once; the old one ends at once or after a day."""
    known, user_id = await _one(visit), visit.me.user_id
    overlap = timedelta(0) if visit.form.get("old") == "now" else OVERLAP
    async with visit.site.backend.database.tenant(user_id) as conn:
        made = await keys.rotate(conn, user_id, UUID(known["id"]), overlap)
    return visit.page("key.html", key=made.key.public(), text=made.text)


@pages.post("/keys/{id}/revoke")
async def revoke(visit: Visit) -> Response:
    """Worthless from its next use on."""
    known, user_id = await _one(visit), visit.me.user_id
    async with visit.site.backend.database.tenant(user_id) as conn:
        await keys.revoke(conn, user_id, UUID(known["id"]))
    return visit.go("/connections", Flash("key_revoked"))


async def _one(visit: Visit) -> dict[str, Any]:
    user_id = visit.me.user_id
    try:
        asked = UUID(visit.request.path_params["id"])
    except ValueError:
        raise NotFound("there is no such key") from None
    async with visit.site.backend.database.tenant(user_id) as conn:
        found = await keys.get(conn, user_id, asked)
    if found.kind != "api":
        raise NotFound("there is no such key")
    return {**found.public(), "program": None}
