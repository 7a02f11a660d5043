"""Time: what changed in a span of it, and what took whose place."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, listing, page
from jmem.core.wire import answers
from jmem.core.wire.asks import ChangesQuery
from jmem.core.wire.base import NoQuery
from jmem.core.wire.common import end_of, start_of

routes = Routes("timeline")


@routes.route("GET", "/changes", ChangesQuery, "What changed", answers={200: answers.Changes}, problems=(404, 409))
async def changes(call: Call, ask: ChangesQuery) -> Response:
    """Each memory that is not as it was, newest first: its state at `since` against that at `until` (or now).

    What was taken back within the span, and what was forgotten for ever, is not among them.
    """
    since, until = str(start_of(ask.since)), end_of(ask.until)

    async def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        found, cursor = await call.memories.changes(
            call.actor, since, until=until, id=ask.id, client=ask.client, limit=limit, cursor=ask.cursor
        )
        return [asdict(change) for change in found], cursor

    return await page("changes", fetch, ask.limit, since=since)


@routes.route("GET", "/memories/{id}/chain", NoQuery, "What took whose place", answers={200: answers.Chain}, problems=(404, 409))  # fmt: skip
async def chain(call: Call, ask: NoQuery) -> Response:
    """At most 1,000 memories, or as many of the newest as fit into an answer (`truncated`)."""
    found = await call.memories.chain(call.params["id"], call.actor)
    head: dict[str, Any] = {"current": found.current, **({"truncated": True} if found.cut else {})}
    return listing("chain", [memory.as_dict() for memory in found.members], head, newest_last=True)
