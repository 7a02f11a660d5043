"""The whole account as a file: every memory with every revision, in the form that `jmem import` takes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import STATES

pages = Pages(private=True)


@pages.get("/export")
async def export(visit: Visit) -> Response:
    """What the file holds, and the button."""
    total = await visit.memories.count(Filter(states=STATES, expired=True), visit.actor)
    return visit.page("export.html", total=total)


@pages.post("/export")
async def download(visit: Visit) -> Response:
    """The file, as it stands when it begins, some memories at a time, so that its size costs no memory."""
    name = f"jmem-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(visit), headers=headers, media_type="application/x-ndjson")


async def _lines(visit: Visit) -> AsyncIterator[str]:
    async for line in visit.memories.export(EVERYTHING, visit.actor):
        yield line + "\n"
