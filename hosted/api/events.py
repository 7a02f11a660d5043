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

from hosted.api.routing import Call, Routes
from hosted.db.engine import DATABASE_FAILURES, driver
from hosted.identity.principal import owner, still_owner
from hosted.ops import feed
from jmem.core.errors import Invalid
from jmem.core.model import Op
from jmem.core.revisions import kind_of
from jmem.core.wire.asks import EventsQuery
from jmem.core.wire.refusals import HttpProblem

routes = Routes("events")
KEEP_ALIVE_S = 15.0
PAGE = 500
PAGE_BYTES = 1024 * 1024
"""Bytes of ops that are read at once."""
MAX_DIGITS = 18
log = logging.getLogger(__name__)

_AFTER = """
SELECT o.seq, o.payload, o.upto,
  EXISTS (SELECT 1 FROM jmem.ops p WHERE p.user_id = $1 AND p.memory_id = o.memory_id AND p.seq < o.seq) AS known
FROM (
  SELECT seq, memory_id, payload, sum(octet_length(payload)) OVER (ORDER BY seq) AS upto
  FROM (SELECT seq, memory_id, payload FROM jmem.ops WHERE user_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) page
) o WHERE o.upto - octet_length(o.payload) < $4 ORDER BY o.seq"""


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
    call.backend.bus.room_for(call.principal.user_id)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(call, since), media_type="text/event-stream", headers=headers)


async def _stream(call: Call, since: int | None) -> AsyncIterator[bytes]:
    database, bus, user_id = call.backend.database, call.backend.bus, call.principal.user_id
    store = str(user_id)
    with bus.listening(user_id) as listener:
        yield b"retry: 1000\n\n"
        try:
            async with listener.turn:
                newest = await feed.newest(database, user_id)
            seq = newest if since is None or since > newest else since
            first = "start" if since is None or since <= newest else "reset"
            yield _event(first, {"store": store, "seq": seq}, seq)
            while not bus.closing:
                listener.changed.clear()
                async with listener.turn:
                    found, more = await _changes(call, seq)
                    if not await still_owner(call.request):
                        return
                if found:
                    seq = int(found[-1]["seq"])
                    yield b"".join(_event("memory", change, change["seq"]) for change in found)
                if more:
                    continue
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):  # wait_for of Python 3.11 may swallow a cancellation
                        await listener.changed.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
        except DATABASE_FAILURES as error:
            log.warning("a stream of events ends: %s", type(error).__name__)  # who listens asks again


async def _changes(call: Call, seq: int) -> tuple[list[dict[str, Any]], bool]:
    """The next page of changes after `seq`, and whether there may be more."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        records = await driver(conn).fetch(_AFTER, user_id, seq, PAGE, PAGE_BYTES)
    found: list[dict[str, Any]] = []
    for record in records:
        op = Op.parse(record["payload"])
        kind = kind_of(op, {"content": ""} if record["known"] else {})
        found.append({"seq": record["seq"], "id": op.id, "kind": kind, "client": op.client})
    return found, len(records) == PAGE or (bool(records) and records[-1]["upto"] >= PAGE_BYTES)


def _event(name: str, data: dict[str, Any], resume: int) -> bytes:
    return f"id: {resume}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
