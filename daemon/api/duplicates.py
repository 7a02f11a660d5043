"""Memories that say nearly the same: the nearest of one, all pairs in steps, merging two, and what is no duplicate."""

from __future__ import annotations

from pydantic_core import to_json

from daemon.api.common import listing
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core.pairs import cursor_at
from jmem.core.wire import answers
from jmem.core.wire.asks import DistinctAsk, DuplicatesQuery, MergeAsk, SimilarQuery
from jmem.core.wire.common import bounded

routes = Routes("duplicates")


@routes.route("GET", "/memories/{id}/similar", SimilarQuery, "What says nearly the same", answers={200: answers.Similar},
              problems=(404, 409))  # fmt: skip
def similar(call: Call, ask: SimilarQuery) -> Answer:
    """The nearest active memories, nearest first, compared by meaning, or by words while the memory has no vector."""
    pairs = call.user.service.similar(call.params["id"], call.actor, limit=ask.limit, least=ask.least)
    return listing("similar", [{**pair.scores(), "memory": pair.b.as_dict()} for pair in pairs])


@routes.route(
    "GET", "/duplicates", DuplicatesQuery, "Pairs that say nearly the same", answers={200: answers.Duplicates}
)
def duplicates(call: Call, ask: DuplicatesQuery) -> Answer:
    """One step over the store, newest memories first, of less than a second: go on with the cursor until there is none.

    A page may be empty and still have one. Pairs that were noted as no duplicates are left out.
    """
    found = call.user.service.duplicates(call.actor, limit=ask.limit, least=ask.least, cursor=ask.cursor)
    pieces = bounded([{**pair.scores(), "a": pair.a.as_dict(), "b": pair.b.as_dict()} for pair in found.pairs])
    cursor = found.next_cursor
    if len(pieces) < len(found.pairs):
        cursor = cursor_at(found.pairs[len(pieces)].place)
    head = to_json({"scanned": found.scanned, "total": found.total, "next_cursor": cursor})[:-1]
    return Answer(200, head + b',"pairs":[' + b",".join(pieces) + b"]}")


@routes.route("POST", "/duplicates/distinct", DistinctAsk, "Note that two are no duplicates", answers={200: answers.Distinct},
              problems=(404, 409, 507))  # fmt: skip
def distinct(call: Call, ask: DistinctAsk) -> Answer:
    """They are not listed as a pair any more, until the text of one of them changes. Kept on this machine alone."""
    a, b = call.user.service.set_distinct(ask.a, ask.b, call.actor, distinct=ask.distinct)
    return json_answer({"a": a, "b": b, "distinct": ask.distinct})


@routes.route("POST", "/memories/{id}/merge", MergeAsk, "Make one of two", answers={200: answers.Merged},
              problems=(404, 409, 413, 507))  # fmt: skip
def merge(call: Call, ask: MergeAsk) -> Answer:
    """The memory of the path stays, with the tags and metadata of both and `content` if it is given; it supersedes
    `other`, which is deleted. One action, which one undo takes back."""
    merged = call.user.service.merge(
        call.params["id"], ask.other, call.actor, content=ask.content, expected=ask.version,
        expected_other=ask.other_version, secrets=ask.secrets,
    )  # fmt: skip
    return json_answer({"memory": merged.memory.as_dict(), "deleted": merged.deleted})
