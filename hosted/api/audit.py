"""The audit log, for the account's owner."""

from __future__ import annotations

from fastapi import Response
from pydantic import Field

from hosted.api.routing import Call, Routes, answer
from hosted.db.engine import driver
from hosted.identity import audit
from hosted.identity.principal import owner
from jmem.core.wire.answers import Reply
from jmem.core.wire.base import Query

routes = Routes("audit")
MAX_PAGE = 200


class AuditQuery(Query):
    """Which entries."""

    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, description="`next_cursor` of the page before")


class AuditLog(Reply):
    """Newest first."""

    entries: list[audit.AuditEntry]
    next_cursor: str | None


@routes.route("GET", "/audit", AuditQuery, "The audit log", answers={200: AuditLog}, who=owner)
async def log(call: Call, ask: AuditQuery) -> Response:
    """Keys and connections made, changed, rotated and revoked, programs let in, sessions ended, memories forgotten for
    ever, exports, and refusals in a row. It has no memory's text and can't be changed."""
    async with call.backend.database.tenant(call.principal.user_id) as conn:
        entries, cursor = await audit.page(driver(conn), call.principal.user_id, ask.limit, ask.cursor)
    return answer({"entries": [entry.model_dump() for entry in entries], "next_cursor": cursor})
