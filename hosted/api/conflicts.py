"""Texts of one memory that were written apart: the list, and how one is settled."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, answer, page
from jmem.core.wire import answers
from jmem.core.wire.asks import ConflictsQuery, SettleAsk

routes = Routes("conflicts")


@routes.route("GET", "/conflicts", ConflictsQuery, "Texts that were written apart", answers={200: answers.Conflicts},
              problems=(404, 409))  # fmt: skip
async def conflicts(call: Call, ask: ConflictsQuery) -> Response:
    """Memories with more than one text, deleted ones left out. The greatest stamp is live, the others are kept."""

    async def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        found, cursor = await call.memories.conflicts(call.actor, limit=limit, cursor=ask.cursor, id=ask.id)
        return [one.as_dict() for one in found], cursor

    return await page("conflicts", fetch, ask.limit)


@routes.route("POST", "/conflicts/{id}", SettleAsk, "Settle a conflict", answers={200: answers.Settled},
              problems=(404, 409, 413))  # fmt: skip
async def settle(call: Call, ask: SettleAsk) -> Response:
    """One action, which undo takes back. It is over on every machine, and every text stays in the history."""
    settled = await call.memories.settle(
        call.params["id"], call.actor, ask.how, version=ask.version, content=ask.content, expected=ask.stamps,
        secrets=ask.secrets,
    )  # fmt: skip
    return answer(settled.as_dict())
