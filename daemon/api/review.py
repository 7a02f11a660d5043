"""The inbox of what waits for the owner's review. It is listed as `GET /memories?state=review`."""

from __future__ import annotations

from daemon.api.common import listings
from daemon.http import Answer, Call, Routes
from jmem.core.wire import answers
from jmem.core.wire.asks import ReviewAsk
from jmem.core.wire.common import check_review_ask, skipped_dict

routes = Routes("review")


@routes.route("POST", "/review", ReviewAsk, "Accept or reject what waits", answers={200: answers.Reviewed}, problems=(404, 409, 413, 507))  # fmt: skip
def review(call: Call, ask: ReviewAsk) -> Answer:
    """One action, that one undo takes back: accepted memories become active, rejected ones are deleted.

    Say one of `ids`, `client` and `all`. 404 `not_waiting` when none of the ids waits.
    """
    check_review_ask(ask)
    decided = call.user.service.review(ask.decision, call.actor, parts=ask.ids or (), client=ask.client)
    skipped = [skipped_dict(id, error) for id, error in decided.skipped]
    head = {"decision": ask.decision, "count": len(decided.ids)}
    return listings({"ids": decided.ids, "skipped": skipped}, head)
