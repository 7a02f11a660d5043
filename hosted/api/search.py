"""Search."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, listing
from jmem.core.query import Hit, SearchQuery
from jmem.core.wire import answers
from jmem.core.wire.asks import SearchAsk
from jmem.core.wire.common import make_filter, past_of

routes = Routes("search")


@routes.route("POST", "/search", SearchAsk, "Search memories", answers={200: answers.Found}, writes=False)
async def search(call: Call, ask: SearchAsk) -> Response:
    """The best hits, always; `confident` is false when nothing is known about the question."""
    filter = make_filter(
        tags=ask.tags, clients=ask.clients, states=ask.states, since=ask.since, until=ask.until, privacy=ask.privacy,
        thread=ask.thread, source=ask.source,
    )  # fmt: skip
    query = SearchQuery(ask.query, ask.limit, filter, ask.mode, ask.fold, ask.explain, past_of(ask.as_of))
    outcome = await call.memories.search(query, call.actor)
    head: dict[str, Any] = {
        "query": outcome.query, "took_ms": outcome.took_ms, "confident": outcome.confident, "mode": outcome.mode,
    }  # fmt: skip
    if query.as_of is not None:
        head["as_of"] = query.as_of
    if outcome.degraded is not None:
        head["degraded"] = outcome.degraded
    return listing("results", [_hit(hit, ask.explain) for hit in outcome.hits], head)


def _hit(hit: Hit, explain: bool) -> dict[str, Any]:
    found = {"score": hit.score, **hit.memory.as_dict(), "also": hit.also}
    return {**found, "explain": hit.explain} if explain else found
