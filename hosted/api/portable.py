"""Everything out: the memories as a stream that `jmem import` takes back, and the whole account as an archive."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from hosted.api import archive
from hosted.api.routing import Call, Routes
from hosted.identity.errors import BadToken
from hosted.identity.principal import Principal, owner, person, still_owner
from hosted.memories.service import Backend
from jmem.core.wire.asks import ExportQuery
from jmem.core.wire.base import NoQuery
from jmem.core.wire.common import export_detail, export_filter

routes = Routes("portable")
whole = Routes("account")
NDJSON = "application/x-ndjson"
ZIP = "application/zip"
PIECE_BYTES = 64 * 1024
ASK_AGAIN_S = 3.0
"""Seconds after which it is asked anew whether who downloads a file may still have it."""


@routes.route("GET", "/export", ExportQuery, "Export everything", answers={200: NDJSON}, who=owner)
async def export(call: Call, ask: ExportQuery) -> Response:
    """A line a memory, from one moment of the account. Without filters and with history nothing is left out."""
    lines = call.memories.export(
        export_filter(ask), call.actor, format=ask.format, history=ask.history, detail=export_detail(ask)
    )
    return StreamingResponse(await begun(call.request, _pieces(lines)), media_type=NDJSON)


@whole.route("GET", "/account/export", NoQuery, "Export the account", answers={200: ZIP}, who=person)
async def export_account(call: Call, ask: NoQuery) -> Response:
    """An archive of all that is kept of the account: memories with their history as `jmem import` takes them back, keys
    and connections without their secrets, activity and audit log. `README.txt` in it says what each file is."""
    return await archived(call.request, call.backend, call.principal)


async def archived(request: Request, backend: Backend, principal: Principal) -> Response:
    """The archive of the account, as a download."""
    name = f"jmem-{datetime.now(UTC):%Y-%m-%d}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(await begun(request, archive.pieces(backend, principal)), headers=headers, media_type=ZIP)


async def begun(request: Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, the first of them made already, so that a database that can't answer is still told by a status.

    They end in BadToken, and so in a broken connection, once who asked would no longer be let in: a file that long takes
    its time, and nobody who was shut out meanwhile gets the rest of it.
    """
    first = await anext(pieces, b"")

    async def all() -> AsyncIterator[bytes]:
        yield first
        asked = time.monotonic()
        async for piece in pieces:
            if time.monotonic() - asked >= ASK_AGAIN_S:
                if not await still_owner(request, expired=True):
                    raise BadToken("who asked for this was shut out meanwhile")
                asked = time.monotonic()
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
