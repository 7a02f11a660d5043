"""Everything out: the memories as a stream that `jmem import` takes back, and the whole account as an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import Response
from fastapi.responses import StreamingResponse

from hosted.api import archive
from hosted.api.routing import Call, Routes
from hosted.identity.principal import owner, person
from jmem.core.wire.asks import ExportQuery
from jmem.core.wire.base import NoQuery
from jmem.core.wire.common import export_detail, export_filter

routes = Routes("portable")
whole = Routes("account")
NDJSON = "application/x-ndjson"
ZIP = "application/zip"
PIECE_BYTES = 64 * 1024


@routes.route("GET", "/export", ExportQuery, "Export everything", answers={200: NDJSON}, who=owner)
async def export(call: Call, ask: ExportQuery) -> Response:
    """A line a memory, from one moment of the account. Without filters and with history nothing is left out."""
    lines = call.memories.export(
        export_filter(ask), call.actor, format=ask.format, history=ask.history, detail=export_detail(ask)
    )
    return StreamingResponse(await _begun(_pieces(lines)), media_type=NDJSON)


@whole.route("GET", "/account/export", NoQuery, "Export the account", answers={200: ZIP}, who=person)
async def export_account(call: Call, ask: NoQuery) -> Response:
    """An archive of all that is kept of the account: memories with their history as `jmem import` takes them back, keys
    and connections without their secrets, activity and audit log. `README.txt` in it says what each file is."""
    name = f"jmem-{datetime.now(UTC):%Y-%m-%d}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    pieces = await _begun(archive.pieces(call.backend, call.principal))
    return StreamingResponse(pieces, headers=headers, media_type=ZIP)


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, the first of them made already, so that a database that can't answer is still told by a status."""
    first = await anext(pieces, b"")

    async def all() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all()


async def _pieces(lines: AsyncIterator[str]) -> AsyncIterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    async for line in lines:
        gathered.append(line.encode() + b"\n")
        size += len(gathered[-1])
        if size >= PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)
