"""Search."""

from __future__ import annotations

from daemon.api.common import listing
from daemon.http import Answer, Call, Routes
from jmem.core.wire import answers
from jmem.core.wire.asks import SearchAsk
from jmem.core.wire.common import found_head, hit_told, query_asked

routes = Routes("search")


@routes.route("POST", "/search", SearchAsk, "Search memories", answers={200: answers.Found})
def search(call: Call, ask: SearchAsk) -> Answer:
    """The best hits, always; `confident` is false when nothing is known about the question."""
    query = query_asked(ask)
    outcome = call.user.service.search(query, call.actor)
    call.daemon.metrics.searches.add((outcome.mode,), outcome.took_ms / 1000)
    head = {**call.user.warning(), **found_head(query, outcome)}
    return listing("results", [hit_told(query, hit) for hit in outcome.hits], head)
