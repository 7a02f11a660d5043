"""Programs: which are connected, what each may do and when it last asked; connecting, changing, cutting off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from starlette.responses import Response

from hosted.identity import grants, keys
from hosted.identity.errors import IdentityUnavailable
from hosted.identity.keys import OVERLAP, Key, Made
from hosted.identity.lookup import Rights
from hosted.identity.supabase import SignInRefused
from hosted.web.flashes import Flash
from hosted.web.programs import PROGRAMS, program_of
from hosted.web.rights import rights_asked, rights_page, typed
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import JmemError, NotFound

pages = Pages(private=True)
_log = structlog.get_logger(__name__)


async def connected(visit: Visit) -> list[dict[str, Any]]:
    """Personal URLs and programs that were let in, newest first."""
    user_id = visit.me.user_id
    async with visit.site.backend.database.tenant(user_id) as conn:
        urls = [key.public() for key in await keys.listed(conn, user_id) if key.kind == "connector"]
        programs = [grant.public() for grant in await grants.listed(conn, user_id)]
    found = sorted([*urls, *programs], key=lambda shown: str(shown["created_at"]), reverse=True)
    return [_shown(one) for one in found]


@pages.get("/connections")
async def connections(visit: Visit) -> Response:
    """All of them, and the API keys."""
    user_id = visit.me.user_id
    async with visit.site.backend.database.tenant(user_id) as conn:
        own = [key.public() for key in await keys.listed(conn, user_id) if key.kind == "api"]
    return visit.page("connections.html", connections=await connected(visit), keys=own)


@pages.get("/connections/new")
async def new(visit: Visit) -> Response:
    """Which program, and what it may do."""
    chosen = visit.query.get("program", "")
    return _new(visit, chosen if chosen in PROGRAMS else "")


def _new(visit: Visit, chosen: str, status: int = 200, problem: str = "") -> Response:
    changed = visit.form.has("permissions")
    return visit.page("connect.html", status, programs=PROGRAMS.values(), chosen=chosen, problem=problem,
                      client=visit.form.get("client"), changed=changed, rights=typed(visit.form) if changed else Rights("claude"))  # fmt: skip


@pages.post("/connections/new")
async def connect(visit: Visit) -> Response:
    """Make the personal URL, and show it this once."""
    form, user_id = visit.form, visit.me.user_id
    chosen = form.get("program")
    client = (form.get("client").strip().lower() or "program") if chosen == "other" else chosen
    if chosen not in PROGRAMS:
        return _new(visit, "", 422, "Choose a program.")
    named = PROGRAMS[chosen].title if chosen != "other" else client
    try:
        given = rights_asked(form, client) if form.get("permissions") else Rights(client)
        async with visit.site.backend.database.tenant(user_id) as conn:
            made = await keys.create(conn, user_id, "connector", given, name=named)
    except JmemError as error:
        if error.status >= 500:
            raise
        return _new(visit, chosen, 422, error.message)
    return _once(visit, made, first=form.get("home") == "welcome")


def _once(visit: Visit, made: Made, *, first: bool = False) -> Response:
    base = f"{visit.site.public_url}/mcp/{made.key.rights.client}"
    http, sse = f"{base}/http/{made.text}", f"{base}/sse/{made.text}"
    program = program_of(made.key.rights.client)
    here = program.public and visit.site.host.startswith(("127.0.0.1", "localhost", "[::1]"))
    return visit.page("connected.html", program=program, key=made.key.public(), snippets=program.make(http, sse), first=first,
                      local_only=here)  # fmt: skip


@pages.get("/connections/{id}/check")
async def check(visit: Visit) -> Response:
    """Whether the program has asked for the first time; the page asks this every other second until it has."""
    found = await _one(visit)
    values = {"id": found["id"], "used": found["last_used_at"], "first": visit.query.get("first") == "1"}
    if visit.live:
        return visit.page("_check.html", **values)
    return visit.page("check.html", **values, c=found)


@pages.get("/connections/{id}")
async def connection(visit: Visit) -> Response:
    """One program: its permissions, and the ways to end it."""
    return rights_page(visit, await _one(visit), "connection")


@pages.post("/connections/{id}")
async def change(visit: Visit) -> Response:
    """Other permissions or another name, from the next request on."""
    known, user_id, id = await _one(visit), visit.me.user_id, visit.request.path_params["id"]
    try:
        given, name = rights_asked(visit.form, known["client"]), visit.form.get("name") or None
        async with visit.site.backend.database.tenant(user_id) as conn:
            if known["kind"] == "oauth":
                await grants.change(conn, user_id, id, given, name=name)
            else:
                await keys.change(conn, user_id, UUID(id), given, name=name)
    except JmemError as error:
        if error.status >= 500:
            raise
        return rights_page(visit, known, "connection", error.message)
    return visit.go("/connections", Flash("connection_changed"))


@pages.post("/connections/{id}/rotate")
async def rotate(visit: Visit) -> Response:
    """A new personal URL, shown this once; the old one ends at once or after a day."""
    known, user_id = await _one(visit), visit.me.user_id
    if known["kind"] == "oauth":
        raise NotFound("a program that signs in by itself has no address to renew")
    overlap = timedelta(0) if visit.form.get("old") == "now" else OVERLAP
    async with visit.site.backend.database.tenant(user_id) as conn:
        made = await keys.rotate(conn, user_id, UUID(known["id"]), overlap)
    return _once(visit, made)


@pages.post("/connections/{id}/revoke")
async def revoke(visit: Visit) -> Response:
    """Cut it off from its next request on."""
    known, user_id = await _one(visit), visit.me.user_id
    async with visit.site.backend.database.tenant(user_id) as conn:
        if known["kind"] == "oauth":
            await grants.revoke(conn, user_id, known["id"])
        else:
            await keys.revoke(conn, user_id, UUID(known["id"]))
    if known["kind"] == "oauth":
        try:  # it is refused here already; Supabase forgets its consent too, so that it has to ask again
            await visit.site.supabase.revoke_program(visit.session.tokens.access_token, known["id"])
        except (SignInRefused, IdentityUnavailable) as error:
            _log.warning("program_not_revoked_at_supabase", code=error.code)
    return visit.go("/connections", Flash("disconnected"))


async def _one(visit: Visit) -> dict[str, Any]:
    id, user_id = visit.request.path_params["id"], visit.me.user_id
    async with visit.site.backend.database.tenant(user_id) as conn:
        found = await _key(conn, user_id, id)
        shown = found.public() if found else (await grants.get(conn, user_id, id)).public()
    return _shown(shown)


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    """With what only keys have, and how its program is connected."""
    return {"hint": None, "expires_at": None, **one, "program": program_of(one["client"])}


async def _key(conn: Any, user_id: UUID, id: str) -> Key | None:
    try:
        found = await keys.get(conn, user_id, UUID(id))
    except (ValueError, NotFound):
        return None
    return found if found.kind == "connector" else None
