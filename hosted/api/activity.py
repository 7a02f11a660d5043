"""Activity: who asked for what, and what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import Response
from pydantic import Field

from hosted.api.routing import Call, Made, Routes, listing
from jmem.core.accesses import READS, Access, Told
from jmem.core.wire import answers
from jmem.core.wire.asks import AccessQuery, Id, Limit
from jmem.core.wire.base import Query

routes = Routes("activity")


class WhyQuery(Query):
    """Which answers."""

    limit: Limit = 5
    client: str | None = Field(None, description="only what this program was told")
    memory: Id | None = Field(None, description="only the answers that held this memory")


@routes.route("GET", "/memories/{id}/access", AccessQuery, "Who got a memory", answers={200: answers.Accesses}, problems=(404, 409))  # fmt: skip
async def access_of(call: Call, ask: AccessQuery) -> Response:
    """Newest first."""
    return await _accesses(call, ask, call.params["id"])


@routes.route("GET", "/access", AccessQuery, "Who asked for what", answers={200: answers.Accesses})
async def access(call: Call, ask: AccessQuery) -> Response:
    """Newest first."""
    return await _accesses(call, ask, None)


@routes.route("GET", "/why", WhyQuery, "What programs were told, and why", answers={200: answers.Accesses}, problems=(404, 409))  # fmt: skip
async def why(call: Call, ask: WhyQuery) -> Response:
    """The newest answers first, each memory with its rank, score, legs and the text of that moment."""
    asked = AccessQuery(limit=ask.limit, client=ask.client, what=READS, after=None, before=None, content=True)
    return await _accesses(call, asked, ask.memory)


async def _accesses(call: Call, ask: AccessQuery, id: str | None) -> Response:
    found = await call.memories.accesses(
        call.actor, id=id, client=ask.client, what=ask.what, after=ask.after, before=ask.before, limit=ask.limit
    )
    if not ask.content:
        return listing("accesses", Made(found, lambda access: access.as_dict()))
    texts = await call.memories.told(found, call.actor)
    told = list(zip(found, texts, strict=False))
    return listing("accesses", Made(told, _with_texts), {"truncated": True} if len(told) < len(found) else {})


def _with_texts(one: tuple[Access, Sequence[Told]]) -> dict[str, Any]:
    access, texts = one
    document = access.as_dict()
    for answer, text in zip(document["answers"], texts, strict=True):
        answer.update(asdict(text))
    return document
