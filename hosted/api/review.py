"""The inbox of what waits for the owner's review. It is listed as `GET /memories?state=review`."""

from __future__ import annotations

from fastapi import Response

from hosted.api.routing import Call, Routes, listings
from jmem.core.wire import answers
from jmem.core.wire.asks import ReviewAsk
from jmem.core.wire.common import check_review_ask, skipped_dict

routes = Routes("review")


@routes.route("POST", "/review", ReviewAsk, "Accept or reject what waits", answers={200: answers.Reviewed}, problems=(404, 409, 413))  # fmt: skip
async def review(call: Call, ask: ReviewAsk) -> Response:
    """One action, that one undo takes back: accepted memories become active, rejected ones are deleted.

    Say one of `ids`, `client` and `all`. 404 `not_waiting` when none of the ids waits.
    """
    check_review_ask(ask)
    decided = await call.memories.review(ask.decision, call.actor, parts=ask.ids or (), client=ask.client)
    skipped = [skipped_dict(id, error) for id, error in decided.skipped]
    return listings({"ids": decided.ids, "skipped": skipped}, {"decision": ask.decision, "count": len(decided.ids)})
