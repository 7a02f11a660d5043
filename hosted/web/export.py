"""The whole account as a file: every memory with every revision, in the form that `jmem import` takes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from hosted.db.engine import driver
from hosted.edge import audit
from hosted.ops.rows import COLUMNS, memory_of
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.filter import Filter
from jmem.core.model import STATES
from jmem.core.portable.jsonl import whole_lines

pages = Pages(private=True)
PAGE = 200
_IDS = "SELECT id FROM jmem.memories WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_ROWS = (
    f"SELECT {COLUMNS}, m.purged FROM jmem.memories m WHERE m.user_id = $1 AND m.id = ANY ($2::text[]) ORDER BY m.id"
)
_OPS = "SELECT memory_id, payload FROM jmem.ops WHERE user_id = $1 AND memory_id = ANY ($2::text[]) ORDER BY memory_id, stamp"


@pages.get("/export")
async def export(visit: Visit) -> Response:
    """What the file holds, and the button."""
    total = await visit.memories.count(Filter(states=STATES, expired=True), visit.actor)
    return visit.page("export.html", total=total)


@pages.post("/export")
async def download(visit: Visit) -> Response:
    """The file, a page of memories at a time, so that its size costs no memory."""
    name = f"jmem-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
        await audit.note(conn, visit.me.user_id, "account.exported", format="jsonl")
    return StreamingResponse(_lines(visit), headers=headers, media_type="application/x-ndjson")


async def _lines(visit: Visit) -> AsyncIterator[str]:
    user_id, last = visit.me.user_id, ""
    while True:
        async with visit.site.backend.database.tenant(user_id) as conn:
            raw = await driver(conn)
            ids = [row["id"] for row in await raw.fetch(_IDS, user_id, last, PAGE)]
            rows = await raw.fetch(_ROWS, user_id, ids)
            payloads: dict[str, list[str]] = {}
            for row in await raw.fetch(_OPS, user_id, ids):
                payloads.setdefault(row["memory_id"], []).append(row["payload"])
        for row in rows:
            memory = None if row["content"] is None else memory_of(row)
            for line in whole_lines(row["id"], memory, payloads.get(row["id"], []), purged=row["purged"]):
                yield line + "\n"
        if len(ids) < PAGE:
            return
        last = ids[-1]
