"""Counts, tags and the state of the index."""

from __future__ import annotations

from daemon import replies
from daemon.api.common import listing
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core.wire import answers
from jmem.core.wire.asks import RebuildAsk
from jmem.core.wire.base import NoQuery

routes = Routes("overview")


@routes.route("GET", "/tags", NoQuery, "Tags with their counts", answers={200: answers.TagCounts})
def tags(call: Call, ask: NoQuery) -> Answer:
    """Of active memories, the most used first."""
    found = call.user.service.tags(call.actor)
    return listing("tags", [{"tag": tag, "count": count} for tag, count in found])


@routes.route("GET", "/stats", NoQuery, "Counts", answers={200: answers.Stats})
def stats(call: Call, ask: NoQuery) -> Answer:
    """By state, client, privacy and day."""
    return json_answer(call.user.service.stats(call.actor))


@routes.route("GET", "/index", NoQuery, "State of the vector index", answers={200: replies.Index})
def index(call: Call, ask: NoQuery) -> Answer:
    """`state` is ready, indexing, or waiting with the error it waits for."""
    return json_answer(call.user.indexer.state())


@routes.route("POST", "/index/rebuild", RebuildAsk, "Rebuild the vector index", answers={202: replies.Started})
def rebuild(call: Call, ask: RebuildAsk) -> Answer:
    """In the background, from the stored vectors or (`embed`) from the texts; searches go on meanwhile."""
    call.user.indexer.rebuild(embed=ask.embed)
    return json_answer({"started": True, **call.user.indexer.state()}, 202)
