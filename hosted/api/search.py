"""Search."""

from __future__ import annotations

from fastapi import Response

from hosted.api.routing import Call, Routes, listing
from jmem.core.wire import answers
from jmem.core.wire.asks import SearchAsk
from jmem.core.wire.common import found_head, hit_told, query_asked

routes = Routes("search")


@routes.route("POST", "/search", SearchAsk, "Search memories", answers={200: answers.Found}, writes=False)
async def search(call: Call, ask: SearchAsk) -> Response:
    """The best hits, always; `confident` is false when nothing is known about the question."""
    query = query_asked(ask)
    outcome = await call.memories.search(query, call.actor)
    return listing("results", [hit_told(query, hit) for hit in outcome.hits], found_head(query, outcome))
