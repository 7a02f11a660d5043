"""The stream of changes: what was written after a given op, as server-sent events in the daemon's shapes.

Nothing is buffered for a listener: it reads the feed from its own place, and is woken when something has been written.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from hosted.api.routing import Call, HttpProblem, Routes
from hosted.db.engine import DATABASE_FAILURES, driver
from hosted.identity.principal import owner, still_owner
from hosted.ops import feed
from jmem.core.errors import Invalid
from jmem.core.model import Op
from jmem.core.revisions import kind_of
from jmem.core.wire.asks import EventsQuery

routes = Routes("events")
KEEP_ALIVE_S = 15.0
PAGE = 500
MAX_DIGITS = 18
log = logging.getLogger(__name__)

_AFTER = """
SELECT o.seq, o.payload,
  EXISTS (SELECT 1 FROM jmem.ops p WHERE p.user_id = o.user_id AND p.memory_id = o.memory_id AND p.seq < o.seq) AS known
FROM jmem.ops o WHERE o.user_id = $1 AND o.seq > $2 ORDER BY o.seq LIMIT $3"""


@routes.route("GET", "/events", EventsQuery, "Changes as they happen", answers={200: "text/event-stream"}, who=owner,
              headers={"Last-Event-ID": "the seq that was seen last, to resume after it"})  # fmt: skip
async def events(call: Call, ask: EventsQuery) -> Response:
    """Server-sent events. `start` comes first and has the seq from which it goes on. `memory`: its `id` is the seq to
    resume after, `data` has seq, id, kind and client of a change. `reset`: the account was restored from a copy, load
    everything anew."""
    if ask.access:
        raise Invalid("the account tells of changes only", field="access", fix="leave access out")
    since = ask.since
    if (last := call.request.headers.get("last-event-id")) is not None:
        if not (last.isascii() and last.isdigit()) or len(last) > MAX_DIGITS:
            raise HttpProblem(422, "invalid", "Last-Event-ID is a number", field="Last-Event-ID")
        since = int(last)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(call, since), media_type="text/event-stream", headers=headers)


async def _stream(call: Call, since: int | None) -> AsyncIterator[bytes]:
    database, bus, user_id = call.backend.database, call.backend.bus, call.principal.user_id
    store = str(user_id)
    with bus.listening(user_id) as changed:
        yield b"retry: 1000\n\n"
        try:
            newest = await feed.newest(database, user_id)
            seq = newest if since is None or since > newest else since
            first = "start" if since is None or since <= newest else "reset"
            yield _event(first, {"store": store, "seq": seq}, seq)
            while not bus.closing:
                changed.clear()
                found = await _changes(call, seq)
                if not await still_owner(call.request):
                    return
                if found:
                    seq = int(found[-1]["seq"])
                    yield b"".join(_event("memory", change, change["seq"]) for change in found)
                if len(found) == PAGE:
                    continue
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):  # wait_for of Python 3.11 may swallow a cancellation
                        await changed.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
        except DATABASE_FAILURES as error:
            log.warning("a stream of events ends: %s", type(error).__name__)  # who listens asks again


async def _changes(call: Call, seq: int) -> list[dict[str, Any]]:
    """The next page of changes after `seq`."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        records = await (await driver(conn)).fetch(_AFTER, user_id, seq, PAGE)
    found: list[dict[str, Any]] = []
    for record in records:
        op = Op.parse(record["payload"])
        kind = kind_of(op, {"content": ""} if record["known"] else {})
        found.append({"seq": record["seq"], "id": op.id, "kind": kind, "client": op.client})
    return found


def _event(name: str, data: dict[str, Any], resume: int) -> bytes:
    return f"id: {resume}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
