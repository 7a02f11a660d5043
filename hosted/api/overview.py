"""Counts and tags."""

from __future__ import annotations

from fastapi import Response

from hosted.api.routing import Call, Routes, answer, listing
from jmem.core.wire import answers
from jmem.core.wire.base import NoQuery

routes = Routes("overview")


@routes.route("GET", "/tags", NoQuery, "Tags with their counts", answers={200: answers.TagCounts})
async def tags(call: Call, ask: NoQuery) -> Response:
    """Of active memories, the most used first."""
    return listing("tags", [{"tag": tag, "count": count} for tag, count in await call.memories.tags(call.actor)])


@routes.route("GET", "/stats", NoQuery, "Counts", answers={200: answers.Stats})
async def stats(call: Call, ask: NoQuery) -> Response:
    """By state, client, privacy and day."""
    return answer(await call.memories.stats(call.actor))
