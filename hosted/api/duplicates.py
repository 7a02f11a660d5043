"""Memories that say nearly the same: the nearest of one, all pairs in steps, merging two, and what is no duplicate."""

from __future__ import annotations

from fastapi import Response
from pydantic_core import to_json

from hosted.api.routing import Call, Routes, answer, listing
from jmem.core.pairs import cursor_at
from jmem.core.wire import answers
from jmem.core.wire.asks import DistinctAsk, DuplicatesQuery, MergeAsk, SimilarQuery
from jmem.core.wire.common import bounded

routes = Routes("duplicates")


@routes.route("GET", "/memories/{id}/similar", SimilarQuery, "What says nearly the same", answers={200: answers.Similar},
              problems=(404, 409))  # fmt: skip
async def similar(call: Call, ask: SimilarQuery) -> Response:
    """The nearest active memories, nearest first, compared by meaning, or by words while the memory has no vector."""
    pairs = await call.memories.similar(call.params["id"], call.actor, limit=ask.limit, least=ask.least)
    return listing("similar", [{**pair.scores(), "memory": pair.b.as_dict()} for pair in pairs])


@routes.route(
    "GET", "/duplicates", DuplicatesQuery, "Pairs that say nearly the same", answers={200: answers.Duplicates}
)
async def duplicates(call: Call, ask: DuplicatesQuery) -> Response:
    """One step over the account, newest memories first, of about a second: go on with the cursor until there is none.

    A page may be empty and still have one. Pairs that were noted as no duplicates are left out.
    """
    found = await call.memories.duplicates(call.actor, limit=ask.limit, least=ask.least, cursor=ask.cursor)
    pieces = bounded([{**pair.scores(), "a": pair.a.as_dict(), "b": pair.b.as_dict()} for pair in found.pairs])
    cursor = found.next_cursor
    if len(pieces) < len(found.pairs):
        cursor = cursor_at(found.pairs[len(pieces)].place)
    head = to_json({"scanned": found.scanned, "total": found.total, "next_cursor": cursor})[:-1]
    return Response(head + b',"pairs":[' + b",".join(pieces) + b"]}", media_type="application/json")


@routes.route("POST", "/duplicates/distinct", DistinctAsk, "Note that two are no duplicates", answers={200: answers.Distinct},
              problems=(404, 409))  # fmt: skip
async def distinct(call: Call, ask: DistinctAsk) -> Response:
    """They are not listed as a pair any more, until the text of one of them changes. Kept in the account alone."""
    a, b = await call.memories.set_distinct(ask.a, ask.b, call.actor, distinct=ask.distinct)
    return answer({"a": a, "b": b, "distinct": ask.distinct})


@routes.route("POST", "/memories/{id}/merge", MergeAsk, "Make one of two", answers={200: answers.Merged},
              problems=(404, 409, 413))  # fmt: skip
async def merge(call: Call, ask: MergeAsk) -> Response:
    """The memory of the path stays, with the tags and metadata of both and `content` if it is given; it supersedes
    `other`, which is deleted. One action, which one undo takes back."""
    merged = await call.memories.merge(
        call.params["id"], ask.other, call.actor, content=ask.content, expected=ask.version,
        expected_other=ask.other_version, secrets=ask.secrets,
    )  # fmt: skip
    return answer({"memory": merged.memory.as_dict(), "deleted": merged.deleted})
